"""Newer benchmarks: GSEval, aRefCOCO, and REFER folders whose masks are lists of run lengths."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_forms import gseval_lines, write_arefcoco, write_gseval
from helpers.raw_trees import HEIGHT, SHARED, WIDTH, edit_json, needs_shared, write_refer

from data_preprocess.base.errors import UserError
from data_preprocess.raw.datasets import DATASETS
from data_preprocess.raw.masks import draw_mask, draw_segmentation
from data_preprocess.raw.readers import Source, read_raw, read_source
from data_preprocess.raw.segmentation import run_lengths


@pytest.fixture
def root(tmp_path):
    return write_refer(tmp_path / "DATA")


@pytest.mark.parametrize("name", ["GroundingSuite-Eval.jsonl", "GroundingSuite-Eval.jsonl.gz"])
def test_gseval_has_a_record_a_line_with_refers_masks(root, name):
    write_gseval(root, root / "gseval" / name)
    raw = read_raw(root, DATASETS["gseval"])
    records, lines = raw.splits["test"], gseval_lines(root)
    assert list(raw.splits) == ["test"] and len(records) == len(lines) == 7
    originals = [record for listed in read_raw(root, DATASETS["refcoco"]).splits.values()
                 for record in listed for _ in record.sentences]  # fmt: skip
    for record, line, original in zip(records, lines, originals, strict=True):
        assert record.sentences[0].text == line["caption"].strip() and len(record.sentences) == 1
        assert np.array_equal(draw_mask(record), draw_mask(original))
        assert record.bbox == original.bbox and record.size == (HEIGHT, WIDTH)
        assert record.distractors is None and record.segment_id == str(line["idx"])
    assert [r.category for r in records[:4]] == ["stuff", "part", "multi", "single"]


def test_a_file_of_one_form_is_not_taken_for_another(root):
    path = write_gseval(root, root / "captions.jsonl")
    dataset, raw = read_source("mine", root, Source(raw=str(path)))
    assert raw.form == "gseval" and dataset.splits == ("test",)


def test_gsevals_photos_are_found_in_cocos_folder(root):
    write_gseval(root, root / "gseval/GroundingSuite-Eval.jsonl")
    (root / "images/train2014").rename(root / "images/unlabeled2017")
    raw = read_raw(root, DATASETS["gseval"])
    assert (raw.images / raw.splits["test"][0].image).is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"idx": None}, "line 2: no 'idx'"),
     ({"caption": " "}, "line 2 .idx 1.: the expression is empty"),
     ({"class_id": 9}, "class_id 9 is none of 1 stuff, 2 part"),
     ({"box": [9, 9, 1, 1]}, "not x1 y1 x2 y2"),
     ({"segmentation": {"size": [20, 30]}}, "segmentation: no 'counts'"),
     ({"image_path": "../x.jpg"}, "may lead out of the folder")],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_named(root, change, message):
    lines = gseval_lines(root)
    lines[1] |= change
    path = root / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UserError, match=message) as error:
        read_source("gseval", root, Source("gseval", raw=str(path)))
    assert str(path) in str(error.value) and "release" not in str(error.value)


def test_a_damaged_line_is_named(root):
    path = write_gseval(root, root / "own.jsonl")
    text = path.read_text().splitlines()
    path.write_text("\n".join([*text[:2], text[2][:20], *text[3:]]))
    with pytest.raises(UserError, match="own.jsonl, line 3: not readable as JSON"):
        read_source("gseval", root, Source("gseval", raw=str(path)))


def test_arefcocos_sentences_are_of_refers_objects(root):
    write_refer(root, "refcocog", "umd")
    write_arefcoco(root, root / "arefcoco")
    raw = read_raw(root, DATASETS["arefcoco"])
    assert {split: len(records) for split, records in raw.splits.items()} == {"train": 1, "test": 2}
    record = raw.splits["test"][0]
    original = {r.segment_id: r for r in read_raw(root, DATASETS["refcoco"]).splits["val"]}["12"]
    assert record.segment_id == "501" and record.image == original.image
    assert [sentence.text for sentence in record.sentences] == ["not dog", "it"]
    assert np.array_equal(draw_mask(record), draw_mask(original))
    assert record.ids == original.ids and record.distractors == original.distractors
    assert len(raw.sources) == 5 and raw.form == "arefcoco"


def test_arefcoco_may_lie_beside_refers_folders(root, tmp_path):
    write_refer(root, "refcocog", "umd")
    path = write_arefcoco(root, root / "arefcoco")
    for raw in (path, path.parent):
        _, found = read_source("arefcoco", tmp_path / "none", Source("auto", raw=str(raw)))
        assert len(found.splits["test"]) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [({"ref_id": 999}, "ref_id 999 is no ref of .*refcoco/refs"),
     ({"original_dataset": "refcoco+"}, "original_dataset 'refcoco\\+' is neither refcoco nor"),
     ({"descriptions": []}, "no 'descriptions'|no sentences"),
     ({"entity_id": 500}, "the id 500 is that of another object")],
)  # fmt: skip
def test_an_entity_that_cannot_be_used_is_named(root, change, message):
    write_refer(root, "refcocog", "umd")
    path = write_arefcoco(root, root / "arefcoco")
    edit_json(path, lambda content: content["annotations"][1].update(change))
    with pytest.raises(UserError, match=message):
        read_raw(root, DATASETS["arefcoco"])


def test_arefcoco_without_refers_files_says_which_to_get(root):
    path = write_arefcoco(write_refer(root, "refcocog", "umd"), root / "arefcoco")
    shutil.rmtree(root / "refcocog")
    with pytest.raises(UserError, match="dghin data fetch refcocog_umd data=DATA") as error:
        read_raw(root, DATASETS["arefcoco"])
    assert str(path) in str(error.value)


def test_masks_may_be_lists_of_run_lengths(root):
    """As ReferIt's regions in refclef and RRSIS-D's objects have them: their union is meant."""
    plain = read_raw(root, DATASETS["refcoco"])

    def listed(content):
        for annotation in content["annotations"]:
            mask = draw_segmentation(annotation["segmentation"], HEIGHT, WIDTH, "")
            upper, lower = mask.copy(), mask.copy()
            upper[10:], lower[:10] = 0, 0
            annotation["segmentation"] = [run_lengths(upper), run_lengths(lower)]

    edit_json(root / "refcoco/instances.json", listed)
    raw = read_raw(root, DATASETS["refcoco"])
    for split, records in raw.splits.items():
        for record, original in zip(records, plain.splits[split], strict=True):
            assert np.array_equal(draw_mask(record), draw_mask(original))
    edit_json(root / "refcoco/instances.json",
              lambda content: content["annotations"][0]["segmentation"].append([1, 2]))  # fmt: skip
    with pytest.raises(UserError, match="neither polygons nor run lengths"):
        read_raw(root, DATASETS["refcoco"])


def test_refclef_leaves_out_the_photos_that_no_one_can_read(tmp_path):
    root = write_refer(tmp_path, "refclef", "unc")
    names = {1: "19579.jpg", 2: "25.jpg", 3: "1234.jpg"}
    edit_json(
        root / "refclef/instances.json",
        lambda content: [image.update(file_name=names[image["id"]]) for image in content["images"]],
    )
    for number, name in names.items():  # as the archive has them: by thousands
        place = root / f"images/saiapr_tc-12/{int(name[:-4]) // 1000:02d}/images/{name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / f"images/train2014/COCO_train2014_{number:012d}.jpg", place)
    dataset = DATASETS["refclef_unc"]
    _, raw = read_source("refclef_unc", root, Source())
    assert list(raw.splits) == ["val", "testA"] and raw.dropped == {"train": 2}
    assert (raw.images / raw.splits["val"][0].image).is_file()
    assert len(read_raw(root, dataset, drop=False).splits["train"]) == 2


@needs_shared
def test_the_real_gseval():
    path = f"{SHARED}/data/formats/GroundingSuite-Eval.jsonl.gz"
    _, raw = read_source("gseval", Path(SHARED), Source("auto", raw=path))
    assert len(raw.splits["test"]) == 3715
    assert len({record.image for record in raw.splits["test"]}) == 2727
