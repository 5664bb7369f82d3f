"""Any model is scored: saved answers in every form, and models of transformers, by the commands."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.raw.segmentation import run_lengths
from dghin.__main__ import run as dghin
from dghin.data.dataset import open_split
from dghin.evaluation.answers import OF_FORM
from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.masks import predict_mask
from dghin.evaluation.segmenters.network import Network
from dghin.run.config import save_config
from dghin.run.folder import RunFolder


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where DGHIN's own run is kept for the module's tests."""
    return tmp_path_factory.mktemp("kept") / "own"


@pytest.fixture
def reports(tmp_path, tiny_config, tiny_model, kept, monkeypatch):
    """A folder of runs with DGHIN's own: evaluated by its weights. The config is beside it."""
    if not RunFolder(kept).rows("val").exists():
        tiny_model.save_pretrained(RunFolder(kept).best)
        save_config(tiny_config, RunFolder(kept).config)
        evaluate_run(kept, tiny_config, ["val"])
    folder = tmp_path / "reports"
    shutil.copytree(kept, folder / "own")
    save_config(tiny_config, tmp_path / "mine.yaml")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(scope="module")
def computed():
    """The split val and its logits, computed once for the module's tests."""
    return []


@pytest.fixture
def own_logits(tiny_config, tiny_model, computed):
    """The split val and the logits (2, S, S) of its expressions, as the evaluation has them."""
    if not computed:
        computed += logits_of(tiny_config, tiny_model)
    return computed


def logits_of(tiny_config, tiny_model):
    split, found = open_split(tiny_config, "val"), {}
    from dghin.evaluation.controls import alter
    from dghin.evaluation.scoring import image_groups

    network, inputs = Network(tiny_model), alter(split, "", tiny_config)
    for members in image_groups(split, len(split)):
        seen = network.look(network.load(split, split.expressions[members[0]].image))
        answers = network.answer(seen, inputs, np.array(members), "")
        found |= {i: one.values for i, one in zip(members, answers, strict=True)}
    return split, [found[i] for i in range(len(split))]


def as_png(folder, split, masks, name):
    folder.mkdir()
    for one, mask in zip(split.expressions, masks, strict=True):
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name(one)}.png")
    return folder


def by_ref(one):
    return f"{one.segment_id}_{one.sentence_index}"


def cris(one):
    return f"{one.segment_id}-iou=0.51-{one.sentence.replace(' ', '_')}"


def as_lines(path, split, masks, names):
    entries = [
        names(one) | run_lengths(mask) for one, mask in zip(split.expressions, masks, strict=True)
    ]
    if path.suffix == ".json":
        path.write_text(json.dumps(entries))
    else:
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def write_form(form, folder, split, logits):
    """Saved answers in a form; → path, the protocols that it carries."""
    strict = [predict_mask(x, split.truth(i).shape).numpy() for i, x in enumerate(logits)]
    small = [predict_mask(x, (1, 1), "resized").numpy() for x in logits]
    if form.startswith("png"):
        name = {"ref": by_ref, "sent": lambda one: one.sent_id, "cris": cris,
                "small": by_ref}[form.partition(" ")[2]]  # fmt: skip
        masks = small if "small" in form else strict
        path = as_png(folder / "masks", split, masks, name)
        return path, OF_FORM["small" if "small" in form else "mask"]
    if form == "json":
        names = {"sent_id": lambda one: {"sent_id": one.sent_id}}["sent_id"]
        return as_lines(folder / "a.json", split, strict, names), OF_FORM["mask"]
    if form == "jsonl":
        return (
            as_lines(folder / "a.jsonl", split, strict,
                     lambda one: {"ref_id": one.segment_id, "sent": one.sentence}),
            OF_FORM["mask"],
        )  # fmt: skip
    if form == "jsonl small":
        return (
            as_lines(folder / "a.jsonl", split, small, lambda one: {"sent_id": one.sent_id}),
            OF_FORM["small"],
        )
    values = {
        "npz masks": strict,
        "npz logits": [x.numpy() for x in logits],
        "npz probabilities": [x.double().softmax(0)[1].numpy() for x in logits],
    }[form]
    pairs = {by_ref(one): value for one, value in zip(split.expressions, values, strict=True)}
    np.savez_compressed(folder / "a.npz", **pairs)
    return folder / "a.npz", OF_FORM[{"npz masks": "mask"}.get(form, "logits")]


FORMS = ("png ref", "png sent", "png cris", "png small", "json", "jsonl", "jsonl small",
         "npz masks", "npz logits", "npz probabilities")  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_own_masks_written_in_every_form_give_the_same_rows(reports, own_logits, tmp_path, form):
    """To the digit, under every protocol that the form carries."""
    path, protocols = write_form(form, tmp_path, *own_logits)
    words = ["config=mine.yaml", "split=val", f"predictions={path}", "run=saved"]
    dghin(["evaluate", *words])
    own, saved = (
        pd.read_parquet(RunFolder(reports / name).rows("val")) for name in ("own", "saved")
    )
    scored = [name for name in own if name.endswith(("_intersection", "_union"))]
    carried = [name for name in scored if name.rpartition("_")[0] in protocols]
    assert [name for name in saved if name in scored] == carried and carried
    if form == "npz probabilities":  # `strict` needs their log-odds: a pixel may be a tie
        ties = ["strict_intersection", "strict_union"]
        assert (saved[ties] - own[ties]).abs().max().max() <= 1
        carried = [name for name in carried if name not in ties]
    same = ["sentence", "sent_id", "ann_id", "area", *carried]
    pd.testing.assert_frame_equal(saved[same], own[same])
    origin = saved.attrs["provenance"]["predictions"]["val"]
    assert origin["missing"] == 0 and len(origin["sha256"]) == 64


def test_relas_scores_alone_are_taken_as_they_are(reports, own_logits, tmp_path):
    split, _ = own_logits
    own = pd.read_parquet(RunFolder(reports / "own").rows("val"))
    entries = [
        {"img_id": one.image_id, "ref_id": one.segment_id, "sent": one.sentence,
         "sent_info": {"sent": one.sentence, "sent_id": one.sent_id}, "gt_nt": False,
         "pred_nt": False, "I": int(row.resized_intersection), "U": int(row.resized_union)}
        for one, row in zip(split.expressions, own.itertuples(), strict=True)
    ]  # fmt: skip
    (tmp_path / "x_val_detailed_results.json").write_text(json.dumps(entries))
    words = ["split=val", f"predictions={tmp_path / 'x_val_detailed_results.json'}", "run=saved"]
    dghin(["evaluate", "config=mine.yaml", *words])
    saved = pd.read_parquet(RunFolder(reports / "saved").rows("val"))
    for name in ("resized_intersection", "resized_union"):
        assert saved[name].tolist() == own[name].tolist()
    assert "strict_union" not in saved
    dghin(["report", "run=saved"])
    assert "in the resized protocol" in (reports / "saved/report.html").read_text()
    dghin(["verify", "reports/saved"])


def test_missing_answers(reports, own_logits, tmp_path, capsys):
    split, logits = own_logits
    path, _ = write_form("jsonl", tmp_path, split, logits)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))
    words = ["evaluate", "config=mine.yaml", "split=val", f"predictions={path}", "run=saved"]
    with pytest.raises(UserError, match=f"2 of {len(split)} expressions of 'val' have no answer"):
        dghin(words)
    assert not (reports / "saved").exists()
    dghin([*words, "missing=empty"])
    rows = pd.read_parquet(RunFolder(reports / "saved").rows("val"))
    assert (rows["strict_intersection"][:2] == 0).all()
    assert (rows["strict_union"][:2] == rows["area"][:2]).all()
    dghin(["report", "run=saved"])
    assert "2 expressions of val have no answer" in (reports / "saved/report.html").read_text()


@pytest.mark.slow  # ten seconds; test_docs.py asks for the same by its page
def test_a_controls_questions_are_answered_by_files(reports, own_logits, tmp_path, capsys):
    """Written, answered line by line by whoever has the model, and read back."""
    split, logits = own_logits
    path, _ = write_form("jsonl", tmp_path, split, logits)
    words = ["evaluate", "config=mine.yaml", "split=val", "run=saved"]
    with pytest.raises(UserError, match="no plain answers of 'val' yet"):
        dghin([*words, "control=blind", f"predictions={path}"])
    dghin([*words, f"predictions={path}"])
    before = RunFolder(reports / "saved").rows("val").read_bytes()
    for control in ("blind", "left-right", "other-image"):
        dghin([*words, f"control={control}", "write=asked.jsonl"])
        asked = [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text().splitlines()]
        assert asked and {one["control"] for one in asked} == {control}
        shapes = {one.image: split.truth(i).shape for i, one in enumerate(split.expressions)}
        lines = [one | run_lengths(np.ones(shapes[one["image"]], bool)) for one in asked]
        answers = tmp_path / f"{control}.jsonl"
        answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
        dghin([*words, f"control={control}", f"predictions={answers}"])
        rows = pd.read_parquet(RunFolder(reports / "saved").rows("val", control))
        assert len(rows) == len(asked) and rows["read"].tolist() == [x["sentence"] for x in asked]
        assert (rows["strict_union"] == rows["height"] * rows["width"]).all()  # stretched, too
        assert (rows["agreement_union"] == rows["strict_union"]).all()
    assert RunFolder(reports / "saved").rows("val").read_bytes() == before
    dghin(["report", "run=saved"])
    dghin(["verify", "reports/saved"])
    assert "left-right" in (reports / "saved/tables/controls.md").read_text()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("png size", "another size than their photos"),
        ("three values", "values 0, 100, 255"),
        ("unknown id", "1 answer is in none of the splits.*99999"),
        ("empty file", "empty"),
        ("nan", "not finite"),
        ("run lengths", "add up"),
        ("nothing there", "neither a file nor a folder"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(reports, own_logits, tmp_path, kind, message):
    split, logits = own_logits
    if kind in ("png size", "three values"):
        path, _ = write_form("png ref", tmp_path, split, logits)
        one = path / f"{by_ref(split.expressions[0])}.png"
        pixels = np.zeros(split.truth(0).shape, np.uint8)
        if kind == "png size":
            pixels = np.zeros((7, 9), np.uint8)
        else:
            pixels[0, :2] = 100, 255
        Image.fromarray(pixels).save(one)
    elif kind == "nan":
        values = {by_ref(e): x.numpy() for e, x in zip(split.expressions, logits, strict=True)}
        values[by_ref(split.expressions[1])] = np.full((2, 64, 64), np.nan, np.float32)
        np.savez(tmp_path / "a.npz", **values)
        path = tmp_path / "a.npz"
    elif kind == "nothing there":
        path = tmp_path / "nothing"
    else:
        path, _ = write_form("json", tmp_path, split, logits)
        entries = json.loads(path.read_text())
        if kind == "unknown id":
            entries[0]["sent_id"] = "99999"
        elif kind == "run lengths":
            entries[0]["counts"] = [5, 5]
        path.write_text("" if kind == "empty file" else json.dumps(entries))
    with pytest.raises(UserError, match=f"(?s){message}"):
        dghin(["evaluate", "config=mine.yaml", "split=val", f"predictions={path}", "run=saved"])
    assert not RunFolder(reports / "saved").rows("val").exists()


WRITERS = {
    "clipseg": tiny_models.write_tiny_clipseg,
    "sam3": tiny_models.write_tiny_sam3,
    "florence2": tiny_models.write_tiny_florence2,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_a_model_of_transformers_from_photos_to_the_verified_report(
    reports, tmp_path, tiny_config, kind
):
    torch.manual_seed(0)
    WRITERS[kind](tmp_path / kind)
    about = ["about.name=Tiny", "about.training_data=single"]
    words = ["config=mine.yaml", f"run={kind}", f"model=hf:{tmp_path / kind}", "split=val"]
    dghin(["evaluate", *words, "control=all", *about])
    folder = RunFolder(reports / kind)
    metrics = json.loads(folder.metrics.read_text())
    assert set(metrics["controls"]) == {
        "shuffled", "blind", "other-image", "left-right", "above-below",
    }  # fmt: skip
    split = open_split(tiny_config, "val")
    assert metrics["val"]["strict"]["count"] == len(split)
    assert len(folder.answers("val").read_text().splitlines()) == len(split)
    dghin(["report", f"run={kind}"])
    page = folder.page.read_text()
    assert "The model is Tiny" in page and "The network is DGHIN" not in page
    assert (folder.figures / "masks_best.png").is_file()
    dghin(["verify", str(folder.path)])
    dghin(["exam", f"run={kind}", *words[2:], "config=mine.yaml"])
    asked = set(pd.read_csv(folder.tables / "exam.csv")["Control"])
    assert {"shuffled", "word-order", "negation", "without-colour", "merged"} <= asked
    assert (folder.path / "exam.html").is_file()
    dghin(["verify", str(folder.path)])
    dghin(["compare", "own", kind])
    dghin(["verify", f"reports/compare-own-{kind}"])
    shown = (reports / f"compare-own-{kind}/tables/differences.csv").read_text()
    assert kind in shown and "strict" in shown


class OfSomebody:
    """A model with the two methods; what it answers is set in a test."""

    given = None

    def look(self, photo):
        return np.asarray(photo).shape[:2]

    def answer(self, seen, expressions):
        if callable(self.given):
            return self.given(seen, expressions)
        return self.given


def test_one_run_is_of_one_model(reports, own_logits, tmp_path, monkeypatch):
    path, _ = write_form("jsonl", tmp_path, *own_logits)
    words = ["evaluate", "config=mine.yaml", "split=val"]
    with pytest.raises(UserError, match="holds a training of DGHIN; saved predictions is another"):
        dghin([*words, "run=own", f"predictions={path}"])
    dghin([*words, "run=saved", f"predictions={path}"])
    before = RunFolder(reports / "saved").rows("val").read_bytes()
    (tmp_path / "theirs.py").write_text(
        "class Mine:\n    look = lambda self, photo: photo.size[::-1]\n"
        "    answer = lambda self, seen, texts: [[[0] * seen[1]] * seen[0] for _ in texts]\n"
    )
    with pytest.raises(UserError, match="was answered by saved predictions, and not by theirs"):
        dghin([*words, "run=saved", "model=theirs:Mine"])
    assert RunFolder(reports / "saved").rows("val").read_bytes() == before
    dghin([*words, "run=mine", "model=theirs:Mine"])
    assert "name: theirs:Mine" in RunFolder(reports / "mine").about.read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "returned no list of answers for .* expressions .NoneType.. Return a list"),
        ([], "returned 0 answers for"),
        (lambda seen, texts: [None for _ in texts], "an array of shape"),
        (lambda seen, texts: [np.full(seen, np.nan) for _ in texts], "not finite"),
        (lambda seen, texts: [np.full(seen, 200.0) for _ in texts], "no probabilities"),
    ],
)
def test_what_a_model_returns_by_mistake_is_named(tmp_path, tiny_config, given, message):
    from dghin.evaluation.segmenters.answerers import Outside

    model = OfSomebody()
    model.given = given
    with pytest.raises(UserError, match=message):
        evaluate_run(tmp_path, tiny_config, ["val"], model=Outside(model))


def test_an_error_inside_a_model_says_which_expression(tmp_path, tiny_config):
    from dghin.evaluation.segmenters.answerers import Outside

    model = OfSomebody()
    model.given = lambda seen, texts: 1 / 0
    with pytest.raises(ZeroDivisionError) as caught:
        evaluate_run(tmp_path, tiny_config, ["val"], model=Outside(model))
    assert "while answering shapes val" in caught.value.__notes__[0]


def test_a_name_of_transformers_without_hf_is_recognized(reports, tmp_path):
    tiny_models.write_tiny_clipseg(tmp_path / "clipseg")
    with pytest.raises(UserError, match="Give model=hf:clipseg"):
        dghin(["evaluate", "config=mine.yaml", "run=x", "model=clipseg"])
    with pytest.raises(UserError, match="name the module, not the file: mine:Mine"):
        dghin(["evaluate", "config=mine.yaml", "run=x", "model=mine.py:Mine"])


def test_masks_at_the_networks_size_alone_go_all_the_way(reports, own_logits, tmp_path):
    """Where rows have no `strict`, everything takes the first protocol there is."""
    path, _ = write_form("png small", tmp_path, *own_logits)
    dghin(["evaluate", "config=mine.yaml", "split=val", f"predictions={path}", "run=saved"])
    dghin(["report", "run=saved"])
    folder = RunFolder(reports / "saved")
    for name in ("by_size", "failures"):
        assert set(pd.read_csv(folder.tables / f"{name}.csv")["Protocol"]) == {"paper"}
    assert (folder.figures / "masks_best.png").is_file()
    assert "Overall IoU in the paper protocol" in folder.page.read_text()
    dghin(["verify", str(folder.path)])
    dghin(["compare", "own", "saved"])
    table = pd.read_csv(reports / "compare-own-saved/tables/differences.csv")
    assert table["Protocol"].tolist() == ["paper"] and table["Δ oIoU"].tolist() == [0]
    page = (reports / "compare-own-saved/report.html").read_text()
    assert "by split, paper protocol" in page and "strict protocol" not in page
    dghin(["verify", "reports/compare-own-saved"])


@pytest.mark.slow
@pytest.mark.parametrize("what", ["predictions", "stored answers"])
def test_what_rows_are_of_may_not_be_altered(reports, own_logits, tmp_path, what):
    path, _ = write_form("jsonl", tmp_path, *own_logits)
    dghin(["evaluate", "config=mine.yaml", "split=val", f"predictions={path}", "run=saved"])
    dghin(["report", "run=saved"])
    dghin(["verify", "reports/saved"])
    altered = path if what == "predictions" else RunFolder(reports / "saved").answers("val")
    lines = altered.read_text().splitlines(keepends=True)
    altered.write_text("".join(lines[::-1]))
    with pytest.raises(UserError, match=f"{altered.name}.*altered since"):
        dghin(["verify", "reports/saved"])
    altered.unlink()  # what is not here nobody can check; the rows hold the counts
    dghin(["verify", "reports/saved"])
