"""The data sets by name; the drawn scenes have one of their own, whoever asks for them and how."""

import pytest
from helpers.raw_trees import counted, write_refer

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_json
from data_preprocess.cli import main
from data_preprocess.prepared.manifest import read_manifest
from data_preprocess.prepared.one_dataset import PrepareSettings
from data_preprocess.prepared.prepare import prepare
from data_preprocess.raw.datasets import (
    EMBEDDED,
    MARKER,
    check_own_name,
    find_dataset,
    has_drawn,
    prepared_name,
    true_name,
)
from data_preprocess.raw.readers import Source, read_source
from data_preprocess.shapes import dataset as drawing
from data_preprocess.verify.verify import VerifySettings


def test_the_scenes_have_a_name_of_their_own(shapes, tmp_path):
    assert MARKER == drawing.MARKER and has_drawn(shapes)
    assert true_name("refcoco", shapes) == "shapes" == true_name("shapes", shapes)
    assert true_name("referit", shapes) == "shapes_referit"
    assert true_name("refcoco+", shapes) == "refcoco+"
    write_json(tmp_path / MARKER, ["a file of someone's, by chance of that name"])
    assert true_name("refcoco", write_refer(tmp_path)) == "refcoco"
    for name in EMBEDDED:
        assert find_dataset(name).name == name
        with pytest.raises(UserError, match="taken: .*shapes"):
            check_own_name(name, "")


@pytest.mark.parametrize("asked", ["refcoco", "shapes"])
def test_both_names_mean_the_same_prepared_data(shapes, tmp_path, asked):
    settings = {"data": str(shapes), "output": str(tmp_path), "parser": "none", "workers": 1}
    made = prepare(PrepareSettings(asked, **settings))
    assert made["dataset"] == "shapes" and made["command"].startswith("dghin data prepare shapes ")
    assert read_manifest(tmp_path, "refcoco") == made == read_manifest(tmp_path, "shapes")
    assert (
        len(list((tmp_path / "masks" / prepared_name("shapes")).iterdir()))
        == (made["masks"]["count"])
    )


def test_the_layouts_folder_by_itself_is_known_too(shapes):
    dataset, raw = read_source("refcoco", shapes.parent, Source("refer", str(shapes / "refcoco")))
    assert dataset.name == "shapes" and "testA" in raw.splits


def test_photos_are_not_taken_for_drawn_scenes(tmp_path):
    root = write_refer(tmp_path)
    with pytest.raises(UserError, match=f"{MARKER}: no such file.*name them: refcoco"):
        read_source("shapes", root, Source())


@pytest.mark.parametrize("asked", ["refcoco", "shapes"])
def test_no_count_of_refcoco_is_published_of_drawn_scenes(shapes, tmp_path, asked, capsys):
    """Neither by their raw files, nor by prepared ones that lie without them."""
    for words in ({}, {"form": "prepared"}, {"data": str(tmp_path)}):
        settings = {"data": str(shapes), "output": str(shapes / "data_v3"), "files": False}
        table = counted(VerifySettings(asked, **{**settings, **words}))
        assert set(table["dataset"]) == {"shapes"} and set(table["verdict"]) == {"not published"}
    words = [asked, f"data={shapes}", "files=false"]
    assert main(["verify", *words]) == 0
    shown = capsys.readouterr().out
    assert "| shapes " in shown and "published:" not in shown and "| refcoco" not in shown
    assert "no two splits on this disk share an image" in shown


def test_nothing_is_fetched_for_drawn_scenes_or_among_them(shapes, tmp_path, capsys):
    assert main(["fetch", "shapes", f"data={tmp_path}"]) == 2
    assert "it is drawn here: dghin data shapes" in capsys.readouterr().err
    assert main(["fetch", "refcoco+", f"data={shapes}"]) == 2
    assert "holds the drawn scenes" in capsys.readouterr().err
