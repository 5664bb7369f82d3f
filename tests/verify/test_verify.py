import json
import pickle
from pathlib import Path

import pytest
from helpers.raw_trees import LANGUAGE, SHARED, counted, needs_shared, write_refer, write_referit

from data_preprocess.prepared.one_dataset import SplitSettings
from data_preprocess.prepared.prepare import language
from data_preprocess.raw.datasets import DATASETS
from data_preprocess.verify.cards import summary
from data_preprocess.verify.published import COUNTS, published_counts, published_sources
from data_preprocess.verify.verify import VerifySettings


def found(table, split, stage="as released"):
    rows = table[(table["split"] == split) & (table["stage"] == stage)]
    return dict(zip(rows["count"], rows["found"], strict=True))


def test_refer_counts(tmp_path):
    table = counted(VerifySettings("refcoco", str(write_refer(tmp_path))))
    assert found(table, "train") == {"images": 1, "objects": 2, "expressions": 3}
    assert set(table["verdict"]) == {"differs"}
    assert set(table.attrs["sources"]) == {"refcoco/instances.json", "refcoco/refs(unc).p"}
    assert summary(table).startswith("0 of 12 published figures are met")


def test_referit_is_counted_before_and_after_the_unreadable_images(tmp_path):
    table = counted(VerifySettings("referit", str(write_referit(tmp_path))))
    assert found(table, "trainval") == {"images": 2, "objects": 3, "expressions": 4}
    after = found(table, "trainval", "without unreadable images")
    assert after == {"images": 1, "objects": 2, "expressions": 3}


def test_published_figures_are_there_for_every_split():
    for dataset in DATASETS.values():
        published = published_counts(dataset)
        unknown = {"train"} if dataset.name == "grefcoco" else set()  # no source names its counts
        named = {split.removesuffix("_after_drop") for split in published}
        assert set(dataset.splits) - named == unknown
        assert published_sources(dataset)
    assert published_counts(DATASETS["refcoco"])["val"] == {
        "images": 1500, "objects": 3811, "expressions": 10834,
    }  # fmt: skip


@pytest.mark.slow
@needs_shared
def test_real_referit_meets_every_published_figure():
    table = counted(VerifySettings("referit", f"{SHARED}/data"))
    for split, stage, objects, expressions in (
        ("trainval", "as released", 49515, 59976),
        ("test", "as released", 49730, 60105),
        ("trainval", "without unreadable images", 49513, 59969),
        ("test", "without unreadable images", 49728, 60103),
    ):
        counts = found(table, split, stage)
        assert (counts["objects"], counts["expressions"]) == (objects, expressions)
    assert "differs" not in set(table["verdict"])
    assert summary(table) == "10 of 10 published figures are met."


@needs_shared
@pytest.mark.slow
def test_language_of_the_whole_referit_test_split(tmp_path):
    settings = SplitSettings("referit", f"{SHARED}/data", str(tmp_path), split="test", **LANGUAGE)
    assert language(settings) == {"test": 60103}


@needs_shared
def test_every_expression_of_refcocos_held_out_splits_is_counted_as_published(tmp_path):
    """The real val, testA and testB, laid out as a REFER folder (boxes stand for polygons)."""
    refs = json.loads(Path(f"{SHARED}/data/expressions/refcoco_unc.json").read_text())
    images = {
        ref["image_id"]: {"id": ref["image_id"], "height": 1000, "width": 1000,
                          "file_name": f"COCO_train2014_{ref['image_id']:012d}.jpg"}
        for ref in refs
    }  # fmt: skip
    annotations = [
        {"id": ref["ann_id"], "image_id": ref["image_id"], "bbox": ref["bbox"],
         "segmentation": [rectangle(*ref["bbox"])]}
        for ref in refs
    ]  # fmt: skip
    folder = tmp_path / "refcoco"
    folder.mkdir()
    instances = {"images": list(images.values()), "annotations": annotations}
    (folder / "instances.json").write_text(json.dumps(instances))
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    table = counted(VerifySettings("refcoco", str(tmp_path)))
    there = table[table["split"] != "train"]  # the sample has no train split
    assert set(there["split"]) == {"val", "testA", "testB"}
    assert summary(there) == "9 of 9 published figures are met."


def rectangle(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def test_the_published_figures_are_those_of_the_papers():
    """Images, objects and expressions of every split; None where no source gives a figure."""
    wanted = {
        "refcoco": {"train": (16994, 42404, 120624), "val": (1500, 3811, 10834),
                    "testA": (750, 1975, 5657), "testB": (750, 1810, 5095)},
        "refcoco+": {"train": (16992, 42278, 120191), "val": (1500, 3805, 10758),
                     "testA": (750, 1975, 5726), "testB": (750, 1798, 4889)},
        "refcocog_umd": {"train": (21899, 42226, 80512), "val": (1300, 2573, 4896),
                         "test": (2600, 5023, 9602)},
        "referit": {"trainval": (9995, 49515, 59976), "test": (9994, 49730, 60105),
                    "trainval_after_drop": (None, 49513, 59969),
                    "test_after_drop": (None, 49728, 60103)},
    }  # fmt: skip
    for name, splits in wanted.items():
        published = published_counts(DATASETS[name])
        for split, figures in splits.items():
            assert tuple(map(published[split].get, COUNTS)) == figures
