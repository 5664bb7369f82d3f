"""From an answer to the mask of a protocol, and its pixels compared with the truth.

    predict_mask(logits, (480, 640), "strict")      # (2, S, S) → bool (480, 640)
    compared(as_answer(mask, truth.shape), truth)   # every protocol that the answer's form carries

Where torch is installed, it enlarges (on the device of what it is given); without it NumPy does the
same arithmetic, with which a pixel on the border may fall otherwise where two values are all but
equal. Masks of two values come out the same (tests/evaluation/test_masks.py).
"""

import functools
import sys
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .answers import THRESHOLD, Answer, check_protocol


class Compared(NamedTuple):
    """What is known of one answer: the columns of its row, and its mask.

    mask: bool, an array: (H, W) under `strict`, or (S, S) where no more is known.
    """

    columns: dict[str, Any]
    mask: np.ndarray


def compared(answer: Answer, truth: np.ndarray, box: tuple[float, ...] = ()) -> Compared:
    """Intersection and union under every protocol of the answer's form; truth bool (H, W).

    box: the object's, as annotated (x, y, width, height); () takes the truth's own.
    """
    columns: dict[str, Any] = {}
    first = None
    target = _beside(answer.values, truth)
    for protocol in answer.protocols:
        mask = mask_of(answer, truth.shape, protocol)
        first = mask if first is None else first
        pair = compare(mask, target, protocol)
        columns[f"{protocol}_intersection"], columns[f"{protocol}_union"] = pair
        if protocol == "resized":
            columns["resized_area"] = int((shrunk(truth, mask.shape[0])).sum())
    found = _array(answer.values if answer.form == "small" else first)
    columns["box_iou"] = _boxes(found, truth, box)
    if answer.no_target is not None:
        columns["no_target"] = answer.no_target
    return Compared(columns, found)


def _boxes(mask: np.ndarray, truth: np.ndarray, box: tuple[float, ...]) -> float:
    """The IoU of the mask's box and the object's; NaN where the expression has no object."""
    wanted = (box[0], box[1], box[0] + box[2], box[1] + box[3]) if box else mask_box(truth)
    if wanted is None or not truth.any():
        return float("nan")
    found = mask_box(mask)
    if found is not None and mask.shape != truth.shape:
        y, x = (big / small for big, small in zip(truth.shape, mask.shape, strict=True))
        found = (found[0] * x, found[1] * y, found[2] * x, found[3] * y)
    return box_iou(found, wanted)


def score(logits: Any, truth: Any, protocol: str) -> tuple[int, int]:
    """Intersection and union of one expression, in pixels: logits (2, S, S), truth (H, W)."""
    return compare(predict_mask(logits, tuple(truth.shape), protocol), truth, protocol)


def compare(mask: Any, truth: Any, protocol: str) -> tuple[int, int]:
    """Intersection and union of a protocol's mask and the truth (H, W), in pixels."""
    if protocol == "resized":
        truth = shrunk(_array(truth), mask.shape[0])
    return intersection_union(mask, truth)


def intersection_union(mask: Any, truth: Any) -> tuple[int, int]:
    """Pixels in both masks, and pixels in either: two (H, W), foreground where not 0.

    Arrays or torch tensors; an array is taken to a tensor's device.
    """
    if isinstance(mask, np.ndarray) and isinstance(truth, np.ndarray):
        _check_sizes(mask, truth)
        mask, truth = (one if one.dtype == bool else one != 0 for one in (mask, truth))
        both = np.count_nonzero(mask & truth)
        return int(both), int(np.count_nonzero(mask) + np.count_nonzero(truth) - both)
    torch = _torch()
    mask, truth = torch.as_tensor(mask) != 0, torch.as_tensor(truth) != 0
    _check_sizes(mask, truth)
    truth = truth.to(mask.device)
    return int((mask & truth).count_nonzero()), int((mask | truth).count_nonzero())


def _check_sizes(mask: Any, truth: Any) -> None:
    if mask.shape != truth.shape:
        raise ValueError(f"mask {tuple(mask.shape)} and truth {tuple(truth.shape)} differ in size")


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """The box around a mask (H, W): x0, y0, x1, y1, ends not included; None without a pixel."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def box_iou(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> float:
    """The IoU of two boxes (x0, y0, x1, y1); 0 where one is missing, 1 where both are."""
    if one is None or other is None:
        return float(one is other)
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    both = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def shrunk(truth: np.ndarray, size: int) -> np.ndarray:
    """The truth (H, W) as a training sees it, bool (size, size): PIL's nearest neighbour.

    So LAVT's loader has it. torch's nearest-exact takes another pixel where the middle of a small
    one falls between two large ones (640 → 480: in 99 of 480 columns).
    """
    image = Image.fromarray((truth != 0).astype(np.uint8))
    return np.asarray(image.resize((size, size), Image.Resampling.NEAREST)) != 0


def predict_mask(logits: Any, size: tuple[int, int], protocol: str = "strict") -> Any:
    """The mask that a protocol makes of logits (2, S, S): bool (H, W), on the logits' device.

    In the `resized` protocol (S, S), which is where it is scored.
    """
    return mask_of(Answer(logits, "logits"), size, protocol)


def mask_of(answer: Answer, size: tuple[int, int], protocol: str) -> Any:
    """The mask that a protocol makes of an answer about a photo of size (H, W).

    Foreground is where argmax is 1; a tie is background. From a probability, `strict` enlarges its
    log-odds, which is what the difference of two logits is.
    """
    check_protocol(protocol)
    values = answer.values
    if answer.form == "mask" or answer.form == "small" and protocol == "resized":
        return values
    values = _tensor(values)
    if answer.form == "small":
        return _enlarged(values, size) > 0
    if protocol.startswith(THRESHOLD):
        probability = _softmax(values) if answer.form == "logits" else _float(values)
        return _enlarged(probability, size) > float(protocol.removeprefix(THRESHOLD))
    small = values[1] > values[0] if answer.form == "logits" else values > 0.5
    if protocol == "resized":
        return small
    if protocol == "paper":
        return _enlarged(small, size) > 0
    if answer.form == "logits":
        both = _resize(_float(values), size)
        return both[1] > both[0]
    return _enlarged(_log_odds(_float(values)), size) > 0


def _beside(values: Any, truth: np.ndarray) -> Any:
    """The truth on the device of the answer's values, once for all protocols."""
    if isinstance(values, np.ndarray):
        return truth
    return sys.modules["torch"].from_numpy(truth).to(values.device)


@functools.cache
def _torch() -> Any:
    """torch, imported when something is enlarged; None where it is not installed."""
    try:
        import torch
    except ImportError:  # an environment for scoring alone
        return None
    return torch


def _tensor(values: Any) -> Any:
    """A tensor where torch is there; an array elsewhere."""
    if not isinstance(values, np.ndarray) or _torch() is None:
        return values
    return _torch().from_numpy(np.ascontiguousarray(values))


def _array(values: Any) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def _float(values: Any) -> Any:
    return values.astype(np.float32) if isinstance(values, np.ndarray) else values.float()


def _softmax(logits: Any) -> Any:
    """The referent's probability: (2, S, S) → (S, S) float32."""
    if not isinstance(logits, np.ndarray):
        return logits.float().softmax(dim=0)[1]
    high = logits.max(axis=0)
    background, referent = (np.exp(one - high) for one in _float(logits))
    return referent / (background + referent)


def _log_odds(probability: Any) -> Any:
    """log(p / (1 - p)), finite where p is 0 or 1."""
    if not isinstance(probability, np.ndarray):
        return probability.double().logit(eps=1e-12).float()
    p = probability.astype(np.float64).clip(1e-12, 1 - 1e-12)
    return np.log(p / (1 - p)).astype(np.float32)


def _enlarged(values: Any, size: tuple[int, int]) -> Any:
    """(S, S) → (H, W), bilinear; see `_resize`."""
    return _resize(_float(values)[None], size)[0]


def _resize(maps: Any, size: tuple[int, int]) -> Any:
    """(C, S, S) → (C, H, W), bilinear with pixel areas aligned, as the original's."""
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    if isinstance(maps, np.ndarray):
        return _bilinear(_bilinear(maps, size[0], 1), size[1], 2)
    return _torch().nn.functional.interpolate(
        maps[None], tuple(size), mode="bilinear", align_corners=False
    )[0]


def _bilinear(maps: np.ndarray, size: int, axis: int) -> np.ndarray:
    """One axis enlarged (or shrunk) to `size`, with torch's positions and weights in float32."""
    length = maps.shape[axis]
    step = np.float64(np.float32(length / size))  # rounded once, as a fused multiply-add does
    place = np.maximum((step * (np.arange(size) + 0.5) - 0.5).astype(np.float32), 0)
    low = np.minimum(place.astype(np.int64), length - 1)
    high = np.minimum(low + 1, length - 1)
    shape = [1] * maps.ndim
    shape[axis] = size
    weight = (place - low.astype(np.float32)).reshape(shape)
    below, above = np.take(maps, low, axis), np.take(maps, high, axis)
    return below * (1 - weight) + above * weight
