"""Every form gives the records that REFER's own files give."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from helpers.raw_forms import (
    hub_rows,
    refcoco_m_rows,
    write_mdetr,
    write_parquet,
    write_seqtr,
)
from helpers.raw_trees import edit_json, edit_pickle, write_refer

from data_preprocess.base.errors import UserError
from data_preprocess.cli import main
from data_preprocess.raw.datasets import DATASETS
from data_preprocess.raw.forms.coco_names import COCO_NAMES
from data_preprocess.raw.masks import draw_mask
from data_preprocess.raw.readers import Source, read_raw, read_source
from data_preprocess.verify.verify import VerifySettings, verify_all

NAMES = {"parquet": "refcoco", "mdetr": "refcoco", "seqtr": "refcoco", "refcoco-m": "finer",
         "refer": "mine"}  # fmt: skip
SPOILED = "ref_id", "ann_id", "image_id", "split", "sentences", "raw_anns", "raw_image_info"


@pytest.fixture
def tree(tmp_path):
    """REFER's files, and beside them a folder of each form."""
    root = write_refer(tmp_path / "DATA")
    write_parquet(tmp_path / "parquet/data/train-0.parquet", hub_rows(root))
    write_mdetr(root, tmp_path / "mdetr")
    shutil.copy(root / "refcoco/instances.json", tmp_path / "mdetr")
    write_seqtr(root, tmp_path / "seqtr")
    write_parquet(tmp_path / "refcoco-m/validation-0.parquet", refcoco_m_rows(root))
    shutil.copytree(root / "refcoco", tmp_path / "refer")
    return root


def read(root, form, chosen="auto", **more):
    source = Source(chosen, raw=str(more.pop("raw", root.parent / form)), **more)
    return read_source(NAMES[form], root, source)[1]


def by_object(raw):
    return {(r.image, tuple(s.text for s in r.sentences)): (split, r)
            for split, records in raw.splits.items() for r in records}  # fmt: skip


@pytest.mark.parametrize("form", NAMES)
def test_a_form_is_found_by_its_files_and_gives_refers_records(tree, form):
    wanted = by_object(read_raw(tree, DATASETS["refcoco"]))
    raw = read(tree, form)
    found = by_object(raw)
    assert raw.form == form and found.keys() == wanted.keys()
    for key, (split, record) in found.items():
        their_split, theirs = wanted[key]
        assert split == ("val" if form == "refcoco-m" else their_split)
        assert (record.size, record.bbox, record.targets) == (theirs.size, theirs.bbox, 1)
        assert np.array_equal(draw_mask(record), draw_mask(theirs))
        known = form in ("mdetr", "refer")
        assert record.distractors == (theirs.distractors if known else None)
        if form in ("refer", "parquet"):  # others do not have REFER's numbers
            assert record.segment_id == theirs.segment_id and record.sentences == theirs.sentences
        for name, value in record.ids.items():
            assert value == theirs.ids[name]
        named = {"parquet": "person", "seqtr": "person"}  # category 1 of COCO
        assert record.category == named.get(form, "thing")


@pytest.mark.parametrize("form", ["parquet", "mdetr", "seqtr"])  # those of known data sets
def test_a_form_in_the_raw_root_is_read_where_refers_files_are_missing(tree, form):
    wanted = len(by_object(read_raw(tree, DATASETS["refcoco"])))
    shutil.rmtree(tree / "refcoco")
    shutil.copytree(tree.parent / form, tree / "refcoco")
    assert len(by_object(read_raw(tree, DATASETS["refcoco"]))) == wanted


def test_refers_own_files_come_first(tree):
    write_parquet(tree / "refcoco/data.parquet", hub_rows(tree))
    assert read_raw(tree, DATASETS["refcoco"]).form == ""


@pytest.mark.parametrize("form", NAMES)
def test_a_form_goes_through_prepare_and_verify(tree, form, capsys):
    root, out = tree.parent, tree.parent / "out"
    words = [f"raw={root / form}", f"data={tree}", f"output={out}", "parser=none", "workers=1"]
    assert main(["prepare", NAMES[form], f"form={form}", *words]) == 0
    manifest = json.loads((out / "anns" / NAMES[form] / "manifest.json").read_text())
    assert manifest["masks"]["count"] == 4 and manifest["form"]["form"] == form
    assert str(root) not in json.dumps(manifest)  # it can move with its data
    found = verify_all(
        VerifySettings(NAMES[form], str(tree), str(out), form="prepared", workers=1, overlap=False)
    )
    assert found.checked.problems == [] and found.checked.masks == 4
    before = (out / "anns" / NAMES[form] / "manifest.json").read_bytes()
    assert main(["prepare", NAMES[form], f"form={form}", *words]) == 0
    assert (out / "anns" / NAMES[form] / "manifest.json").read_bytes() == before


def test_the_boxes_of_the_hub_are_corners(tree):
    rows = hub_rows(tree)
    for row in rows:
        annotation = json.loads(row["raw_anns"])
        annotation.pop("bbox")
        row["raw_anns"] = json.dumps(annotation)
    write_parquet(tree.parent / "parquet/data/train-0.parquet", rows)
    boxes = {record.bbox for _, record in by_object(read(tree, "parquet")).values()}
    assert boxes == {(1.0, 2.0, 3.0, 4.0)}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_missing_in_a_row_is_named(tree, name):
    rows = hub_rows(tree)
    rows[2][name] = None
    path = write_parquet(tree.parent / "parquet/data/train-0.parquet", rows)
    with pytest.raises(UserError, match=f"row 2.*no '{name}'.*(Correct|get)") as error:
        read(tree, "parquet")
    assert str(path) in str(error.value) and "release" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"raw_anns": "{"}, "row 1.*'raw_anns' is not readable as JSON"),
     ({"raw_anns": "[]"}, "row 1.*no object with names"),
     ({"raw_anns": "[" * 100_000}, "row 1.*not readable as JSON"),
     ({"image_id": 7}, "row 1.*image_id 7, but 'id' of its raw_image_info is 1"),
     ({"raw_image_info": '{"file_name": "../a.jpg", "height": 2, "width": 2}'}, "lead out"),
     ({"ref_id": 10}, "row 1.*id 10 is that of another object"),
     ({"sentences": []}, "row 1.*no sentences"),
     ({"split": "../x"}, "row 1.*split '../x'")],
)  # fmt: skip
def test_a_bad_row_is_named(tree, change, message):
    rows = hub_rows(tree)
    rows[1].update(change)
    write_parquet(tree.parent / "parquet/data/train-0.parquet", rows)
    with pytest.raises(UserError, match=message):
        read(tree, "parquet", "parquet")


def test_broken_parquet(tree):
    path = tree.parent / "parquet/data/train-0.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="train-0.parquet: not readable as Parquet"):
        read(tree, "parquet", "parquet")


def test_a_row_group_after_the_other(tree, monkeypatch):
    """No more than one row group is asked for at a time."""
    asked = []
    whole = pyarrow.parquet.ParquetFile.iter_batches

    def spy(self, *words, row_groups, **more):
        asked.append(row_groups)
        return whole(self, *words, row_groups=row_groups, **more)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", spy)
    read(tree, "parquet")
    assert asked == [[0], [1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda m: m["annotations"][0].update(original_id=999), "ann_id 999 is no annotation of"),
     (lambda m: m["annotations"][0].pop("original_id"), "annotation number 0: no 'original_id'"),
     (lambda m: m["annotations"][0].update(image_id=1), "that of another annotation"),
     (lambda m: m["annotations"].pop(0), "image 0: no annotation"),
     (lambda m: m["images"][0].update(original_id=2), "says image 2, but annotation 100"),
     (lambda m: m["images"][0].update(caption=" "), "image 0: the expression is empty")],
)  # fmt: skip
def test_bad_files_of_mdetr(tree, change, message):
    edit_json(tree.parent / "mdetr/finetune_refcoco_train.json", change)
    with pytest.raises(UserError, match=message) as error:
        read(tree, "mdetr", "mdetr")
    assert "finetune_refcoco_train.json" in str(error.value)
    assert "REFER release" not in str(error.value)


def test_mdetrs_files_need_objects(tree):
    (tree.parent / "mdetr/instances.json").unlink()
    assert read(tree, "mdetr").sources[-1] == tree / "refcoco/instances.json"
    (tree / "refcoco/instances.json").unlink()
    with pytest.raises(UserError, match="no masks.*instances=FILE"):
        read(tree, "mdetr")
    assert read(tree, "mdetr", instances=str(tree.parent / "refer/instances.json")).splits


def test_mdetrs_files_of_other_sets_are_left_alone(tree):
    (tree.parent / "mdetr/finetune_refcoco+_val.json").write_text("[]")
    assert len(by_object(read(tree, "mdetr"))) == 4
    with pytest.raises(UserError, match="several sets"):
        read_source("mine", tree, Source("mdetr", raw=str(tree.parent / "mdetr")))


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda d: d["val"][0].pop("mask"), "val, object 0: no 'mask'"),
     (lambda d: d["val"][0].update(mask=[[1, "x"]]), "neither polygons nor run lengths"),
     (lambda d: d["val"][0].update(width=0), "height 20 and width 0"),
     (lambda d: d["val"][0].update(image_id="x/y"), "image_id 'x/y' is no whole number"),
     (lambda d: d.update(val=[]), "split 'val' .* is no list with something in it")],
)  # fmt: skip
def test_bad_files_of_seqtr(tree, change, message):
    edit_json(tree.parent / "seqtr/instances.json", change)
    with pytest.raises(UserError, match=message):
        read(tree, "seqtr", "seqtr")


def test_a_coco_file_is_not_seqtrs(tree):
    with pytest.raises(UserError, match="expected splits.*form=refer"):
        read(tree, "seqtr", "seqtr", raw=tree / "refcoco")


def test_somebodys_own_refer_folder(tree):
    """Its own splits; errors that speak of no release."""
    refs = tree.parent / "refer/refs(unc).p"
    edit_pickle(refs, lambda found: found[0].update(split="dev"))
    assert list(read(tree, "refer").splits) == ["dev", "train", "val", "testA"]
    for spoil in (
        lambda: edit_pickle(refs, lambda found: found[0].pop("ref_id")),
        lambda: refs.write_bytes(b"\x80\x02c__builtin__\nprint\n."),
        lambda: (refs.parent / "instances.json").unlink(),
    ):
        spoil()
        with pytest.raises(UserError) as error:
            read(tree, "refer", "refer")
        assert str(refs.parent) in str(error.value) and "release" not in str(error.value)


def test_several_files_of_expressions(tree):
    folder = tree.parent / "refer"
    shutil.copy(folder / "refs(unc).p", folder / "refs(google).p")
    with pytest.raises(UserError, match="several files .*raw=FILE"):
        read(tree, "refer", "refer")
    assert read(tree, "refer", "refer", raw=folder / "refs(google).p").splits


def test_what_cannot_be_told_is_said(tree, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no form that is known.*nothing in it.*form=NAME"):
        read(tree, "seqtr", raw=empty)
    with pytest.raises(UserError, match=r"no files of form=mdetr.*finetune_.*nothing in it"):
        read(tree, "mdetr", "mdetr", raw=empty)
    with pytest.raises(UserError, match="no such file or folder.*raw=FOLDER"):
        read(tree, "seqtr", raw=tmp_path / "nowhere")
    write_seqtr(tree, empty)
    write_parquet(empty / "a.parquet", hub_rows(tree))
    with pytest.raises(UserError, match=r"several forms \(parquet, seqtr\)"):
        read(tree, "seqtr", raw=empty)


def test_the_google_split_is_not_in_the_hubs_files(tree):
    source = Source("parquet", raw=str(tree.parent / "parquet"))
    with pytest.raises(UserError, match="'refcoco_google' is the google split"):
        read_source("refcoco_google", tree, source)


def test_names_of_data_sets(tree):
    with pytest.raises(UserError, match="name of its own"):
        read_source("../x", tree, Source("refer", raw=str(tree.parent / "refer")))
    with pytest.raises(UserError, match="unknown data set 'refcocog'"):
        (tree / "refcocog").mkdir()
        read_source("refcocog", tree, Source())
    assert main(["prepare", "joint", f"data={tree}", "raw=x"]) == 2


def test_cocos_categories():
    assert len(COCO_NAMES) == 80
    some = {1: "person", 11: "fire hydrant", 13: "stop sign", 24: "zebra", 44: "bottle",
            65: "bed", 82: "refrigerator", 90: "toothbrush"}  # fmt: skip
    assert {number: COCO_NAMES[number] for number in some} == some


# RefCOCO-M


def prepare_finer(tree, *words):
    return main(["prepare", "finer", f"raw={tree.parent / 'refcoco-m'}", f"data={tree}",
                 "parser=none", "workers=1", *words])  # fmt: skip


def test_photos_inside_are_written_once(tree):
    assert prepare_finer(tree) == 0
    rows = refcoco_m_rows(tree)
    folder = tree / "images/finer"
    photos = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert photos == {row["file_name"]: row["image"]["bytes"] for row in rows}
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    lost = next(iter(times))
    lost.unlink()
    assert prepare_finer(tree) == 0
    assert lost.is_file()
    assert all(path.stat().st_mtime_ns == times[path] for path in times if path != lost)


def test_photos_that_are_elsewhere_are_not_written(tree):
    assert prepare_finer(tree, f"images={tree / 'images/train2014'}") == 0
    assert not (tree / "images/finer").exists()


def test_a_row_without_its_photo(tree, capsys):
    rows = refcoco_m_rows(tree)
    rows[1]["image"] = None
    write_parquet(tree.parent / "refcoco-m/validation-0.parquet", rows)
    assert prepare_finer(tree) == 2
    assert "row 1: 'image' has no bytes of a photo" in capsys.readouterr().err
    assert not (tree / "data_v3/masks").exists()


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_rows_as_json(tree, suffix):
    rows = [{k: v for k, v in row.items() if k != "image"} for row in refcoco_m_rows(tree)]
    text = json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows))
    path: Path = tree.parent / f"RefCOCO-M_rows.{suffix}"
    path.write_text(text)
    raw = read(tree, "refcoco-m", raw=path)
    assert len(by_object(raw)) == 4 and not raw.packed
    path.write_text(text[:-20])
    with pytest.raises(UserError, match="not readable as JSON"):
        read(tree, "refcoco-m", "refcoco-m", raw=path)
