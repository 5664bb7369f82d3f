"""What a mask lies on: every case by its rule, and the columns of whole splits."""

import json

import numpy as np
import pandas as pd
import pytest

from data_preprocess.raw.segmentation import run_lengths
from data_preprocess.shapes.meaning import Meaning
from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.metrics import expression_iou
from dghin.evaluation.objects.lies_on import KINDS, PLACES, columns_of, place_of, with_objects
from dghin.evaluation.objects.photos import AnnotatedObject, Photo
from dghin.evaluation.reference import reference_answerer
from dghin.run.folder import RunFolder

SIZE = (10, 40)


def boxes(*spans):
    """A mask of full columns each: bool (N, H, W)."""
    found = np.zeros((len(spans), *SIZE), bool)
    for mask, (start, stop) in zip(found, spans, strict=True):
        mask[:, start:stop] = True
    return found


OBJECTS = boxes((0, 10), (12, 22), (24, 34))  # the first one is meant


@pytest.mark.parametrize(
    ("span", "place"),
    [
        ((0, 10), 0),
        ((0, 20), 0),  # an IoU of 0.5 with the object meant, though half of the next is marked
        ((0, 21), "several"),
        ((5, 17), "several"),  # exactly half of two
        ((6, 17), 1),  # less than half of the first
        ((12, 22), 1),
        ((22, 40), 2),
        ((0, 2), 0),
        ((0, 1), 0),  # an IoU of exactly 0.1
        ((10, 13), "no object"),  # below it
        ((10, 12), "no object"),
        ((3, 3), "nothing"),
        ((0, 40), "several"),
    ],
)
def test_every_place_by_its_rule(span, place):
    assert place_of(boxes(span)[0], OBJECTS) == place


def test_what_is_inside_another_makes_no_two():
    person, tie, hat = boxes((0, 20), (5, 9), (18, 24))
    assert place_of(boxes((0, 20))[0], np.stack([hat, person, tie])) == 1
    assert place_of(boxes((5, 9))[0], np.stack([hat, person, tie])) == 2
    assert place_of(boxes((0, 24))[0], np.stack([hat, person, tie])) == "several"
    assert place_of(boxes((0, 20))[0], np.stack([tie, person])) == 1


def test_an_object_that_could_not_be_drawn_is_never_lain_on():
    objects = np.concatenate([np.zeros((1, *SIZE), bool), OBJECTS])
    assert place_of(boxes((12, 22))[0], objects) == 2
    assert place_of(boxes((35, 40))[0], objects) == "no object"


PHOTO = Photo(SIZE, [AnnotatedObject(str(n), c, []) for n, c in ((7, 1), (8, 1), (9, 2))])


@pytest.mark.parametrize(
    ("place", "name"),
    [(1, "meant"), (0, "same class"), (2, "other class"), ("several", "several")],
)
def test_classes_are_those_of_the_annotations(place, name):
    assert columns_of(place, PHOTO, 1, None) == {"lies_on": name}
    assert name in PLACES


@pytest.mark.parametrize(("place", "off"), [(0, -1), (1, 0), (2, 1), ("nothing", None)])
def test_an_ordinal_says_how_many_places_it_is_off(place, off):
    columns = columns_of(place, PHOTO, 1, Meaning((7, 8, 9), rank=2))
    assert columns["places_off"] == off and columns["on_named"] == (off is not None)
    assert (columns["rank"], columns["named"]) == (2, 3) and "on_anchor" not in columns


def test_what_is_not_counted_is_no_number_of_places_off():
    columns = columns_of(0, PHOTO, 1, Meaning((9, 8), rank=2))
    assert columns["places_off"] is None and columns["on_named"] is False


@pytest.mark.parametrize(("place", "on"), [(1, False), (2, True), ("several", False)])
def test_a_relation_says_whether_the_anchor_is_marked(place, on):
    columns = columns_of(place, PHOTO, 1, Meaning((7, 8), anchor=9))
    assert columns["on_anchor"] is on and "rank" not in columns


@pytest.fixture
def split(tmp_path):
    """Rows, stored answers and the file of objects of one photo, as of RefCOCO."""
    polygons = [[[x, 0, x + 10, 0, x + 10, 10, x, 10]] for x in (0, 12, 24)]
    annotations = [
        {"id": number, "image_id": 5, "category_id": category, "segmentation": polygon}
        for number, category, polygon in zip((1, 2, 3), (1, 1, 2), polygons, strict=True)
    ]
    images = [{"id": 5, "file_name": "5.jpg", "height": 10, "width": 40}]
    (tmp_path / "refcoco").mkdir()
    (tmp_path / "refcoco/instances.json").write_text(
        json.dumps({"images": images, "annotations": annotations})
    )
    spans = [(0, 10), (12, 22), (24, 34), (4, 4), (0, 10), (0, 10)]
    answers = [run_lengths(mask) for mask in boxes(*spans)]
    answers[4] = {"no_target": False}  # a score alone
    entries = [entry | {"sentence": "one\u2028two"} for entry in answers]  # no end of a line
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries]
    (tmp_path / "answers.jsonl").write_text("".join(lines), encoding="utf-8")
    rows = pd.DataFrame(
        {
            "dataset": "refcoco", "split": "val", "segment_id": "0", "ann_id": "1", "image_id": "5",
            "sentence": "one", "targets": [1, 1, 1, 1, 1, 2], "height": 10, "width": 40,
            "distractors": pd.array([1] * 6, "Int64"),
        }
    )  # fmt: skip
    rows.attrs["provenance"] = {"commit": "c"}
    return rows, tmp_path / "answers.jsonl", tmp_path


def test_rows_of_photos_know_what_they_lie_on(split):
    found = with_objects(*split)
    assert found["lies_on"].tolist()[:4] == ["meant", "same class", "other class", "nothing"]
    assert found["lies_on"].isna().tolist() == [False] * 4 + [True] * 2  # no mask; two targets
    assert not set(KINDS) & set(found.columns), "a photo's words do not say which objects they name"
    assert found.attrs == {"provenance": {"commit": "c"}}
    assert found.drop(columns="lies_on").equals(split[0])


def test_what_is_not_known_stays_away(split, caplog):
    rows, answers, data = split
    unknown = rows.assign(distractors=pd.array([pd.NA] * 6, "Int64"))  # the file is not complete
    for changed in (
        unknown, rows.assign(ann_id=""), rows.assign(dataset="referit"), rows.assign(ann_id="99"),
        rows.assign(height=11), rows.assign(targets=0),
    ):  # fmt: skip
        assert "lies_on" not in with_objects(changed, answers, data)
    assert "lies_on" not in with_objects(rows, data / "none.jsonl", data)
    (data / "refcoco/instances.json").write_text("{")
    assert "lies_on" not in with_objects(rows, answers, data) and "stays unknown" in caplog.text
    (data / "refcoco/instances.json").unlink()
    assert with_objects(rows, answers, data) is rows


def test_without_pycocotools_it_stays_unknown(split, monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    assert "lies_on" not in with_objects(*split) and "stays unknown" in caplog.text


def test_an_evaluation_adds_the_columns(tiny_config, tmp_path):
    """The perfect answerer marks what is meant; the deaf one all objects that are spoken of."""
    results = {
        name: evaluate_run(tmp_path / name, tiny_config, ["val", "testB"], ["shuffled"],
                           reference_answerer(name))
        for name in ("perfect", "deaf")
    }  # fmt: skip
    for split in ("val", "testB"):
        rows = results["perfect"][""][split]
        assert (rows["lies_on"] == "meant").all() and rows["on_named"].all()
        ordinal, relation = (rows["kind"] == kind for kind in ("ordinal", "relation"))
        assert (rows["places_off"][ordinal] == 0).all() and rows["rank"].notna().equals(ordinal)
        assert rows["on_anchor"].notna().equals(relation) and not rows["on_anchor"].any()
        assert (rows["named"] >= 1).all() and (rows["named"][ordinal] >= 2).all()
        deaf = results["deaf"][""][split]  # right by half only where the object is large
        large = expression_iou(deaf["strict_intersection"], deaf["strict_union"]) >= 0.5
        assert deaf["lies_on"].tolist() == np.where(large, "meant", "several").tolist()
        stored = pd.read_parquet(RunFolder(tmp_path / "perfect").rows(split))
        pd.testing.assert_frame_equal(stored, rows)
        assert "lies_on" not in results["perfect"]["shuffled"][split], "only of the plain rows"


def test_a_single_row_is_known_too(split):
    rows, answers, data = split
    assert list(with_objects(rows.head(1), answers, data)["lies_on"]) == list(
        with_objects(rows, answers, data)["lies_on"][:1]
    )
