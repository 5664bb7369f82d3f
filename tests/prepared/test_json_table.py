"""A table of one's own as JSON Lines: outlines and run lengths inside."""

import json

import numpy as np
import pytest
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.cli import main
from data_preprocess.prepared.custom import CustomSettings, outdated, read_custom
from data_preprocess.raw.masks import draw_mask
from data_preprocess.raw.segmentation import run_lengths

TRIANGLE = [[2, 2, 12, 2, 2, 12]]


@pytest.fixture
def lines(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    mask = np.zeros((20, 30), np.uint8)
    mask[3:9, 4:8] = 1
    return [
        {"image": "a.png", "split": "train", "expression": ["the triangle", "it"],
         "segmentation": TRIANGLE, "category": "shape"},
        {"image": "a.png", "split": "train", "expression": "the box",
         "segmentation": run_lengths(mask)},
        {"image": "a.png", "split": "val", "expression": "both", "kind": "relation",
         "segmentation": [run_lengths(mask), run_lengths(mask[:, ::-1])]},
        {"image": "a.png", "split": "val", "expression": "the dog", "annotation": "none"},
    ]  # fmt: skip


def write(folder, lines, name="table.jsonl"):
    path = folder / name
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_its_lines_become_records(tmp_path, lines):
    raw = read_custom(CustomSettings("mine", table=str(write(tmp_path, lines))))
    triangle, box = raw.splits["train"]
    assert [sentence.text for sentence in triangle.sentences] == ["the triangle", "it"]
    assert triangle.category == "shape" and triangle.shape == TRIANGLE
    assert draw_mask(box, (20, 30)).sum() == 24
    both, nothing = raw.splits["val"]
    assert draw_mask(both, (20, 30)).sum() == 48 and both.sentences[0].kind == "relation"
    assert nothing.targets == 0


def test_lines_of_one_object_are_one_referent(tmp_path, lines):
    lines.append({**lines[0], "expression": "the triangle above"})
    raw = read_custom(CustomSettings("mine", table=str(write(tmp_path, lines))))
    assert [len(record.sentences) for record in raw.splits["train"]] == [3, 1]


def test_it_goes_through_prepare_and_verify(tmp_path, lines, capsys):
    table = write(tmp_path, lines)
    words = [f"data={tmp_path / 'D'}", "workers=1"]
    assert main(["custom", "mine", f"table={table}", "parser=none", *words]) == 0
    assert "mine train: 1 images, 2 objects, 3 expressions" in capsys.readouterr().out
    assert main(["verify", "mine", *words]) == 0
    assert "0 problems" in capsys.readouterr().out
    lines[0]["segmentation"] = [[1, 1, 12, 2, 2, 12]]
    write(tmp_path, lines)
    assert outdated(tmp_path / "D/data_v3", "mine")


def test_annotations_may_be_numbers(tmp_path, lines):
    lines[:] = [{"image": "a.png", "split": "train", "expression": "both", "annotation": [1, 2]}]
    with pytest.raises(UserError, match="annotation 1;2, but no coco=FILE"):
        read_custom(CustomSettings("mine", table=str(write(tmp_path, lines))))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"segmentation": [[1, 2, 3]], "mask": "m.png"}, "line 2: .*and a segmentation. Give one"),
     ({"segmentation": {"counts": [1]}}, "line 2: its segmentation .* is neither polygons nor"),
     ({"segmentation": []}, 'line 2: segmentation \\[\\] marks nothing.*"annotation": "none"'),
     ({"expression": 5}, "line 2: expression 5 is no text"),
     ({"expression": []}, "line 2: expression \\[\\] is no text"),
     ({"expresion": "x"}, "line 2: .*'expresion'.* is unknown"),
     ({"annotation": True}, "line 2: annotation True is no id"),
     ({"split": "manifest"}, "line 2: split 'manifest'")],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_named(tmp_path, lines, change, message):
    lines[1] |= change
    with pytest.raises(UserError, match=message) as error:
        read_custom(CustomSettings("mine", table=str(write(tmp_path, lines))))
    assert "table.jsonl" in str(error.value)


def test_a_name_twice_in_a_line_is_refused(tmp_path):
    path = tmp_path / "table.jsonl"
    path.write_text('{"image": "a.png", "expression": "x", "expression": "y", "split": "val"}')
    with pytest.raises(UserError, match="line 1: .*'expression' is there twice"):
        read_custom(CustomSettings("mine", table=str(path)))
