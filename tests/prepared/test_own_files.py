"""COCO files and tables that people write themselves: what is understood, what is named."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.own_files import HEAD, SQUARE, write_own
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.cli import main
from data_preprocess.prepared.custom import CustomSettings, prepare_custom, read_table

EXAMPLE = Path(__file__).parents[2] / "examples/custom"


def prepared(root, **others):
    values = {"table": str(root / "table.csv"), "coco": str(root / "coco.json"),
              "data": str(root / "data"), "parser": "none", "workers": 1}  # fmt: skip
    prepare_custom(CustomSettings("mine", **(values | others)))
    mask = np.asarray(Image.open(root / "data/data_v3/masks/mine/0.png"))
    (entry,) = json.loads((root / "data/data_v3/anns/mine/train.json").read_text())
    return int((mask > 0).sum()), entry


@pytest.mark.parametrize(
    ("ids", "cell"),
    [({"id": "11"}, "11"), ({"id": 11.0}, "11"), ({"id": "ann_7"}, "ann_7"), ({}, "11.0"),
     ({"id": "11"}, "11.0"), ({"image_id": "1", "category_id": "1"}, "11"),
     ({"image_id": 1.0, "category_id": 1.0}, "11"), ({}, " 11 ")],
)  # fmt: skip
def test_ids_as_text_and_with_a_point(tmp_path, ids, cell):
    size, entry = prepared(write_own(tmp_path, ids, f"a.jpg,{cell},red,train"))
    assert size == 225 and entry["category"] == "thing"


def test_a_number_and_its_text_are_two_ids_where_both_are_there(tmp_path):
    small = {"id": "11", "image_id": 1, "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]]}
    root = write_own(tmp_path)
    coco = json.loads((root / "coco.json").read_text())
    coco["annotations"].append(small)
    (root / "coco.json").write_text(json.dumps(coco))
    assert prepared(root)[0] == 225


def test_what_no_line_names_may_be_as_it_likes(tmp_path):
    root = write_own(tmp_path)
    coco = json.loads((root / "coco.json").read_text())
    coco["images"] += [{"id": 2, "file_name": "b.jpg"}, {"id": 3}]
    coco["annotations"] += [{"id": 12, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]},
                            {"id": 13}, {"id": 14, "segmentation": "nothing"}]  # fmt: skip
    (root / "coco.json").write_text(json.dumps(coco))
    size, entry = prepared(root)
    assert size == 225 and entry["distractors"] == 1
    (root / "table.csv").write_text(f"{HEAD}\na.jpg,12,red,train\na.jpg,13,blue,train\n")
    with pytest.raises(UserError) as error:
        prepared(root)
    text = str(error.value)
    assert "number 1 has no 'segmentation'" in text and "number 2 has no 'image_id'" in text
    assert "line 2" in text and "line 3" in text and "REFER" not in text and "release" not in text


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [(SQUARE, "a flat list of numbers. Write a list of polygons"),
     ([[[5, 5], [20, 5], [20, 20]]], "pairs of numbers. Write a polygon as one list"),
     ([[5, 5], [20, 5], [20, 20]], "pairs of numbers"),
     ([{"x": 5, "y": 5}], "pairs of numbers"),
     ([[5, 5, 20, 20]], r"\[5, 5, 20, 20\] is a box, no outline"),
     ([], "no polygon of three points"),
     ([[0.125, 0.16, 0.5, 0.16, 0.5, 0.66]], r"within 0 to 1.*width \(40\), y by the"),
     ([[0, 0, 1, 0, 1, 1], [0, 1, 1, 1, 0.5, 0]], "within 0 to 1")],
)  # fmt: skip
def test_outlines_of_other_programs_are_named_before_any_work(tmp_path, segmentation, message):
    root = write_own(tmp_path, {"segmentation": segmentation})
    with pytest.raises(UserError, match=message) as error:
        prepared(root)
    assert "REFER" not in str(error.value) and "instances.json" not in str(error.value)
    assert "line 2" in str(error.value) or "annotation 11" in str(error.value)
    assert not (root / "data").exists()


def test_a_box_beside_outlines_is_left_out_and_counted(tmp_path, caplog):
    root = write_own(tmp_path, {"segmentation": [SQUARE, [1, 1, 3, 3]]})
    with caplog.at_level(logging.WARNING):
        assert prepared(root)[0] == 225
    assert "1 objects lose a polygon of fewer than three points, such as" in caplog.text


def test_small_outlines_that_are_no_shares(tmp_path):
    assert prepared(write_own(tmp_path, {"segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}))[0] == 4


def test_a_name_that_begins_with_a_dot_and_a_slash(tmp_path):
    assert prepared(write_own(tmp_path, table="./a.jpg,11,red,train"))[1]["img_name"] == "a.jpg"
    image = {"id": 1, "file_name": "./a.jpg", "height": 30, "width": 40}
    with pytest.raises(UserError, match=r"file_name './a.jpg' begins with './' \(leave that out"):
        prepared(write_own(tmp_path, images=[image]))


def test_a_table_says_which_id_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"line 2: its ann_id 99 is no annotation of .*coco\.json"):
        prepared(write_own(tmp_path, table="a.jpg,99,red,train"))
    with pytest.raises(UserError, match=r"line 2: annotation 'ann_8'. Give the id"):
        prepared(write_own(tmp_path, table="a.jpg,ann_8,red,train"))


@pytest.mark.parametrize(
    ("text", "message"),
    [(f'{HEAD}\na.jpg,11,"red" thing,train\n', r"table\.csv, line 2: .*quotes.*doubled"),
     (f'{HEAD}\na.jpg,11,red,train\na.jpg,11,"red,train\n', r"table\.csv, line 3: not readable"),
     (f"{HEAD}\na.jpg,11,red,train\n".replace(",", "\t"), "its cells are apart by tabs"),
     (f"sep=,\n{HEAD}\na.jpg,11,red,train\n", "line 1: 'sep=' is for a spreadsheet. Remove"),
     (f"sep=;\n{HEAD}\na.jpg,11,red,train\n".replace(",", ";"), "line 1: 'sep=;' is for"),
     ("image,annotation,expression,expression,split\na.jpg,11,one,two,train\n",
      "the column 'expression' is there twice"),
     ("image,annotation,Split,expression,split\na.jpg,11,train,two,train\n",
      "the column 'split' is there twice")],
)  # fmt: skip
def test_tables_of_spreadsheets_are_named(tmp_path, text, message):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        list(read_table(tmp_path / "table.csv"))


def test_a_table_in_another_encoding_is_named(tmp_path):
    (tmp_path / "table.csv").write_bytes(f"{HEAD}\na.jpg,11,été,train\n".encode("latin-1"))
    with pytest.raises(UserError, match="not readable as UTF-8 .*Save it so"):
        list(read_table(tmp_path / "table.csv"))


def test_quotes_that_are_doubled(tmp_path):
    (tmp_path / "table.csv").write_text(f'{HEAD}\na.jpg,11,"""red"" thing",train\n')
    assert [row["expression"] for _, row in read_table(tmp_path / "table.csv")] == ['"red" thing']


def tree(folder):
    """Every file below a folder, with its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


PLACES = {  # where the prepared data go, and which inputs are there already
    "masks": ("data", {"masks/square.png": "data/data_v3/masks/mine/0.png"}),
    "masks by a link": ("data", {"masks/square.png": "link/0.png"}),
    "table": ("data", {"expressions.csv": "data/data_v3/anns/mine/expressions.csv"}),
    "COCO file": ("data", {"annotations.json": "data/data_v3/anns/mine/train.json"}),
    "photos": ("data", {"photos": "data/data_v3/masks/mine/photos"}),
    "the prepared root is a file": ("expressions.csv", {}),
}


@pytest.mark.parametrize(("place", "moved"), PLACES.values(), ids=PLACES)
def test_prepared_data_are_not_written_over_what_they_are_made_from(tmp_path, place, moved, capsys):
    """Not even with overwrite=true; nothing is touched, and nothing is written."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    (tmp_path / "data/data_v3/masks/mine").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data/data_v3/masks/mine")
    names = {name: name for name in ("expressions.csv", "annotations.json", "photos")} | moved
    for old, new in moved.items():
        (tmp_path / new).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / old).rename(tmp_path / new)
    table = tmp_path / names["expressions.csv"]
    if mask := moved.get("masks/square.png"):
        table.write_text(table.read_text().replace("masks/square.png", mask))
    elif table.parent != tmp_path:
        (tmp_path / "masks").rename(table.parent / "masks")
    before = tree(tmp_path)
    output = tmp_path / place if place.endswith(".csv") else tmp_path / place / "data_v3"
    words = [f"table={table}", f"images={tmp_path / names['photos']}", f"output={output}"]
    words += [f"coco={tmp_path / names['annotations.json']}", "parser=none", "workers=1"]
    assert main(["custom", "mine", *words, "--overwrite"]) == 2
    assert "is read here, and the prepared data go to" in capsys.readouterr().err
    assert tree(tmp_path) == before
