"""Run lengths: the same pixels as pycocotools', and errors before anything is drawn."""

import sys

import numpy as np
import pytest
from pycocotools import mask as coco

from data_preprocess.base.errors import UserError
from data_preprocess.raw.segmentation import run_lengths
from dghin.evaluation.predictions.run_lengths import read_run_lengths


def examples():
    random = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 7), (9, 1), (13, 17), (480, 640)):
        yield np.zeros((height, width), bool)
        yield np.ones((height, width), bool)
        yield random.random((height, width)) > 0.5
    large = np.zeros((700, 900), bool)
    large[:, 300:] = True
    large[5, 400:500] = False
    yield large


def compressed(mask):
    found = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": found["size"], "counts": found["counts"].decode()}


@pytest.mark.parametrize("mask", examples(), ids=lambda mask: f"{mask.shape}-{mask.mean():.2f}")
def test_same_pixels_as_pycocotools(mask, monkeypatch):
    assert run_lengths(mask) == compressed(mask)
    assert (read_run_lengths(compressed(mask), "here").mask() == mask).all()
    monkeypatch.setitem(sys.modules, "pycocotools", None)  # importing it fails
    plain = run_lengths(mask)
    assert isinstance(plain["counts"], list) and sum(plain["counts"]) == mask.size
    assert min(plain["counts"][1:], default=1) > 0  # only the first run may be of no pixel
    drawn = read_run_lengths(plain, "here").mask()
    assert drawn.dtype == bool and drawn.flags.c_contiguous and (drawn == mask).all()
    monkeypatch.undo()
    assert (
        coco.encode(np.asfortranarray(drawn, dtype=np.uint8))["counts"].decode()
        == (compressed(mask)["counts"])
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"size": [3, 4], "counts": [5, 6]}, "add up to 11 pixels, the image has 12 .3x4"),
        ({"size": [3, 4], "counts": [5, -1, 8]}, "-1 is no run length"),
        ({"size": [3, 4], "counts": [5, 1.5, 5.5]}, "1.5 is no run length"),
        ({"size": [3, 4], "counts": [5, True, 6]}, "True is no run length"),
        ({"size": [3, 4], "counts": [5, float("nan")]}, "nan is no run length"),
        ({"size": [3, 4], "counts": []}, "add up to 0"),
        ({"size": [3, 4], "counts": ""}, "no compressed"),
        ({"size": [3, 4], "counts": "5é"}, "no compressed"),
        ({"size": [3, 4], "counts": "<1"}, "no compressed"),
        ({"size": [3, 4], "counts": "P"}, "no compressed"),  # its number goes on
        ({"size": [3, 4], "counts": "ooooooooo0"}, "no compressed"),  # longer than any number
        ({"size": [3, 4], "counts": "O="}, "no compressed"),  # -1 and 13
        ({"size": [3], "counts": [12]}, "no run lengths"),
        ({"size": [3, 0], "counts": []}, "height 3 and width 0"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, "pixels at most"),
        ({"counts": [12]}, "no run lengths"),
        ({"size": [3, 4]}, "no run lengths"),
        ([[0, 0, 3, 0, 3, 3]], "polygons"),
        ("masks/12.png", "no run lengths"),
        ({"size": [3, 4], "counts": "b'0<'"}, "text of bytes. Write counts.decode"),
    ],
)
def test_what_is_none(value, said):
    with pytest.raises(UserError, match=f"^line 7: .*{said}"):
        read_run_lengths(value, "line 7").mask()


def test_height_and_width_exchanged_are_still_the_same_sum():
    """Only the photo's size can tell: read_predictions compares it."""
    assert read_run_lengths({"size": [4, 3], "counts": [12]}, "here").mask().shape == (4, 3)
