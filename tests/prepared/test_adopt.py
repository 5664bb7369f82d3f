from pathlib import Path

import pytest
from helpers.raw_trees import LANGUAGE, edit_json, tree_bytes, write_refer

from data_preprocess.base.errors import UserError
from data_preprocess.language.features import read_features
from data_preprocess.prepared.adopt import adopt
from data_preprocess.prepared.annotations import read_entries
from data_preprocess.prepared.manifest import read_manifest
from data_preprocess.prepared.one_dataset import LanguageSettings, PrepareSettings
from data_preprocess.prepared.prepare import prepare
from data_preprocess.verify.overlap import images_on_disk


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
