"""A split without torch: what is known of an expression, and how it is opened."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.raw_trees import write_refer

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_json
from data_preprocess.prepared.one_dataset import PrepareSettings
from data_preprocess.prepared.prepare import prepare
from dghin.data.dataset import open_split as open_for_the_network
from dghin.data.split import open_split
from dghin.run.config import load_config

ROOT = Path(__file__).parents[2]


def test_the_raw_datas_ids_and_boxes_reach_the_expressions(tiny_config, shapes):
    split = open_split(tiny_config, "val")
    entries = json.loads((shapes / "data_v3/anns/refcoco/val.json").read_text())
    wanted = [(entry, sentence) for entry in entries for sentence in entry["sentences"]]
    assert len(split) == len(wanted)
    for expression, (entry, sentence) in zip(split.expressions, wanted, strict=True):
        assert expression.sent_id == str(sentence["sent_id"])
        assert expression.ann_id == str(entry["ann_id"])
        assert expression.image_id == str(entry["image_id"])
        assert expression.bbox == tuple(entry["bbox"])
    assert len({expression.sent_id for expression in split.expressions}) == len(split)


def test_it_is_what_the_networks_data_set_holds(tiny_config):
    split, dataset = open_split(tiny_config, "val"), open_for_the_network(tiny_config, "val")
    assert split.expressions == dataset.expressions and split.name(0) == dataset.name(0)
    assert (split.truth(1) == dataset.truth(1)).all()
    assert dataset.image_size == tiny_config.model.image_size


def test_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import dghin.data.split"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_who_reads_texts_does_not_mind_how_words_were_read(shapes, tiny_config):
    config = load_config("refcoco", [f"data.root={shapes}"])  # of another parser
    with pytest.raises(UserError, match="parser"):
        open_split(config, "val")
    assert len(open_split(config, "val", checked=False)) == len(open_split(tiny_config, "val"))


def test_data_without_a_parser_are_for_scoring_only(shapes, tmp_path, tiny_config):
    settings = {"data": str(shapes), "output": str(tmp_path), "parser": "none", "workers": 1}
    prepare(PrepareSettings(dataset="refcoco", **settings))
    words = [f"data.root={shapes}", f"data.prepared={tmp_path}", "data.shapes=30"]
    config = load_config("demo", words)
    split, parsed = open_split(config, "val", checked=False), open_split(tiny_config, "val")
    assert [one.length for one in split.expressions] == [one.length for one in parsed.expressions]
    assert {one.depth for one in split.expressions} == {None}
    with pytest.raises(UserError, match="parser"):
        open_for_the_network(config, "val")


def test_photos_may_be_elsewhere_and_under_cocos_other_names(tmp_path):
    root = write_refer(tmp_path / "DATA")
    settings = {"data": str(root), "parser": "none", "workers": 1}
    prepare(PrepareSettings(dataset="refcoco", **settings))
    (tmp_path / "train2017").mkdir()
    for path in (root / "images/train2014").iterdir():
        path.rename(tmp_path / "train2017" / path.name.removeprefix("COCO_train2014_"))
    words = [f"data.root={root}"]
    split = open_split(load_config("refcoco", words), "val", checked=False)
    with pytest.raises(UserError, match=r"no such image.*data\.images"):
        split.image(0)
    words.append(f"data.images={tmp_path / 'train2017'}")
    split = open_split(load_config("refcoco", words), "val", checked=False)
    assert split.image(0).size == (30, 20)
    config = load_config("refcoco", [words[0], f"data.images={tmp_path / 'none'}"])
    with pytest.raises(UserError, match=r"none: no such folder.*data\.images=FOLDER"):
        open_split(config, "val", checked=False)


def test_rows_of_drawn_scenes_call_them_so_and_never_photos(tiny_config, shapes, tmp_path):
    """By whatever name they were asked for; prepared under a name that they no longer have: no."""
    for words in (["data.dataset=refcoco"], ["data.dataset=refcoco", "data.shapes=0"]):
        config = load_config("demo", [f"data.root={shapes}", "data.shapes=30", *words])
        assert config.data.dataset == "shapes" and config.data.drawn
        assert open_split(config, "val").dataset == "shapes"
    root = tmp_path / "data_v3"
    shutil.copytree(shapes / "data_v3", root)
    photos = load_config("refcoco", [f"data.root={tmp_path}"])  # of the raw files nothing is here
    with pytest.raises(UserError, match="manifest.json: prepared as 'shapes', but .* is 'refcoco'"):
        open_split(photos, "val", checked=False)
    manifest = json.loads((root / "anns/refcoco/manifest.json").read_text())
    write_json(root / "anns/refcoco/manifest.json", manifest | {"dataset": "refcoco"})  # older
    drawn = load_config("demo", [f"data.root={tmp_path}"])
    with pytest.raises(UserError, match="'shapes', which is drawn.*dghin data prepare shapes data"):
        open_split(drawn, "val")
