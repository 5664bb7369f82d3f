"""Masks of a protocol: by torch and by NumPy alike; the truth as LAVT has it; boxes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dghin.evaluation import masks
from dghin.evaluation.answers import PROTOCOLS, Answer
from dghin.evaluation.masks import (
    box_iou,
    compared,
    intersection_union,
    mask_box,
    mask_of,
    predict_mask,
    shrunk,
)

SIZES = [(48, 64), (61, 43), (100, 32), (32, 32), (17, 90)]


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(masks, "_torch", lambda: None)


@pytest.mark.parametrize("small", [24, 32, 52])
def test_numpy_enlarges_masks_of_two_values_as_torch_does(without_torch, small):
    random = np.random.default_rng(small)
    for size in [*SIZES, *((int(h), int(w)) for h, w in random.integers(5, 200, (30, 2)))]:
        mask = random.random((small, small)) > 0.9
        maps = torch.from_numpy(mask)[None, None].float()
        expected = F.interpolate(maps, size, mode="bilinear", align_corners=False)[0, 0] > 0
        assert (mask_of(Answer(mask, "small"), size, "paper") == expected.numpy()).all(), size


@pytest.mark.parametrize("form", ["logits", "probability"])
def test_numpy_and_torch_differ_by_rounding_only(monkeypatch, form):
    random = np.random.default_rng(0)
    values = random.normal(size=(2, 32, 32)).astype(np.float32)
    if form == "probability":
        values = 1 / (1 + np.exp(-values[0]))
    answer, found = Answer(values, form), {}
    for name in ("torch", "numpy"):
        if name == "numpy":
            monkeypatch.setattr(masks, "_torch", lambda: None)
        found[name] = [np.asarray(mask_of(answer, (61, 43), protocol)) for protocol in PROTOCOLS]
    for one, other in zip(*found.values(), strict=True):
        assert (one != other).mean() < 1e-3 and one.any() and not one.all()


def test_a_probability_is_strict_by_its_log_odds():
    """So the same answer, saved as logits or as probabilities, has the same mask."""
    logits = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    probability = logits.softmax(0)[1]
    for protocol in PROTOCOLS:
        one = predict_mask(logits, (61, 43), protocol)
        other = mask_of(Answer(probability, "probability"), (61, 43), protocol)
        assert (one != other).sum() <= 1, protocol


def test_the_truth_is_shrunk_as_by_lavts_loader():
    """torch's nearest-exact takes the other of two pixels in the middle: 99 of 480 columns."""
    truth = np.zeros((480, 640), bool)
    truth[:, ::2] = True
    exact = F.interpolate(torch.from_numpy(truth)[None, None].float(), (480, 480),
                          mode="nearest-exact")[0, 0] > 0  # fmt: skip
    differ = (shrunk(truth, 480) != exact.numpy()).any(axis=0).sum()
    assert differ == 99
    assert (shrunk(truth[:, :480], 480) == truth[:, :480]).all()


def test_an_object_that_vanishes_is_never_right():
    """One pixel of 480 × 640 is gone at 48; an empty answer has not found it."""
    truth = np.zeros((480, 640), bool)
    truth[1, 1] = True
    for answered, union in ((False, 0), (True, 1)):
        small = np.zeros((48, 48), bool)
        small[20, 20] = answered
        columns = compared(Answer(small, "small"), truth).columns
        assert columns["resized_area"] == 0
        assert (columns["resized_intersection"], columns["resized_union"]) == (0, union)


def test_boxes():
    mask = np.zeros((10, 20), bool)
    assert mask_box(mask) is None
    mask[2:5, 3:9] = True
    assert mask_box(mask) == (3, 2, 9, 5)
    assert box_iou((3, 2, 9, 5), (3, 2, 9, 5)) == 1.0
    assert box_iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 1, 1), (5, 5, 6, 6)) == 0.0
    assert (box_iou(None, (0, 0, 1, 1)), box_iou(None, None)) == (0.0, 1.0)


def test_the_masks_box_is_compared_with_the_annotated_one():
    truth = np.zeros((10, 20), bool)
    truth[2:5, 3:9] = True
    own = compared(Answer(truth, "mask"), truth).columns["box_iou"]
    other = compared(Answer(truth, "mask"), truth, (3, 2, 12, 3)).columns["box_iou"]
    assert (own, other) == (1.0, 0.5)
    small = np.zeros((10, 10), bool)
    small[2:5, 1:5] = True  # columns 2 to 10 of the photo
    assert compared(Answer(small, "small"), truth).columns["box_iou"] == pytest.approx(6 / 8)
    nothing = compared(Answer(truth, "mask"), np.zeros_like(truth)).columns["box_iou"]
    assert np.isnan(nothing)


def test_arrays_and_tensors_are_counted_alike():
    random = np.random.default_rng(0)
    one, other = random.random((2, 7, 9)) > 0.5
    expected = (int((one & other).sum()), int((one | other).sum()))
    tensors = torch.from_numpy(one), torch.from_numpy(other)
    for pair in ((one, other), tensors, (one, tensors[1]), (one.astype(np.uint8) * 255, other)):
        assert intersection_union(*pair) == expected
