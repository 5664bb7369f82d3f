"""The embedded data set: same bytes, masks that fit the picture, both raw layouts."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from helpers.expressions import COLOURS
from helpers.written_shapes import Written
from PIL import Image
from scipy.io import loadmat

from data_preprocess.base.errors import UserError
from data_preprocess.raw.datasets import find_dataset
from data_preprocess.raw.masks import draw_mask, draw_segmentation, read_mat
from data_preprocess.raw.readers import read_raw
from data_preprocess.shapes import dataset as shapes
from data_preprocess.shapes.dataset import ShapesSettings, make_scene, split_sequence, write_shapes
from data_preprocess.shapes.draw import coverage, visible
from data_preprocess.shapes.phrases import KINDS
from data_preprocess.shapes.raw_files import _run_lengths

IMAGES = 60


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Written:
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root, ShapesSettings(images=IMAGES))
    return Written(root)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_same_seed_same_bytes(tmp_path):
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    write_shapes(one, ShapesSettings(images=4))
    write_shapes(two, ShapesSettings(images=4))
    assert contents(one) == contents(two)
    write_shapes(three, ShapesSettings(images=4, seed=1))
    assert all(
        contents(one)[name] != content
        for name, content in contents(three).items()
        if name.endswith(".jpg")
    )


def test_an_image_is_the_same_in_a_larger_set(tmp_path, written):
    write_shapes(tmp_path, ShapesSettings(images=5))
    small, large = contents(tmp_path), contents(written.root)
    drawn = [name for name in small if name.startswith("images/")]
    assert len(drawn) > 15
    assert all(small[name] == large[name] for name in drawn)


def test_mat_files_name_no_time(written):
    path = next((written.root / "images" / "referit" / "mask").iterdir())
    assert b"Created" not in path.read_bytes()[:116]


def test_complete_set_is_not_made_again(tmp_path, monkeypatch):
    settings = ShapesSettings(images=3)
    first = write_shapes(tmp_path, settings)
    with monkeypatch.context() as patch:
        patch.setattr(shapes, "make_page", lambda *_: pytest.fail("made again"))
        assert write_shapes(tmp_path, settings) == first
    next((tmp_path / "images" / "train2014").iterdir()).unlink()
    assert write_shapes(tmp_path, settings) == first
    assert len(list((tmp_path / "images" / "train2014").iterdir())) == 3


def test_interrupted_set_is_made_again(tmp_path, monkeypatch):
    settings = ShapesSettings(images=3)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shapes, "write_refer", stop)
        with pytest.raises(KeyboardInterrupt):
            write_shapes(tmp_path / "one", settings)
    assert not (tmp_path / "one" / "refcoco").exists()
    write_shapes(tmp_path / "one", settings)
    write_shapes(tmp_path / "two", settings)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_smaller_set_leaves_nothing_of_the_larger(tmp_path):
    write_shapes(tmp_path / "one", ShapesSettings(images=5))
    write_shapes(tmp_path / "one", ShapesSettings(images=2))
    write_shapes(tmp_path / "two", ShapesSettings(images=2))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_folder_of_other_data_is_left_alone(tmp_path):
    kept = tmp_path / "refcoco" / "refs(unc).p"
    kept.parent.mkdir()
    kept.write_bytes(b"the real one")
    with pytest.raises(UserError, match="refcoco.*Choose another folder"):
        write_shapes(tmp_path, ShapesSettings(images=2))
    assert kept.read_bytes() == b"the real one"


@pytest.mark.parametrize("bad", [{"images": 0}, {"seed": -1}, {"val": -0.1}, {"testA": 1.2}])
def test_impossible_settings(tmp_path, bad):
    with pytest.raises(UserError, match="give at least one image"):
        write_shapes(tmp_path, ShapesSettings(**bad))
    assert not list(tmp_path.iterdir())


def test_splits_are_by_image(written):
    splits = defaultdict(set)
    for ref in written.refs:
        splits[ref["split"]].add(ref["image_id"])
    assert set(splits) == {"train", "val", "testA", "testB"}
    assert sum(map(len, splits.values())) == len(set.union(*splits.values())) == IMAGES
    queries = {part: written.referit(f"referit_query_{part}.json") for part in ("trainval", "test")}
    images = {part: {int(key.split("_")[0]) for key in queries[part]} for part in queries}
    assert images["trainval"] == splits["train"] | splits["val"]
    assert images["test"] == splits["testA"] | splits["testB"]


def test_full_size_splits_and_scene_sizes():
    sequence = split_sequence(ShapesSettings())
    assert Counter(sequence) == {"train": 1560, "val": 160, "testA": 140, "testB": 140}
    assert set(sequence[:12]) == {"train", "val", "testA", "testB"}
    for split, allowed in (("testA", {3, 4, 5}), ("testB", {5, 6, 7}), ("val", {3, 4, 5, 6, 7})):
        scenes = [make_scene(0, number, split) for number in range(1, 60)]
        assert {len(scene.things) for scene in scenes} == allowed


def test_polygons_overlap_and_crowds_are_run_lengths(written):
    overlapping = 0
    forms = Counter()
    for entry in written.instances["annotations"]:
        segmentation = entry["segmentation"]
        assert entry["iscrowd"] == isinstance(segmentation, dict)
        if isinstance(segmentation, dict):
            forms[type(segmentation["counts"]).__name__] += 1
            continue
        forms["polygons" if len(segmentation) > 1 else "polygon"] += 1
        image = written.images[entry["image_id"]]
        size = image["height"], image["width"]
        parts = [draw_segmentation([part], *size, where="test") for part in segmentation]
        overlapping += bool((sum(parts) > 1).any())
    assert set(forms) == {"str", "list", "polygon", "polygons"}
    assert min(forms.values()) >= 5 and overlapping > 20


def test_two_forms_of_run_lengths_agree():
    random = np.random.default_rng(0)
    for mask in (random.random((7, 5)) < 0.5, np.ones((2, 3)), np.eye(4)):
        mask = mask.astype(np.uint8)
        for as_text in (False, True):
            assert (draw_segmentation(_run_lengths(mask, as_text), *mask.shape, "") == mask).all()


def test_masks_fit_the_picture_and_both_layouts_agree(written):
    """Polygons are drawn a little larger than pixels: the more pieces, the more of a rim."""
    agreement = []
    for ref in written.refs:
        entry = written.annotations[ref["ann_id"]]
        mask = written.mask(entry)
        region = f"{ref['image_id']}_{ref['ann_id'] % 10}"
        other = read_mat(written.root / "images" / "referit" / "mask" / f"{region}.mat") > 0
        assert mask.shape == other.shape == written.picture(ref["image_id"]).shape[:2]
        agreement.append((mask & other).sum() / (mask | other).sum())
        assert abs(entry["area"] - mask.sum()) < 0.05 * entry["area"]
        x, y, w, h = entry["bbox"]
        rows, columns = np.nonzero(other)
        assert (columns.min(), rows.min()) == (x, y)
        assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (w, h)
    assert min(agreement) > 0.93 and np.mean(agreement) > 0.98
    assert (written.picture(1) == np.asarray(Image.open(
        written.root / "images" / "referit" / "images" / "1.jpg"))).all()  # fmt: skip


def test_pixels_of_a_thing_stand_out_from_the_ground(written):
    """Inside a mask the pixels are of one colour, just outside they are not."""
    for image_id in list(written.images)[:12]:
        picture = written.picture(image_id).astype(int)
        entries = [e for e in written.instances["annotations"] if e["image_id"] == image_id]
        masks = [written.mask(entry) for entry in entries]
        for mask, thing in zip(masks, written.things(image_id).values(), strict=True):
            distance = np.abs(picture - COLOURS[thing.colour]).sum(axis=2)
            assert np.mean(distance[mask] < 160) > 0.85
            assert np.mean(distance[~np.any(masks, axis=0)] < 100) < 0.05


def test_refer_layout_has_the_keys_of_the_real_files(written):
    assert set(written.instances) == {
        "info", "licenses", "images", "annotations", "categories",
    }  # fmt: skip
    assert set(written.instances["images"][0]) == {
        "license", "file_name", "coco_url", "height", "width", "date_captured", "flickr_url", "id",
    }  # fmt: skip
    assert set(written.instances["annotations"][0]) == {
        "segmentation", "area", "iscrowd", "image_id", "bbox", "category_id", "id",
    }  # fmt: skip
    assert set(written.instances["categories"][0]) == {"supercategory", "id", "name"}
    assert isinstance(written.refs, list)
    for ref in written.refs:
        assert set(ref) == {
            "ref_id", "ann_id", "image_id", "split", "sent_ids", "sentences", "category_id",
            "file_name",
        }  # fmt: skip
        assert ref["sent_ids"] == [s["sent_id"] for s in ref["sentences"]]
        for sentence in ref["sentences"]:
            assert set(sentence) == {"sent_id", "sent", "raw", "tokens", "kind"}
    assert written.images[1]["file_name"] == "COCO_train2014_000000000001.jpg"


def test_referit_layout_is_that_of_the_real_files(written):
    folder = written.root / "referit"
    boxes, kinds = written.referit("referit_bbox.json"), written.referit("referit_kind.json")
    sizes = written.referit("referit_imsize.json")
    queries = {}
    for part in ("trainval", "test"):
        queries[part] = written.referit(f"referit_query_{part}.json")
        listed = (folder / f"referit_{part}_imlist.txt").read_text().split("\n")
        assert {key.split("_")[0] for key in queries[part]} == set(listed)
    regions = queries["trainval"] | queries["test"]
    assert set(regions) == set(boxes) == set(kinds)
    assert {region: len(texts) for region, texts in regions.items()} == {
        region: len(names) for region, names in kinds.items()
    }
    for image_id, image in written.images.items():
        assert sizes[f"{image_id}.jpg"] == [image["width"], image["height"]]
    for region, (x0, y0, x1, y1) in boxes.items():
        labels = loadmat(written.root / "images" / "referit" / "mask" / f"{region}.mat")["segimg_t"]
        assert labels.dtype == np.int16 and set(np.unique(labels)) == {-1, 0}
        rows, columns = np.nonzero(labels == 0)
        assert [columns.min(), rows.min(), columns.max(), rows.max()] == [x0, y0, x1, y1]


@pytest.mark.parametrize("name", ["refcoco", "referit"])
def test_the_real_readers_read_it(written, name):
    raw = read_raw(written.root, find_dataset(name))
    records = [record for records in raw.splits.values() for record in records]
    assert len(records) == len(written.refs)
    assert {s.kind for record in records for s in record.sentences} == set(KINDS)
    assert all(draw_mask(record).any() for record in records[:20])


def test_hidden_parts_are_outside_the_mask():
    """In some scenes a thing in front, of another colour, hides a small part of one behind."""
    hidden = []
    for number in range(1, 80):
        scene = make_scene(0, number, "testB")
        whole = [coverage(thing, scene.width, scene.height).sum() for thing in scene.things]
        shown = visible(scene)
        assert sum(shown).max() <= 1 + 1e-5
        hidden += [1 - part.sum() / all_ for part, all_ in zip(shown, whole, strict=True)]
    assert 5 < sum(share > 0.02 for share in hidden) and max(hidden) < 0.3
