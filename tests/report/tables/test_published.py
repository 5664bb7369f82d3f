"""Published scores: nothing is dropped, and only what compares has a difference."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_json
from data_preprocess.raw.datasets import MARKER
from dghin.evaluation.metrics import PROTOCOLS, metrics_from_rows
from dghin.report.tables.published import (
    COLUMNS,
    METRICS,
    PROTOCOLS_OF,
    literature_table,
    read_published,
    why_not,
)
from dghin.run.config import load_config

FILE = Path(__file__).parents[3] / "reports" / "published.csv"
LINE = {
    "method": "LAVT", "backbone": "Swin-B", "training_set": "single", "dataset": "refcoco",
    "split": "val", "metric": "oiou", "value": "72.73", "protocol": "resized 480, argmax",
    "source": "README", "confidence": "authors", "note": "",
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Write lines (changes to LINE) as a file of published scores; → its path."""

    def written(*changes, columns=COLUMNS):
        path = tmp_path / "published.csv"
        lines = pd.DataFrame([LINE | change for change in changes])
        lines.reindex(columns=list(columns), fill_value="").to_csv(path, index=False)
        return path

    return written


def make_rows(split, protocols=PROTOCOLS, seed=0, targets=1):
    random = np.random.default_rng(seed)
    frame = {"split": split, "length": random.integers(1, 20, 40), "area": 200, "targets": targets}
    for protocol in protocols:
        union = random.integers(200, 500, 40)
        frame[f"{protocol}_union"] = union
        frame[f"{protocol}_intersection"] = (union * random.random(40)).astype(int)
    return pd.DataFrame(frame)


@pytest.fixture
def results():
    return {"": {split: make_rows(split, seed=i) for i, split in enumerate(("val", "testA"))}}


def only(frame, method="LAVT"):
    lines = frame[frame["Method"] == method]
    assert len(lines) == 1
    return lines.iloc[0]


LAVTS = "model.image_size=480"  # where LAVT's scores are taken


def table(results, path, name="refcoco", overrides=()):
    config = load_config(name, [LAVTS, *overrides])
    return literature_table(results, config, read_published(path))


def test_the_file_holds_what_it_held():
    published = read_published(FILE)
    assert published["dataset"].value_counts().to_dict() == {
        "refcoco": 412, "refcoco+": 388, "refcocog_umd": 238, "grefcoco": 70,
        "refcocog_google": 37, "referit": 8, "refcoco-m": 1,
    }  # fmt: skip
    assert len(published) == sum(1 for _ in FILE.open(encoding="utf-8")) - 1 == 1154
    assert list(published.columns) == [*COLUMNS, "version", "versions"]
    assert published["metric"].isin(list(METRICS)).all()


def test_only_lines_of_dghin_are_empty_and_say_so():
    """Until somebody fills them in."""
    published = read_published(FILE)
    empty = published[published["value"].isna()]
    assert set(empty["method"]) <= {"DGHIN"}
    assert empty["note"].str.contains("not publicly readable").all()
    dghin = published[published["method"] == "DGHIN"]
    assert set(dghin["protocol"]) == {"paper"} and set(dghin["metric"]) == {"oiou"}
    assert (published["method"] == "DGHIN").sum() == 10


def test_values_that_contradict_each_other_all_have_a_note():
    published = read_published(FILE)
    several = published[published["versions"] > 1]
    assert len(several) == 26 and several.groupby("method").ngroups == 6
    assert several["note"].str.contains("print|versions").all()
    assert published.drop(columns=["version"]).duplicated().sum() == 0


def test_every_protocol_of_the_file_is_ours_or_known_to_be_another():
    texts = set(read_published(FILE)["protocol"])
    assert texts - set(PROTOCOLS_OF) == {
        "",
        "with CRF",
        "DenseCRF code",
        "threshold 0.35",
        "threshold 0.5; val at 480, test upsampled bicubic to original size",
        "resized mask is the CARIS default (448 input); not stated for this reproduction",
        "480×480, argmax; truth drawn from polygons there",
        "1024×1024, threshold 0.5; truth filled by cv2.fillPoly, resized there",
        "384×384 padded, above 0.5 at the network's size, enlarged bilinearly, all above 0",
        "original size, logits above 0; truth filled by cv2.fillPoly",
        "original size, Mask R-CNN's mask of the chosen box",
        "original size, threshold 0.35, after suppression outside the found box (ASNLS)",
        "logits to the original size by nearest, threshold 0.5",
        "mask at the input's size, to the original size by nearest",
        "polygons drawn at 512×512, truth resized there",
        "polygon drawn at the input's size (640, proportions kept), truth resized there",
        "threshold 0.5 at the input's size (proportions kept), truth resized there",
    }
    assert {ours for ours, _ in PROTOCOLS_OF.values()} == set(PROTOCOLS)


def test_a_size_that_a_protocol_names_is_the_size_that_is_shown():
    for words, (ours, shown) in PROTOCOLS_OF.items():
        sizes = re.findall(r"\b\d{3}\b", words)
        assert shown == (f"{ours}, {sizes[0]}×{sizes[0]}" if sizes else ours)


# Method → its lines with a protocol, and which (as it is shown).
STATED = {
    "LISA-7B": (8, "strict"), "LISA-7B (ft)": (8, "strict"), "LISA-13B": (9, "strict"),
    "LISA-7B (public v1 weights, re-run)": (8, "strict"), "GSVA-7B": (8, "strict"),
    "GSVA-7B (ft)": (14, "strict"), "GSVA-13B": (14, "strict"), "GSVA-13B (ft)": (8, "strict"),
    "GLaMM": (8, "strict"), "EVF-SAM": (8, "strict"), "Sa2VA-8B": (3, "strict"),
    "Sa2VA-26B": (3, "strict"), "MLCD-Seg-7B": (8, "strict"), "VATEX": (8, "strict"),
    "EFN (CEFNet)": (7, "paper"), "SLViT": (8, "resized, 480×480"),
    "CARIS": (15, "resized, 448×448"), "MaskRIS": (27, "resized, 448×448"),
    "VPD": (18, "resized, 512×512"), "EVP": (2, "resized, 512×512"),
    "BKINet": (8, "threshold=0.35"), "ASDA": (9, "threshold=0.35"),
}  # fmt: skip


def test_methods_have_the_protocol_of_their_authors_code():
    published = read_published(FILE)
    found = {}
    for method in STATED:
        lines = published[published["method"] == method]
        (shown,) = {PROTOCOLS_OF[words][1] for words in lines["protocol"]}
        assert lines["note"].str.contains(r"protocol: [\w.-]+/[\w.-]+ \w").all(), method
        found[method] = (len(lines), shown)
    assert found == STATED


def test_lines_whose_protocol_is_not_stated_have_none():
    published = read_published(FILE)
    without = published[published["protocol"] == ""]
    assert len(without) == 416
    assert not set(without["method"]) & set(STATED)
    noted = without["note"].str.contains("protocol: ")
    assert not noted.any()
    others = without[without["method"].isin(["MAttNet", "PolyFormer-B", "PolyFormer-L"])]
    assert set(others["dataset"][others["method"] == "MAttNet"]) == {"grefcoco"}
    assert set(others["metric"]) == {"ciou", "giou", "pr50"}  # by others; may be boxes


def test_the_lines_added_later_all_stand_in_the_file():
    published = read_published(FILE).set_index(["method", "training_set", "dataset", "split"])
    new = published.loc[["CARIS", "ReferSAM", "EVP", "Moondream Segmentation"]]
    assert new.groupby("method").size().to_dict() == {
        "CARIS": 15, "ReferSAM": 3, "EVP": 2, "Moondream Segmentation": 3,
    }  # fmt: skip
    for key, metric, value in (
        (("CARIS", "single", "refcoco", "val"), "oiou", 75.13),
        (("CARIS", "single", "refcoco", "testB"), "miou", 74.51),
        (("CARIS", "single", "refcocog_google", "val"), "oiou", 63.84),
        (("CARIS", "combined", "refcoco", "testB"), "oiou", 73.52),
        (("ReferSAM", "single", "refcoco", "testA"), "oiou", 68.61),
        (("EVP", "single", "refcoco", "val"), "miou", 77.61),
        (("Moondream Segmentation", "mixed", "refcoco-m", "val"), "oiou", 87.6),
        (("LISA-13B", "mixed", "refcoco", "val"), "oiou", 72.22),
        (("LISA-13B", "mixed", "refcoco", "testA"), "oiou", 75.00),
        (("LISA-13B", "mixed", "refcoco", "testB"), "oiou", 68.52),
    ):
        lines = published.loc[[key]]
        assert list(lines["value"][lines["metric"] == metric]) == [value], key


@pytest.mark.parametrize("name", ["refcoco", "refcoco+", "refcocog_umd", "refcocog_google"])
def test_the_real_tables_show_every_value_once(name):
    config, published = load_config(name), read_published(FILE)
    chosen = published[published["dataset"] == name]
    frame = literature_table({"": {}}, config, published)
    splits = [split for split in frame.columns if split in set(chosen["split"])]
    shown = frame[splits].to_numpy().ravel()
    assert sorted(shown[~np.isnan(shown)]) == sorted(chosen["value"].dropna())
    assert why_not(config, published) == ""
    yes = set(frame[frame["Compares"] == "yes"]["Method"])
    assert set() < yes <= {"CRIS", "DETRIS-B", "DETRIS-L", "EFN (CEFNet)"}
    large = literature_table({"": {}}, load_config(name, [LAVTS]), published)
    more = set(large[large["Compares"] == "yes"]["Method"]) - yes
    assert {"LAVT"} <= more <= {"LAVT", "LAVT (lavt_one + Dice)", "DMMI", "MagNet", "SLViT"}


@pytest.mark.parametrize(
    "name, size, more",
    [
        ("refcoco", 448, {"CARIS", "MaskRIS"}),
        ("refcoco", 512, {"VPD", "EVP"}),
        ("refcocog_google", 448, {"CARIS"}),
        ("joint", 448, {"CARIS", "MaskRIS", "MagNet"}),
    ],
)
def test_what_compares_at_the_size_where_it_was_scored(name, size, more):
    published = read_published(FILE)
    found = []
    for image_size in (416, size):
        config = load_config(name, [f"model.image_size={image_size}"])
        frame = literature_table({"": {}}, config, published)
        found.append(set(frame[frame["Compares"] == "yes"]["Method"]))
    assert found[1] - found[0] == more


def test_what_was_trained_on_more_than_a_joint_run_does_not_compare():
    frame = literature_table({"": {}}, load_config("joint"), read_published(FILE))
    lines = frame[frame["Method"].str.startswith("LISA") | (frame["Method"] == "GSVA-13B")]
    assert len(lines) > 3 and lines["Compares"].str.contains("trained on more").all()


def test_dghin_compares_once_its_values_are_filled_in(results):
    published = read_published(FILE)
    line = only(literature_table(results, load_config("refcoco"), published), "DGHIN")
    assert line["Compares"] == "no: value not known"
    ours = (published["method"] == "DGHIN") & (published["split"] == "val")
    published.loc[ours, "value"] = 50.0
    line = only(literature_table(results, load_config("refcoco"), published), "DGHIN")
    own = 100 * metrics_from_rows(results[""]["val"], "paper")["oiou"]
    assert line["Compares"] == "yes" and line["Δ val"] == pytest.approx(own - 50)
    line = only(literature_table(results, load_config("refcocog_umd"), published), "DGHIN")
    assert line["Compares"] == "no: G-Ref partition not known"


def test_a_difference_is_to_the_runs_score_under_the_published_protocol(results, write):
    path = write({}, {"split": "testA", "value": "75.82"}, {"metric": "pr50", "value": "84.46"})
    frame = table(results, path)
    for metric, shown, value in (("oiou", "oIoU", 72.73), ("pr50", "Pr@0.5", 84.46)):
        own = 100 * metrics_from_rows(results[""]["val"], "resized")[metric]
        line = only(frame[frame["Metric"] == shown])
        assert line["val"] == value and line["Δ val"] == pytest.approx(own - value)
        mine = frame[(frame["Metric"] == shown) & (frame["Method"] == "this run")]
        assert list(mine["Protocol"]) == ["strict", "resized, 480×480"]
        assert mine["val"].iloc[1] == pytest.approx(own)
    assert list(frame["Metric"]) == ["oIoU"] * 3 + ["Pr@0.5"] * 3


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"protocol": ""}, "protocol not stated"),
        ({"protocol": "with CRF"}, "another protocol"),
        ({"protocol": "threshold 0.35"}, "another protocol"),
        ({"protocol": "480×480, argmax; truth drawn from polygons there"}, "another protocol"),
        ({"training_set": "mixed"}, "trained on more"),
        ({"training_set": "combined"}, "trained on more"),
        ({"note": "trained on more than RefCOCO's family"}, "trained on more"),
        (
            {"protocol": "resized mask (448 input for mixed)"},
            "scored at another size than 480×480",
        ),
        ({"training_set": "mixed RefCOCO/+/g or larger"}, "trained on more"),
        ({"training_set": "not stated"}, "training data not stated"),
        ({"training_set": ""}, "training data not stated"),
        ({"value": ""}, "value not known"),
        ({"note": "metric ambiguous: oIoU or mIoU"}, "which IoU it is, is not certain"),
        ({"protocol": "", "value": ""}, "value not known; protocol not stated"),
    ],
)
def test_what_does_not_compare_is_shown_with_its_reason_and_no_difference(
    results, write, change, reason
):
    frame = table(results, write({"method": "DETRIS"}, change))
    line = only(frame)
    assert line["Compares"] == f"no: {reason}"
    assert np.isnan(line["Δ val"])
    others = frame[frame["Compares"] != ""]["Method"]
    assert list(others) == ["DETRIS", "LAVT"]  # what compares stands first


def test_several_values_of_one_score_are_all_shown_and_none_compares(results, write):
    frame = table(results, write({}, {"value": "72.8", "source": "survey"}, {"split": "testA"}))
    lines = frame[frame["Method"] == "LAVT"]
    assert list(lines["val"]) == [72.73, 72.8]
    assert list(lines["Source"]) == ["README", "survey"]
    reason = "printed with several values"
    assert list(lines["Compares"]) == [f"in part: {reason}", f"no: {reason}"]
    assert "Δ val" not in frame
    assert lines["Δ testA"].notna().sum() == 1


def test_rows_of_an_older_evaluation_lack_protocols(write):
    old = {"": {"val": make_rows("val", ("strict", "paper"))}}
    frame = table(old, write({}))
    assert list(frame["Method"]) == ["this run", "LAVT"]
    assert (
        only(frame)["Compares"]
        == "no: this run has no such scores: evaluate it again, or save logits"
    )


def test_a_trial_of_some_expressions_compares_with_nothing(results, write):
    frame = table(results, write({}), overrides=["evaluate.expressions=20"])
    assert "first 20 expressions" in only(frame)["Compares"]
    assert not [name for name in frame.columns if name.startswith("Δ")]


def test_a_joint_run_stands_beside_what_was_trained_jointly(write):
    rows = {"": {"val": make_rows("val"), "refcoco_testA": make_rows("refcoco_testA")}}
    changes = {"split": "testA", "method": "mixed"}
    path = write(
        {"split": "testA"},
        changes | {"training_set": "mixed"},
        changes | {"method": "combined", "training_set": "combined"},
        {"dataset": "grefcoco"},
    )
    frame = table(rows, path, "joint")
    assert "refcoco_testA" in frame and "val" not in frame
    assert only(frame)["Compares"] == "no: trained on one data set"
    assert only(frame, "mixed")["Compares"] == "yes"
    assert only(frame, "combined")["Compares"] == "yes"
    assert set(frame[frame["Method"] == "this run"]["Training data"]) == {"mixed"}


def test_generalized_scores_of_the_run_stand_beside_those_published(write):
    rows = make_rows("val", targets=[0, 1, 2, 1] * 10)
    path = write({"dataset": "grefcoco", "metric": "giou", "protocol": ""})
    frame = table({"": {"val": rows}}, path, "grefcoco")
    own = frame[frame["Method"] == "this run"]
    assert own["val"].item() == pytest.approx(100 * metrics_from_rows(rows, "strict")["giou"])


def test_where_every_expression_means_one_object_ciou_is_oiou(results, write):
    frame = table(results, write({"metric": "ciou"}, {"metric": "giou"}))
    scores = metrics_from_rows(results[""]["val"], "resized")
    for shown, name in (("cIoU", "oiou"), ("gIoU", "miou")):
        line = only(frame[frame["Metric"] == shown])
        assert line["Δ val"] == pytest.approx(100 * scores[name] - 72.73)


def test_why_there_is_no_table(results, write, tmp_path, monkeypatch):
    published = read_published(write({}))
    for name, words in (("demo", "drawn"), ("refcoco_google", "no scores on refcoco_google")):
        config = load_config(name)
        assert literature_table(results, config, published).empty
        assert words in why_not(config, published)
    config = load_config("refcoco")
    mine = dataclasses.replace(config, data=dataclasses.replace(config.data, dataset="mine"))
    assert literature_table(results, mine, published).empty and "mine" in why_not(mine, published)
    write_json(tmp_path / MARKER, {"dataset": "shapes"})  # asked for by the name of their layout
    drawn = load_config("refcoco", [f"data.root={tmp_path}"])
    assert literature_table(results, drawn, published).empty and "drawn" in why_not(drawn)
    monkeypatch.setattr("dghin.report.tables.published.PUBLISHED", tmp_path / "none.csv")
    assert literature_table(results, config).empty and "There is no reports" in why_not(config)


def test_own_data_can_have_published_scores(results, write):
    config = load_config("refcoco")
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, dataset="mine"))
    published = read_published(write({"dataset": "mine", "protocol": "strict"}))
    assert only(literature_table(results, config, published))["Compares"] == "yes"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"metric": "oIou"}, r"published.csv:3: unknown metric 'oIou'. Did you mean 'oiou'"),
        ({"value": "101"}, r":3: value '101' is no number from 0 to 100. Give percent"),
        ({"value": "-0.1"}, r":3: value '-0.1'"),
        ({"value": "nan"}, r":3: value 'nan'"),
        ({"value": "56,51"}, r":3: value '56,51'"),
        ({"split": "testa"}, r":3: unknown split of refcoco: 'testa'"),
        ({"method": " "}, r":3: no method"),
    ],
)
def test_a_line_that_cannot_be_is_an_error(write, change, message):
    with pytest.raises(UserError, match=message):
        read_published(write({}, change))


def test_a_file_that_cannot_be_is_an_error(write, tmp_path):
    with pytest.raises(UserError, match=r":1: .*unknown: score; missing: note\. It needs"):
        read_published(write({}, columns=(*COLUMNS[:-1], "score")))
    with pytest.raises(UserError, match=r":1: .*missing: note"):
        read_published(write({}, columns=COLUMNS[:-1]))
    path = write({})
    path.write_text(path.read_text() + "LAVT,Swin-B,single\n")
    with pytest.raises(UserError, match=r":3: 3 cells under 11 columns"):
        read_published(path)
    path.write_text("")
    with pytest.raises(UserError, match=r"columns \(none\)"):
        read_published(path)
    path.write_bytes(b"method\xff")
    with pytest.raises(UserError, match=r"not readable as CSV"):
        read_published(path)
    with pytest.raises(UserError, match=r"git checkout reports/published.csv"):
        read_published(tmp_path / "none.csv")
