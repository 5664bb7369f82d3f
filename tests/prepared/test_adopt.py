import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_trees import LANGUAGE, edit_json, tree_bytes, write_refer
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.language.features import read_features
from data_preprocess.prepared.adopt import adopt
from data_preprocess.prepared.annotations import read_entries
from data_preprocess.prepared.manifest import read_manifest
from data_preprocess.prepared.one_dataset import AdoptSettings, LanguageSettings, PrepareSettings
from data_preprocess.prepared.prepare import prepare
from data_preprocess.raw.datasets import DATASETS
from data_preprocess.raw.masks import draw_mask
from data_preprocess.raw.readers import read_raw
from data_preprocess.verify.checks import check_prepared
from data_preprocess.verify.overlap import images_on_disk
from dghin.data.split import PreparedSplit


@pytest.fixture
def raw(tmp_path):
    return write_refer(tmp_path / "raw")


def adoptable(raw: Path, dataset: str) -> Path:
    """Prepared data as the original leaves it: annotations and masks by sentence, no more."""
    prepare(PrepareSettings(dataset, str(raw), workers=1, per_sentence_masks=True, **LANGUAGE))
    root = raw / "data_v3"
    for path in [*root.glob("anns/*/*.npz"), *root.glob("anns/*/.prepare.json"),
                 *root.glob("anns/*/manifest.json")]:  # fmt: skip
        path.unlink()
    return root


def test_adopt_adds_features_and_manifest_and_touches_nothing(raw):
    root = adoptable(raw, "refcoco")
    before = tree_bytes(root)
    manifest = adopt(LanguageSettings(dataset="refcoco", data=str(raw), **LANGUAGE))
    after = tree_bytes(root)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"anns/refcoco/manifest.json"} | {
        f"anns/refcoco/{split}.language.npz" for split in ("train", "val", "testA")
    }
    assert manifest["adopted"] and manifest["per_sentence_masks"]
    train = manifest["splits"]["train"]
    assert (train["images"], train["objects"], train["expressions"]) == (1, 2, 3)
    assert manifest["masks"]["count"] == 7


def test_annotations_of_the_original_say_nothing_of_distractors(raw):
    path = adoptable(raw, "refcoco") / "anns/refcoco/val.json"
    edit_json(path, lambda entries: [entry.pop("distractors") for entry in entries])
    adopt(LanguageSettings(dataset="refcoco", data=str(raw), **LANGUAGE))
    assert "distractors" not in path.read_text()
    features = read_features(path.with_name("val.language.npz"))
    assert len(features.depth) == len(features.kind) == len(read_entries(path))
    edit_json(path, lambda entries: entries[0].update(distractors=-1))
    with pytest.raises(UserError, match=r"entry 0: distractors -1 is no number"):
        read_entries(path)


def test_adopted_refcocog_is_linked_under_the_name_of_its_split(tmp_path):
    raw = write_refer(tmp_path, "refcocog", "umd")
    root = adoptable(raw, "refcocog_umd")
    for kind in ("anns", "masks"):
        (root / kind / "refcocog_umd").rename(root / kind / "refcocog")
    adopt(LanguageSettings(dataset="refcocog_umd", data=str(raw), **LANGUAGE))
    assert read_manifest(root, "refcocog_umd")["split_by"] == "umd"
    assert (root / "masks/refcocog_umd/10_0.png").is_file()
    found = images_on_disk(raw / "nothing", root)
    assert list(found) == ["refcocog_umd"]  # the linked folder is no second data set
    with pytest.raises(UserError, match="adopted as refcocog_umd already"):
        adopt(LanguageSettings(dataset="refcocog_google", data=str(raw), **LANGUAGE))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "masks/refcoco/10_1.png").unlink(), r"10_1\.png: no such mask"),
        (lambda root: (root / "anns/refcoco/train.json").write_text("{"), "not readable as JSON"),
        (lambda root: edit_json(root / "anns/refcoco/val.json", lambda e: e[0].pop("img_name")),
         r"val\.json, entry 0: no 'img_name'"),
        (lambda root: edit_json(root / "anns/refcoco/val.json",
                                lambda e: e[0]["sentences"][0].update(sent=" ")),
         r"val\.json, entry 0, sentence 0: the expression is empty"),
        (lambda root: edit_json(root / "anns/refcoco/val.json",
                                lambda e: e[0].update(img_name="none.jpg")),
         r"none\.jpg: no such image"),
    ],
)  # fmt: skip
def test_adopt_refuses_what_training_could_not_read(raw, damage, message):
    damage(adoptable(raw, "refcoco"))
    with pytest.raises(UserError, match=message):
        adopt(LanguageSettings(dataset="refcoco", data=str(raw), **LANGUAGE))


def test_adopt_of_nothing(raw):
    with pytest.raises(UserError, match=r"anns/refcoco: no train\.json or"):
        adopt(LanguageSettings(dataset="refcoco", data=str(raw), **LANGUAGE))


def test_the_originals_refcoco_is_not_taken_for_the_google_split(raw):
    adoptable(raw, "refcoco")
    with pytest.raises(UserError, match=r"anns/refcoco_google: no train\.json or"):
        adopt(LanguageSettings(dataset="refcoco_google", data=str(raw), **LANGUAGE))
    assert not (raw / "data_v3/anns/refcoco_google").exists()


@pytest.mark.parametrize("corners", [True, False])
def test_boxes_of_adopted_data_are_what_their_masks_say(raw, corners):
    """CRIS writes x1 y1 x2 y2, the original x y width height: Box@0.5 must read each rightly."""
    boxes = {"10": [2, 2, 18, 13], "11": [0, 0, 3, 20], "12": [3, 2, 6, 4], "13": [0, 0, 5, 5]}
    root = adoptable(raw, "refcoco")

    def write_boxes(entries):
        for entry in entries:
            x, y, width, height = boxes[entry["segment_id"].partition("_")[0]]
            entry["bbox"] = [x, y, x + width, y + height] if corners else [x, y, width, height]

    for path in (root / "anns/refcoco").glob("*.json"):
        edit_json(path, write_boxes)
    before = tree_bytes(root)
    manifest = adopt(AdoptSettings(dataset="refcoco", data=str(raw), **LANGUAGE))
    assert manifest.get("boxes") == ("x1 y1 x2 y2" if corners else None)
    assert {name: tree_bytes(root)[name] for name in before} == before
    split = PreparedSplit(root, "refcoco", "val")
    assert split.expressions[0].bbox == (3, 2, 6, 4)
    assert check_prepared(root, "refcoco", workers=1).problems == []


def write_cris(root: Path, raw: Path) -> None:
    """RefCOCO as CRIS's data_process.py leaves it: an entry a ref, boxes as corners, and masks in
    which overlapping polygons add up (510 is 254 in 8 bits)."""
    for split, records in read_raw(raw, DATASETS["refcoco"]).splits.items():
        entries = []
        for record in records:
            x, y, width, height = record.bbox
            entries.append({
                "bbox": [x, y, x + width, y + height], "cat": 1,
                "segment_id": int(record.segment_id), "img_name": record.image,
                "sentences": [{"idx": index, "sent_id": sentence.sent_id, "sent": sentence.text}
                              for index, sentence in enumerate(record.sentences)],
                "sentences_num": len(record.sentences),
            })  # fmt: skip
            mask = draw_mask(record)
            if split == "train" and record.segment_id == "10":
                mask[5:10, 8:12] = 2
            path = root / f"masks/refcoco/{record.segment_id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask * np.uint8(255)).save(path)
        (root / "anns/refcoco").mkdir(parents=True, exist_ok=True)
        (root / f"anns/refcoco/{split}.json").write_text(json.dumps(entries))


def test_a_folder_of_cris_gives_refers_masks(raw, tmp_path):
    root = tmp_path / "datasets"
    write_cris(root, raw)
    adopt(AdoptSettings("refcoco", str(raw), str(root), **LANGUAGE))
    for split, records in read_raw(raw, DATASETS["refcoco"]).splits.items():
        found = PreparedSplit(root, "refcoco", split)
        wanted = [(record, sentence) for record in records for sentence in record.sentences]
        for index, (record, sentence) in enumerate(wanted):
            assert np.array_equal(found.truth(index), draw_mask(record) == 1)
            assert found.expressions[index].sentence == sentence.text
            assert found.expressions[index].sent_id == str(sentence.sent_id)


def test_photos_of_adopted_data_may_be_elsewhere(raw, tmp_path):
    adoptable(raw, "refcoco")
    (raw / "images/train2014").rename(tmp_path / "photos")
    settings = AdoptSettings(dataset="refcoco", data=str(raw), **LANGUAGE)
    with pytest.raises(UserError, match="no such image.*images=FOLDER"):
        adopt(settings)
    adopt(replace(settings, images=str(tmp_path / "photos")))
    assert PreparedSplit(raw / "data_v3", "refcoco", "val").image(0).size == (30, 20)
