"""Photos are found where they are, under COCO's names of 2014 and of 2017."""

import json

import pytest
from helpers.raw_trees import write_refer

from data_preprocess.cli import main


@pytest.fixture
def tree(tmp_path):
    return write_refer(tmp_path / "DATA")


def prepare(tree, *words):
    return main(["prepare", "refcoco", f"data={tree}", "parser=none", "workers=1", *words])


def manifest(tree):
    return json.loads((tree / "data_v3/anns/refcoco/manifest.json").read_text())


def names(tree):
    entries = json.loads((tree / "data_v3/anns/refcoco/train.json").read_text())
    return {entry["img_name"] for entry in entries}


def rename(tree, folder):
    """The photos under their names in train2017, in another folder."""
    folder.mkdir(parents=True)
    for path in (tree / "images/train2014").iterdir():
        path.rename(folder / path.name.removeprefix("COCO_train2014_"))


def test_where_they_are_by_default_nothing_changes(tree):
    assert prepare(tree) == 0
    assert manifest(tree)["images_folder"] == "../images/train2014"
    assert "form" not in manifest(tree) and names(tree) == {"COCO_train2014_000000000001.jpg"}


@pytest.mark.parametrize("place", ["images/train2017", "train2017", "coco/train2017"])
def test_names_of_2017_in_the_raw_root(tree, place):
    rename(tree, tree / place)
    assert prepare(tree) == 0
    assert manifest(tree)["images_folder"] == f"../{place}"
    assert names(tree) == {"000000000001.jpg"}


@pytest.mark.parametrize("below", ["", "train2017", "images/mscoco/images/train2014"])
def test_a_folder_that_is_named(tree, below):
    folder = tree.parent / "photos" / below
    rename(tree, folder)
    assert prepare(tree, f"images={tree.parent / 'photos'}") == 0
    held = tree / "data_v3" / manifest(tree)["images_folder"]
    assert held.resolve() == folder.resolve() and names(tree) == {"000000000001.jpg"}


def test_the_folders_looked_in_are_named(tree, capsys):
    rename(tree, tree.parent / "hidden")
    assert prepare(tree) == 2
    text = capsys.readouterr().err
    assert "images=FOLDER" in text
    for place in ("images/train2014", "images/train2017", "images/mscoco/images/train2014"):
        assert str(tree / place) in text
    assert not (tree / "data_v3/masks").exists()
    assert prepare(tree, f"images={tree.parent / 'nowhere'}") == 2
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_one_missing_photo_among_others(tree, capsys):
    rename(tree, tree.parent / "photos")
    (tree.parent / "photos/000000000002.jpg").unlink()
    assert prepare(tree, f"images={tree.parent / 'photos'}") == 2
    assert "COCO_train2014_000000000002.jpg: no such file" in capsys.readouterr().err
