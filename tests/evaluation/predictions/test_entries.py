"""Entries in JSON and JSONL: which expression, which mask, whatever the project calls them."""

import json

import numpy as np
import pytest

from data_preprocess.base.errors import UserError
from dghin.evaluation.predictions.entries import read_entries
from dghin.evaluation.predictions.names import Asked

RUNS = {"size": [2, 3], "counts": [1, 2, 3]}
MASK = np.array([[0, 1, 0], [1, 0, 0]], bool)


def read(jsonl, *entries, **more):
    return read_entries(jsonl(entries), ["val"], **more)


@pytest.mark.parametrize(
    ("entry", "asked"),
    [
        ({"sent_id": 7}, Asked(sent_id="7")),
        ({"sent_id": "7"}, Asked(sent_id="7")),
        ({"ref_id": 1, "sentence_index": 0}, Asked(ref="1", index="0")),
        ({"ref_id": 1, "sent": "a dog"}, Asked(ref="1", sentence="a dog")),
        ({"segment_id": "1", "expression": "a dog"}, Asked(ref="1", sentence="a dog")),
        ({"image": "a.jpg", "sentence": "dog"}, Asked(image="a.jpg", sentence="dog")),
        ({"img_name": "a.jpg", "caption": "dog"}, Asked(image="a.jpg", sentence="dog")),
        ({"sent_id": "", "segment_id": "1", "sentence_index": 2}, Asked(ref="1", index="2")),
        ({"sent_id": 7, "split": "val"}, Asked(sent_id="7", split="val")),
        ({"sent_id": 7, "split": "train"}, Asked(sent_id="7")),  # of another data set's names
        ({"idx": 3, "image_path": "unlabeled2017/a.jpg"},
         Asked(ref="3", image="unlabeled2017/a.jpg")),  # GSEval
        ({"doc_id": 0, "doc": {"ref_id": 4, "expression": "dog"}, "target": "x"},
         Asked(ref="4", sentence="dog")),  # lmms-eval
    ],
)  # fmt: skip
def test_which_expression(jsonl, entry, asked):
    ((found, _),) = read(jsonl, entry | {"segmentation": RUNS})
    assert found == asked


@pytest.mark.parametrize(
    "mask",
    [
        RUNS,
        {"segmentation": RUNS},
        {"predicted_segmentation": RUNS},  # GSEval
        {"mask": RUNS},
        {"rle": {"counts": [1, 2, 3]}, "size": [2, 3]},
        {"rle": {"counts": [1, 2, 3]}, "height": 2, "width": 3},
        {"masks": [{"size": [2, 3], "counts": [1, 1, 4]}, {"size": [2, 3], "counts": [2, 1, 3]}]},
        {"resps": [["?"]], "filtered_resps": [json.dumps({"masks": [RUNS], "boxes": [{}],
                                                          "scores": [0.9]})]},
        {"resps": [[json.dumps({"masks": [RUNS], "boxes": [], "scores": []})]]},
    ],
)  # fmt: skip
def test_which_mask(jsonl, mask):
    ((_, stored),) = read(jsonl, {"sent_id": 7} | mask)
    assert stored.shape == (2, 3) and stored.no_target is None
    assert (stored.load() == MASK).all()


def test_no_target(jsonl):
    answers = read(
        jsonl,
        {"sent_id": 1, "no_target": True},
        {"sent_id": 2, "no_target": True, "segmentation": None},
        {"sent_id": 3, "no_target": False, "segmentation": RUNS},
        {"sent_id": 4, "masks": []},  # of lmms-eval: the model found nothing
    )
    said = [(stored.no_target, stored.shape) for _, stored in answers]
    assert said == [(True, None), (True, None), (False, (2, 3)), (None, None)]
    assert answers[0][1].load() is None


def test_json_is_a_list_or_a_mapping(tmp_path):
    path = tmp_path / "a.json"
    for value, asked in (
        ([{"sent_id": 7, "segmentation": RUNS}], Asked(sent_id="7")),
        ({"7": RUNS}, Asked(name="7")),
        ({"12_0": {"mask": RUNS}}, Asked(name="12_0")),
        ({"x": {"sent_id": 7, "mask": RUNS}}, Asked(sent_id="7")),
        ({"val": {"7": RUNS}}, Asked(name="7", split="val")),
        ({"val": [{"sent_id": 7, "mask": RUNS}]}, Asked(sent_id="7", split="val")),
    ):
        path.write_text(json.dumps(value))
        ((found, stored),) = read_entries(path, ["val"])
        assert found == asked and (stored.load() == MASK).all()


def test_entries_of_a_control(jsonl):
    entries = [{"sent_id": 1} | RUNS, {"sent_id": 2, "control": "blind"} | RUNS]
    assert [asked.sent_id for asked, _ in read(jsonl, *entries)] == ["1"]
    assert [asked.sent_id for asked, _ in read(jsonl, *entries, control="blind")] == ["2"]
    with pytest.raises(UserError, match="none of its 2 entries is of the control 'shuffled'"):
        read(jsonl, *entries, control="shuffled")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"id": 7, "segmentation": RUNS}, "keys are id, segmentation. Needed are .*sent_id"),
        ({"image": "a.jpg", "segmentation": RUNS}, "keys are image, segmentation. Needed"),
        ({"sent_id": 7, "box": [1, 2, 3, 4]}, "keys are sent_id, box. Needed .*counts"),
        ({"idx": 7, "predicted_box": [1, 2, 3, 4]}, "keys are idx, predicted_box. Needed"),
        ({"sent_id": 7, "segmentation": None}, "no mask. .*missing=empty"),
        ({"sent_id": 7, "segmentation": [[1, 1, 2, 1, 2, 2]]}, "polygons"),
        ({"sent_id": 7, "segmentation": RUNS, "no_target": "yes"}, "no_target 'yes'"),
        ({"sent_id": 7, "filtered_resps": ["a dog"]}, "response 'a dog' is no mask JSON"),
        ({"sent_id": 7, "masks": [RUNS, {"size": [1, 1], "counts": [1]}]}, "several sizes"),
        ([1, 2], r"\[1, 2\] is no entry"),
    ],
)
def test_bad_entries_name_the_line(jsonl, entry, said):
    with pytest.raises(UserError, match=rf"predictions.jsonl, line 2: .*{said}"):
        read(jsonl, {"sent_id": 6, "segmentation": RUNS}, entry)


def test_a_line_cut_off(jsonl):
    path = jsonl([{"sent_id": 6} | RUNS, {"sent_id": 7} | RUNS])
    path.write_text(path.read_text()[:-9])
    with pytest.raises(UserError, match="line 2: no JSON .* cut off in the middle"):
        read_entries(path, ["val"])
    path.write_text(path.read_text().replace("{", "", 1))
    with pytest.raises(UserError, match=r"line 1: no JSON \([^)]*\)+\. Remove the line"):
        read_entries(path, ["val"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "empty"),
        ("a.jsonl", b"\n\n", "empty"),
        ("a.jsonl", b"\xff\xfe", "not readable"),
        ("a.json", b"", "empty"),
        ("a.json", b"[]", "empty"),
        ("a.json", b"{}", "empty"),
        ("a.json", b"7", "7 is no entry"),
        ("a.json", b'{"a": 1, "a": 2}', "there twice"),
        ("a.json", b'[{"sent_id": 1}', "not readable as JSON"),
        ("a.json", b'{"model": "x", "predictions": []}', "Its keys are model, predictions. Needed"),
    ],
)
def test_bad_files(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{name}.*{said}"):
        read_entries(path, ["val"])
