"""Prepared data → samples → batches."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from helpers.raw_trees import edit_json, make_old
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.language.features import CODES
from dghin.data.dataset import open_split, resize_image
from dghin.run.config import load_config


@pytest.fixture
def copy(shapes, tmp_path):
    """A copy of the tiny prepared data set that a test may damage."""
    shutil.copytree(shapes / "data_v3", tmp_path / "data_v3")
    shutil.copytree(shapes / "images" / "train2014", tmp_path / "images" / "train2014")
    return tmp_path


def test_samples(tiny_config, shapes):
    dataset = open_split(tiny_config, "train")
    sample = dataset[0]
    assert sample["image"].shape == (3, 64, 64) and sample["image"].dtype == torch.uint8
    assert sample["mask"].shape == (64, 64) and set(sample["mask"].unique().tolist()) == {0, 1}
    assert sample["word_ids"].shape == (17,)
    photo, truth = dataset.image(0), dataset.truth(0)
    assert truth.shape == (photo.height, photo.width) and truth.any() and not truth.all()
    listed = json.loads((shapes / "data_v3/anns/refcoco/train.json").read_text())
    assert len(dataset) == sum(len(entry["sentences"]) for entry in listed)


def test_expressions_know_their_kind_depth_and_distractors(tiny_config, shapes):
    dataset = open_split(tiny_config, "train")
    listed = json.loads((shapes / "data_v3/anns/refcoco/train.json").read_text())
    wanted = [(e["distractors"], s["kind"]) for e in listed for s in e["sentences"]]
    assert [(e.distractors, e.kind) for e in dataset.expressions] == wanted
    assert [e.depth for e in dataset.expressions] == dataset.features.depth.tolist()
    assert {type(e.depth) for e in dataset.expressions} == {int}


def test_the_kind_is_read_off_the_words_where_the_annotations_name_none(tiny_config, copy):
    def without(entries):
        for entry in entries:
            entry.pop("distractors")
            for sentence in entry["sentences"][:1]:
                sentence.pop("kind")

    edit_json(copy / "data_v3/anns/refcoco/val.json", without)
    config = dataclasses.replace(
        tiny_config, data=dataclasses.replace(tiny_config.data, root=str(copy), shapes=0)
    )
    known = [e.kind for e in open_split(tiny_config, "val").expressions]
    dataset = open_split(config, "val")
    for row, expression in enumerate(dataset.expressions):
        read = CODES[dataset.features.kind[row]]
        assert expression.kind == (known[row] if expression.sentence_index else read)
        assert expression.distractors is None
    make_old(copy / "data_v3/anns/refcoco/val.language.npz")
    old = open_split(config, "val").expressions
    assert {e.kind for e in old if not e.sentence_index} == {""}
    assert [e.depth for e in old] == [e.depth for e in dataset.expressions]


def test_resize_breaks_the_aspect():
    image = Image.fromarray(np.arange(8 * 4 * 3, dtype=np.uint8).reshape(4, 8, 3))
    assert resize_image(image, 6).shape == (3, 6, 6)


def refused(root, words=(), split="val", index=None):
    config = load_config("demo", [f"data.root={root}", "model.image_size=64", *words])
    dataset = open_split(config, split)
    return None if index is None else dataset[index]


def test_unknown_split(copy):
    with pytest.raises(UserError, match="split of shapes: 'valid'.*Did you mean 'val'"):
        refused(copy, split="valid")


def test_features_of_another_parser(copy):
    with pytest.raises(UserError, match="val.language.npz.*parser.*en_core_web_lg"):
        refused(copy, ["data.parser=en_core_web_lg"])


def test_features_of_another_length(copy):
    with pytest.raises(UserError, match="val.language.npz.*words.*20"):
        refused(copy, ["model.words=20"])


def test_features_of_other_sentences(copy):
    path = copy / "data_v3/anns/refcoco/val.json"
    path.write_text(path.read_text().replace('"sent": "', '"sent": "new ', 1))
    with pytest.raises(UserError, match="val.language.npz: made for other expressions"):
        refused(copy)


def test_not_prepared(tmp_path):
    with pytest.raises(UserError, match="manifest.json: no such file.*dghin data prepare"):
        refused(tmp_path)


def test_an_image_that_cannot_be_read(copy):
    for path in (copy / "images/train2014").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"COCO_train2014_\d+.jpg: not readable as an image"):
        refused(copy, index=0)


def test_a_missing_image(copy):
    shutil.rmtree(copy / "images")
    with pytest.raises(UserError, match=rf"{copy}/images/train2014/COCO_\w+.jpg: no such image"):
        refused(copy, index=0)


def test_a_mask_that_cannot_be_read(copy):
    for path in (copy / "data_v3/masks/refcoco").iterdir():
        path.write_bytes(b"no mask")
    with pytest.raises(UserError, match=r"\d+.png: not readable as a mask"):
        refused(copy, index=0)
