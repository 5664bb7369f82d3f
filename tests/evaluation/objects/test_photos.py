"""The annotated objects of photos: by their ids, drawn, and in which file they are."""

import json
from pathlib import Path

import numpy as np
import pytest

from dghin.evaluation.objects.photos import objects_file, read_photos

SQUARE = [[0, 0, 4, 0, 4, 4, 0, 4]]


@pytest.fixture
def instances(tmp_path):
    counts = {"size": [6, 8], "counts": [40, 8]}  # the last column but one third
    annotations = [
        {"id": 11, "image_id": 1, "category_id": 3, "segmentation": SQUARE, "iscrowd": 0},
        {"id": 12, "image_id": 1, "category_id": 4, "segmentation": counts, "iscrowd": 1},
        {"id": 13, "image_id": 1, "category_id": 4, "segmentation": [[1, 2]]},
        {"id": 21, "image_id": 2, "category_id": 3, "segmentation": SQUARE},
    ]
    images = [{"id": n, "file_name": f"{n}.jpg", "height": 6, "width": 8} for n in (1, 2)]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


def test_objects_of_the_photos_that_are_asked_for(instances, caplog):
    photos = read_photos(instances, {"1", "7"})
    assert list(photos) == ["1"] and photos["1"].size == (6, 8)
    assert [(one.id, one.category) for one in photos["1"].objects] == [
        ("11", 3), ("12", 4), ("13", 4),
    ]  # fmt: skip
    masks = photos["1"].masks()
    assert masks.shape == (3, 6, 8) and masks.dtype == bool
    assert masks[0].sum() == 16 and masks[0, :4, :4].all()
    assert masks[1].sum() == 8, "a crowd is an object, too"
    assert not masks[2].any() and "annotation 13" in caplog.text


@pytest.mark.parametrize(
    ("dataset", "segment", "expected"),
    [
        ("refcoco", "5", "refcoco/instances.json"),
        ("shapes", "5", "refcoco/instances.json"),
        ("grefcoco", "5", "grefcoco/instances.json"),
        ("joint", "refcocog_umd/5", "refcocog/instances.json"),
        ("referit", "5_1", None),
        ("shapes_referit", "5_1", None),
        ("gseval", "5", None),
        ("mine", "5", None),
    ],
)
def test_the_file_of_objects_of_a_data_set(dataset, segment, expected):
    found = objects_file(Path("raw"), dataset, segment)
    assert found == (None if expected is None else Path("raw") / expected)


def test_an_empty_photo_has_no_masks(instances):
    content = json.loads(instances.read_text()) | {"annotations": []}
    instances.write_text(json.dumps(content))
    assert np.shape(read_photos(instances, {"2"})["2"].masks()) == (0, 6, 8)
