"""gRefCOCO: several referents or none, from the raw files to ReLA's scores."""

import dataclasses
import json

import numpy as np
import pytest
from helpers.grefcoco import ref, write_grefcoco
from helpers.raw_trees import LANGUAGE, edit_json, write_refer
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.prepared.one_dataset import PrepareSettings
from data_preprocess.prepared.prepare import prepare
from data_preprocess.raw.datasets import DATASETS
from data_preprocess.raw.masks import draw_mask
from data_preprocess.raw.readers import read_raw
from data_preprocess.verify.verify import VerifySettings, verify_all
from dghin.data.dataset import open_split
from dghin.evaluation.evaluate import evaluate_run, evaluate_split
from dghin.evaluation.metrics import NO_TARGET_PIXELS, generalized_scores, metrics_from_rows
from dghin.report.run_report import write_report
from dghin.report.tables.breakdowns import breakdown_table
from dghin.report.tables.results import write_results
from dghin.report.tables.scores import generalized_table, metrics_table

GREFCOCO = DATASETS["grefcoco"]


def records(root):
    raw = read_raw(root, GREFCOCO)
    return {r.segment_id: r for listed in raw.splits.values() for r in listed}


@pytest.fixture
def raw(tmp_path):
    return write_grefcoco(tmp_path)


@pytest.fixture
def prepared(raw):
    prepare(PrepareSettings("grefcoco", str(raw), **LANGUAGE))
    return raw


@pytest.fixture
def config(tiny_config, prepared):
    data = dataclasses.replace(tiny_config.data, root=str(prepared), dataset="grefcoco", shapes=0)
    return dataclasses.replace(tiny_config, data=data)


@pytest.mark.parametrize(
    ("value", "crowd"),
    [(1, True), ("1", True), (True, True), (0, False), ("0", False), (None, False), ("", False),
     (0.0, False), ("false", False), (" 0 ", False)],
)  # fmt: skip
def test_a_crowd_may_be_said_as_text(raw, value, crowd):
    def change(instances):
        instances["annotations"][0]["iscrowd"] = value

    edit_json(raw / "grefcoco/instances.json", change)
    assert ("1" not in records(raw)) == crowd  # the only object of ref 1


def test_masks_are_unions_and_nothing_is_an_empty_mask(raw):
    found = records(raw)
    masks = {name: draw_mask(record) for name, record in found.items()}
    assert {name: r.targets for name, r in found.items()} == {
        "1": 1, "2": 2, "3": 1, "4": 0, "5": 1, "6": 1,
    }  # fmt: skip
    second = draw_mask(dataclasses.replace(found["2"], shape=found["2"].shape.parts[1]))
    assert np.array_equal(masks["2"], masks["1"] | second)
    assert np.array_equal(masks["3"], masks["1"])  # without the crowd
    assert not masks["4"].any() and masks["5"].any()
    assert found["2"].bbox == (1.0, 2.0, 3.0, 4.0) and found["4"].bbox == ()


def test_distractors_are_others_of_the_classes_that_are_meant(raw):
    found = {name: record.distractors for name, record in records(raw).items()}
    # image 1 holds two objects and a crowd of one class
    assert found == {"1": 2, "2": 1, "3": 1, "4": None, "5": 0, "6": 0}

    def change(instances):
        instances["annotations"][1]["category_id"] = 2
        instances["annotations"].append({**instances["annotations"][1], "id": 105})

    edit_json(raw / "grefcoco/instances.json", change)
    found = {name: record.distractors for name, record in records(raw).items()}
    assert (found["1"], found["2"], found["3"]) == (1, 2, 0)


def test_the_box_of_several_is_around_them_all(raw):
    def move(instances):
        instances["annotations"][1]["bbox"] = [10, 0, 5, 4]

    edit_json(raw / "grefcoco/instances.json", move)
    assert records(raw)["2"].bbox == (1, 0, 14, 6)


def test_an_empty_target_is_no_warning(raw, caplog):
    draw_mask(records(raw)["4"])
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(ref(9, [], 1, "train", "x"), r"ref_id 9: ann_id \[\] is neither"),
     (ref(9, [100, -1], 1, "train", "x"), r"ann_id \[100, -1\] is neither"),
     (ref(9, [999], 1, "train", "x"), "its ann_id 999 is no annotation"),
     (ref(9, [102], 1, "train", "x"), "says image 1, but annotation 102 .* says image 2")],
)  # fmt: skip
def test_refs_that_make_no_sense_are_named(tmp_path, wrong, message):
    root = write_grefcoco(tmp_path, lambda refs: refs.append(wrong))
    with pytest.raises(UserError, match=message):
        records(root)


def test_refs_of_crowds_only_are_left_out_and_counted(tmp_path, caplog):
    root = write_grefcoco(tmp_path, lambda refs: refs.append(ref(9, [104], 1, "train", "x")))
    assert "9" not in records(root) and len(records(root)) == 6
    assert "left out refs of crowds only: {'train': 1}" in caplog.text


def test_prepared_annotations_say_how_many_are_meant(prepared):
    root = prepared / "data_v3"
    entries = json.loads((root / "anns/grefcoco/train.json").read_text())
    assert [entry.get("targets", 1) for entry in entries] == [1, 2, 1]
    (none, one) = json.loads((root / "anns/grefcoco/val.json").read_text())
    assert none["targets"] == 0 and "targets" not in one
    mask = np.asarray(Image.open(root / f"masks/grefcoco/{none['segment_id']}.png"))
    assert mask.shape == (20, 30) and not mask.any()


@pytest.mark.parametrize("form", ["raw", "prepared"])
def test_verify_takes_an_empty_mask_for_sound_where_nothing_is_meant(prepared, form):
    found = verify_all(VerifySettings("grefcoco", str(prepared), form=form, workers=1))
    assert found.checked.problems == [] and found.checked.masks == 6


def test_verify_notes_a_mask_where_nothing_is_meant(prepared):
    path = prepared / "data_v3/masks/grefcoco/4.png"
    Image.fromarray(np.full((20, 30), 255, np.uint8)).save(path)
    settings = VerifySettings("grefcoco", str(prepared), form="prepared", workers=1)
    ((where, what),) = verify_all(settings).checked.problems
    assert where == str(path) and what == "nothing is meant, but the mask is not empty"


def test_scores_are_those_of_the_definition():
    """Five expressions: found, missed, answered with nothing; two without target, one right."""
    intersection = [80, 0, 10, 0, 0]
    union = [160, 300, 400, 30, 90]
    area = [120, 200, 380, 0, 0]
    targets = [1, 2, 1, 0, 0]
    # masks of 120, 100, 30, 30 and 90 pixels: the third and fourth say "nothing"
    found = generalized_scores(*map(np.array, (intersection, union, area, targets)))
    assert found["giou"] == pytest.approx((0.5 + 0 + 0 + 1 + 0) / 5)
    assert found["ciou"] == pytest.approx(80 / (160 + 300 + 400 + 90))
    assert found["n_acc"] == 1 / 2 and found["t_acc"] == 2 / 3 and found["empty"] == 2


def test_scores_without_any_empty_target():
    found = generalized_scores([50], [100], [100], [2])
    expected = {"giou": 0.5, "ciou": 0.5, "n_acc": None, "t_acc": 1.0, "empty": 0, "pr50": 1.0}
    assert {name: found[name] for name in expected} == expected and found["pr60"] == 0.0


def test_masks_that_say_nothing_nowhere_give_the_plain_mean():
    random = np.random.default_rng(0)
    area, predicted = random.integers(1, 500, 50), random.integers(NO_TARGET_PIXELS, 500, 50)
    both = np.minimum(area, predicted) // 2
    found = generalized_scores(both, area + predicted - both, area, np.ones(50))
    assert found["giou"] == pytest.approx(float((both / (area + predicted - both)).mean()))


def test_evaluation_to_tables(config, tiny_model, tmp_path):
    rows = evaluate_split(tiny_model, open_split(config, "val"), config)
    assert rows["targets"].tolist() == [0, 1] and rows["area"].tolist()[0] == 0
    scores = metrics_from_rows(rows, "strict")
    assert scores["empty"] == 1 and scores["n_acc"] in (0.0, 1.0)
    table = generalized_table({"": {"val": rows}})
    assert table["Without target"].tolist() == [1, 1]
    assert table["Protocol"].tolist() == ["resized", "strict"]  # ReLA scores at the network's size
    assert [name for name in table.columns if "," not in name][-4:] == [
        "gIoU", "cIoU", "N-acc", "T-acc",
    ]  # fmt: skip
    main = metrics_table({"": {"val": rows}})
    assert main["mIoU"].tolist()[0] == table["gIoU"].tolist()[1], "one answer, one IoU"
    assert breakdown_table({"": {"val": rows}}, "by_targets")["Objects meant"].tolist() == [
        "none", "one", "several",
    ]  # fmt: skip
    write_results({"": {"val": rows}}, tmp_path)
    assert (tmp_path / "tables/generalized.md").is_file()
    written = json.loads((tmp_path / "metrics.json").read_text())["val"]["strict"]
    assert written["giou"] == scores["giou"]


def test_data_with_one_object_each_have_no_such_table(tiny_config, tiny_model, tmp_path):
    rows = evaluate_split(tiny_model, open_split(tiny_config, "val"), tiny_config)
    assert "giou" not in metrics_from_rows(rows, "strict")
    assert len(generalized_table({"": {"val": rows}})) == 0
    write_results({"": {"val": rows}}, tmp_path)
    assert not (tmp_path / "tables/generalized.md").exists()
    older = rows.drop(columns="targets")  # rows of a run before there was such a column
    assert metrics_table({"": {"val": older}}).equals(metrics_table({"": {"val": rows}}))


def test_the_report_has_the_table(config, tiny_model, tmp_path):
    evaluate_run(tmp_path, config, ["val"], model=tiny_model)
    (tmp_path / "config.yaml").write_text("name: demo\n")
    assert "Several referents or none" in write_report(tmp_path).read_text()


def test_it_can_be_a_member_of_joint(raw):
    """RefCOCO's train image is in none of gRefCOCO's held-out splits, so all of both is kept."""
    write_refer(raw)
    settings = PrepareSettings("joint", str(raw), members=("refcoco", "grefcoco"), **LANGUAGE)
    manifest = prepare(settings)
    assert manifest["splits"]["train"]["objects"] == 2 + 3
    entries = json.loads((raw / "data_v3/anns/joint/val.json").read_text())
    assert [e["segment_id"] for e in entries if e.get("targets") == 0] == ["grefcoco/4"]
