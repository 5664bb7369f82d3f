import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_trees import (
    HEIGHT,
    LANGUAGE,
    SHARED,
    WIDTH,
    edit_json,
    edit_pickle,
    make_old,
    needs_shared,
    tree_bytes,
    write_image,
    write_mat,
    write_refer,
    write_referit,
)
from PIL import Image

from data_preprocess.base import workers as pool
from data_preprocess.base.errors import UserError
from data_preprocess.base.files import locked, sha256_file
from data_preprocess.language.encoder import LanguageEncoder
from data_preprocess.language.features import CODES, adjacency, read_features, read_key
from data_preprocess.prepared import mask_files, one_dataset, prepare
from data_preprocess.prepared.manifest import read_manifest
from data_preprocess.prepared.one_dataset import PrepareSettings, SplitSettings


def settings(raw: Path, dataset: str = "refcoco", **changes) -> PrepareSettings:
    values = {"dataset": dataset, "data": str(raw), "workers": 1} | LANGUAGE | changes
    return PrepareSettings(**values)


@pytest.fixture
def raw(tmp_path):
    return write_refer(tmp_path / "raw")


def entries(root: Path, split: str, dataset: str = "refcoco") -> list:
    return json.loads((root / "anns" / dataset / f"{split}.json").read_text())


def read_mask(root: Path, name: str, dataset: str = "refcoco") -> np.ndarray:
    with Image.open(root / "masks" / dataset / f"{name}.png") as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_refer_annotations_masks_and_manifest(raw):
    manifest = prepare.prepare(settings(raw))
    root = raw / "data_v3"
    assert entries(root, "train")[0] == {
        "segment_id": "10",
        "img_name": "COCO_train2014_000000000001.jpg",
        "sentences": [
            {"idx": 0, "sent": "left man", "sent_id": 0},
            {"idx": 1, "sent": "the man on the left", "sent_id": 1},
        ],
        "sentences_num": 2,
        "category": "thing",
        "bbox": [1.0, 2.0, 3.0, 4.0],
        "distractors": 1,
        "ann_id": 100,
        "image_id": 1,
    }
    mask = read_mask(root, "10")
    assert mask.shape == (HEIGHT, WIDTH) and set(np.unique(mask)) == {0, 255}
    assert (mask == 255).sum() == 10 * 8 + 12 * 10 - 4 * 5  # the union of two rectangles
    assert sorted(p.name for p in (root / "masks/refcoco").iterdir()) == [
        "10.png", "11.png", "12.png", "13.png",
    ]  # fmt: skip
    assert manifest == read_manifest(root, "refcoco")
    train = manifest["splits"]["train"]
    assert (train["images"], train["objects"], train["expressions"]) == (1, 2, 3)
    assert train["annotations_sha256"] == sha256_file(root / "anns/refcoco/train.json")
    assert train["language_sha256"] == sha256_file(root / "anns/refcoco/train.language.npz")
    assert manifest["masks"]["count"] == 4 and manifest["source"] == "refer"
    assert manifest["images_folder"] == "../images/train2014"
    assert "sentences" not in manifest["language"]
    assert str(raw) not in json.dumps(manifest)  # no absolute path


def test_features_follow_the_annotations(raw):
    manifest = prepare.prepare(settings(raw))
    encoder = LanguageEncoder(**LANGUAGE)
    assert manifest["language"] == encoder.key()
    for split in manifest["splits"]:
        sentences = [s["sent"] for e in entries(raw / "data_v3", split) for s in e["sentences"]]
        path = raw / "data_v3/anns/refcoco" / f"{split}.language.npz"
        features = read_features(path, manifest["language"], sentences)
        for row, sentence in enumerate(sentences):
            wanted = encoder(sentence)
            np.testing.assert_array_equal(features.word_ids[row], wanted.word_ids)
            np.testing.assert_array_equal(adjacency(features.heads[row]), wanted.adjacency)
            assert (CODES[features.kind[row]], features.depth[row]) == (wanted.kind, wanted.depth)


def test_referit(tmp_path):
    raw = write_referit(tmp_path)
    manifest = prepare.prepare(settings(raw, "referit"))
    assert [e["segment_id"] for e in entries(raw / "data_v3", "trainval", "referit")] == ["0", "2"]
    assert (read_mask(raw / "data_v3", "3", "referit") == 255).sum() == 24
    assert manifest["dropped"] == {"trainval": 1}
    assert manifest["images_folder"] == "../images/referit/images"
    assert manifest["splits"]["trainval"]["expressions"] == 3
    assert not any("distractors" in e for e in entries(raw / "data_v3", "trainval", "referit"))


def test_one_mask_a_sentence_as_in_the_original(raw):
    by_object = prepare.prepare(settings(raw, output=str(raw / "ours")))
    by_sentence = prepare.prepare(settings(raw, per_sentence_masks=True))
    root = raw / "data_v3"
    assert entries(root, "train")[1] == {
        "segment_id": "10_1",
        "img_name": "COCO_train2014_000000000001.jpg",
        "sentences": [{"idx": 1, "sent": "the man on the left", "sent_id": 1}],
        "sentences_num": 1,
        "category": "thing",
        "bbox": [1.0, 2.0, 3.0, 4.0],
        "distractors": 1,
        "ann_id": 100,
        "image_id": 1,
    }
    assert by_sentence["masks"]["count"] == 7 and by_sentence["per_sentence_masks"]
    np.testing.assert_array_equal(read_mask(root, "10_0"), read_mask(root, "10_1"))
    for split, entry in by_object["splits"].items():
        other = by_sentence["splits"][split]
        for name in ("images", "objects", "expressions", "language_sha256"):
            assert entry[name] == other[name]


def test_same_bytes_whatever_the_number_of_processes(raw, monkeypatch):
    prepare.prepare(settings(raw, output=str(raw / "one")))
    monkeypatch.setattr(pool, "_IMAGES_A_TASK", 1)
    prepare.prepare(settings(raw, output=str(raw / "two"), workers=2))
    assert tree_bytes(raw / "one") == tree_bytes(raw / "two")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("place", ["mask", "annotations", "language", "features", "manifest"])
def test_interrupted_run_leaves_nothing_half_written_and_goes_on(raw, monkeypatch, place):
    prepare.prepare(settings(raw, output=str(raw / "whole")))
    cut = settings(raw, output=str(raw / "cut"))
    targets = {
        "mask": (mask_files, "_write_pngs"),
        "annotations": (one_dataset, "write_json"),
        "language": (one_dataset, "write_language"),
        "features": (one_dataset, "write_features"),
        "manifest": (one_dataset, "write_manifest"),
    }
    calls = iter(range(100))
    target = targets[place]
    original = getattr(*target)

    def interrupted(*arguments):
        if place in ("mask", "annotations") and next(calls) < 2:
            return original(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(*target, interrupted)
        with pytest.raises(Killed):
            prepare.prepare(cut)
    left = tree_bytes(raw / "cut")
    left = {name: content for name, content in left.items() if "/.language/" not in name}
    whole = tree_bytes(raw / "whole")
    assert "anns/refcoco/manifest.json" not in left
    assert all(whole[name] == content for name, content in left.items())
    assert len(left) < len(whole)
    prepare.prepare(cut)
    assert tree_bytes(raw / "cut") == whole


def test_leftovers_of_a_killed_process_are_removed_and_damaged_masks_drawn_again(raw):
    prepare.prepare(settings(raw))
    root = raw / "data_v3"
    whole = tree_bytes(root)
    (root / "masks/refcoco/.10-abc.png").write_bytes(b"half")
    (root / "anns/refcoco/.train-abc.json").write_bytes(b"half")
    (root / "masks/refcoco/11.png").write_bytes(whole["masks/refcoco/11.png"][:40])
    prepare.prepare(settings(raw))
    assert tree_bytes(root) == whole


def test_second_run_draws_and_parses_nothing(raw, monkeypatch):
    prepare.prepare(settings(raw))
    whole = tree_bytes(raw / "data_v3")

    def forbidden(*arguments, **options):
        raise AssertionError("made again")

    monkeypatch.setattr(mask_files, "draw_mask", forbidden)
    monkeypatch.setattr(LanguageEncoder, "encode_many", forbidden)
    prepare.prepare(settings(raw))
    assert tree_bytes(raw / "data_v3") == whole


def test_changed_source_is_drawn_again(raw):
    prepare.prepare(settings(raw))
    before = read_mask(raw / "data_v3", "13")

    def enlarge(instances):
        instances["annotations"][3]["segmentation"] = [[0, 0, 9, 0, 9, 9, 0, 9]]

    edit_json(raw / "refcoco/instances.json", enlarge)
    edit_pickle(raw / "refcoco/refs(unc).p", lambda refs: refs.pop(1))
    manifest = prepare.prepare(settings(raw))
    assert (read_mask(raw / "data_v3", "13") > 0).sum() > (before > 0).sum()
    assert not (raw / "data_v3/masks/refcoco/11.png").exists()
    assert manifest["masks"]["count"] == 3


def test_changed_alignment_makes_the_features_again(raw):
    prepare.prepare(settings(raw))
    manifest = prepare.prepare(settings(raw, alignment="aligned"))
    path = raw / "data_v3/anns/refcoco/val.language.npz"
    assert read_key(path)["alignment"] == manifest["language"]["alignment"] == "aligned"


def test_features_without_kinds_are_made_again(raw):
    prepare.prepare(settings(raw))
    before = tree_bytes(raw / "data_v3")
    path = raw / "data_v3/anns/refcoco/train.language.npz"
    make_old(path)
    assert not read_features(path).kind.any()
    prepare.prepare(settings(raw))
    assert read_features(path).kind.any() and tree_bytes(raw / "data_v3") == before


def test_prepared_data_of_another_origin_is_not_overwritten(raw):
    folder = raw / "data_v3/anns/refcoco"
    folder.mkdir(parents=True)
    (folder / "train.json").write_text("[]")
    with pytest.raises(UserError, match=r"train\.json: prepared data of another origin.*adopt"):
        prepare.prepare(settings(raw))
    assert (folder / "train.json").read_text() == "[]"
    prepare.prepare(settings(raw, overwrite=True))
    assert len(entries(raw / "data_v3", "train")) == 2


def test_missing_image_and_mask(raw, tmp_path):
    (raw / "images/train2014/COCO_train2014_000000000002.jpg").unlink()
    with pytest.raises(UserError, match=r"000000000002\.jpg: no such file.*annotation 102"):
        prepare.prepare(settings(raw))
    assert not (raw / "data_v3").exists()  # found before anything is written
    other = write_referit(tmp_path / "other")
    (other / "images/referit/mask/8_1.mat").unlink()
    with pytest.raises(UserError, match=r"8_1\.mat: no such file"):
        prepare.prepare(settings(other, "referit"))


def test_image_that_cannot_be_read(raw):
    path = raw / "images/train2014/COCO_train2014_000000000003.jpg"
    path.write_bytes(b"no photo")
    with pytest.raises(UserError, match=r"000000000003\.jpg: cannot be read as an image"):
        prepare.prepare(settings(raw))


def test_record_of_another_size_than_its_image(raw):
    write_image(raw / "images/train2014/COCO_train2014_000000000003.jpg", 20, 31)
    with pytest.raises(UserError, match=r"image is 20x31 .*its record .*annotation 103.* 20x30"):
        prepare.prepare(settings(raw))


def test_mask_of_another_size_than_its_image(raw, tmp_path):
    def shrink(instances):
        instances["annotations"][1]["segmentation"]["size"] = [10, 60]

    edit_json(raw / "refcoco/instances.json", shrink)
    with pytest.raises(UserError, match="annotation 101: the run lengths are of size 10x60"):
        prepare.prepare(settings(raw))
    other = write_referit(tmp_path / "other")
    write_mat(other, "7_2", 21, 30)
    with pytest.raises(UserError, match=r"7\.jpg: the image is 20x30 .*mask of .*7_2 is 21x30"):
        prepare.prepare(settings(other, "referit"))


def test_errors_in_processes_arrive_as_they_are(raw, monkeypatch):
    monkeypatch.setattr(pool, "_IMAGES_A_TASK", 1)
    (raw / "images/train2014/COCO_train2014_000000000003.jpg").write_bytes(b"no photo")
    with pytest.raises(UserError, match="cannot be read as an image"):
        prepare.prepare(settings(raw, workers=2))
    assert not list((raw / "data_v3").rglob(".*.png"))


def test_language_of_one_split_without_images(tmp_path):
    raw = write_referit(tmp_path)
    for path in raw.glob("images/referit/*/*"):
        path.unlink()
    values = {"dataset": "referit", "data": str(raw), "split": "test"} | LANGUAGE
    assert prepare.language(SplitSettings(**values)) == {"test": 1}
    assert len(read_features(raw / "data_v3/anns/referit/test.language.npz")) == 1
    with pytest.raises(UserError, match="unknown split of referit: 'tset'. Did you mean 'test'"):
        prepare.language(SplitSettings(**values | {"split": "tset"}))


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "data_preprocess", *words],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_command_line(raw):
    words = [f"{key}={value}" for key, value in LANGUAGE.items()]
    done = run("prepare", "refcoco", f"data={raw}", *words, "--per-sentence-masks")
    assert done.returncode == 0, done.stderr
    assert "refcoco train: 1 images, 2 objects, 3 expressions\n" in done.stdout
    assert (raw / "data_v3/masks/refcoco/10_1.png").is_file()


def test_manifest_of_nothing_says_how_to_prepare(tmp_path):
    with pytest.raises(UserError, match="dghin data prepare refcoco"):
        read_manifest(tmp_path, "refcoco")


@needs_shared
def test_real_refcoco_sample(tmp_path):
    manifest = prepare.prepare(settings(Path(SHARED) / "data/refer", output=str(tmp_path)))
    found = {
        split: (entry["images"], entry["objects"], entry["expressions"])
        for split, entry in manifest["splits"].items()
    }
    assert found == {"val": (5, 16, 45), "testA": (2, 6, 18), "testB": (6, 12, 36)}
    assert manifest["masks"]["count"] == 34
    instances = json.loads((Path(SHARED) / "data/refer/refcoco/instances.json").read_text())
    areas = {tuple(a["bbox"]): a["area"] for a in instances["annotations"] if not a["iscrowd"]}
    for split in found:
        for entry in entries(tmp_path, split):
            drawn = (read_mask(tmp_path, entry["segment_id"]) > 0).sum()
            assert drawn == pytest.approx(areas[tuple(entry["bbox"])], rel=0.1)


def test_two_processes_do_not_prepare_the_same_data_set_at_once(raw):
    folder = raw / "data_v3/anns/refcoco"
    folder.mkdir(parents=True)
    with locked(folder) as held:
        assert held
        with pytest.raises(UserError, match="another process prepares this data set"):
            prepare.prepare(settings(raw))
    prepare.prepare(settings(raw))
