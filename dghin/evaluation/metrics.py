"""Scores of predicted masks, each under a protocol that has a name.

`strict`          logits upsampled bilinearly to the photo's size, then argmax.
`paper`           as the original measures: argmax at S×S, the 0/1 mask resized bilinearly to the
                  photo's size, and every value > 0 is foreground. This rounds masks up along
                  their whole border: a perfect disc of radius 12 pixels scores 0.86.
`resized`         as LAVT measures: argmax at S×S against the true mask resized there (nearest).
                  Photos are distorted to a square, and large ones weigh no more than small ones.
`threshold=0.35`  after CRIS: the referent's probability upsampled bilinearly to the photo's size,
                  foreground where it is above 0.35. (CRIS itself enlarges bicubically, out of a
                  letterbox, and counts an IoU above t, not from t on.) Any other number in (0, 1)
                  may be asked for.

overall IoU (oIoU, also cIoU): the sum of all intersections over the sum of all unions.
mean IoU (mIoU, also gIoU for one referent): the mean of every expression's IoU.
Pr@t: the share of expressions with an IoU of at least t.
gIoU, cIoU, N-acc, T-acc: where an expression may mean several objects or none; see
`generalized_scores`.

    metrics = SegmentationMetrics("strict")
    metrics.update(logits, truth, length=3)      # for every expression
    metrics.compute()["oiou"]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data_preprocess.base.errors import unknown_name

PROTOCOLS = ("strict", "paper", "resized", "threshold=0.35")  # of every row, and in this order
_THRESHOLD = "threshold="
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
NO_TARGET_PIXELS = 50  # a smaller mask answers "nothing is meant" (the rule of the GRES paper)
LENGTHS = {"1-2": (1, 2), "3": (3, 3), "4-5": (4, 5), "6-20": (6, 20)}  # spaCy tokens, inclusive


class SegmentationMetrics:
    """Counts of one split under one protocol.

    Expressions of more than 20 tokens, or of unknown length, fall out of `by_length` only (the
    original leaves the long ones out of its breakdown, too).
    """

    def __init__(self, protocol: str = "paper"):
        self.protocol = check_protocol(protocol)
        self.counts: list[tuple[int, int, int]] = []  # intersection, union, length (0: unknown)

    def update(
        self, logits: Tensor, truth: Tensor | np.ndarray, length: int | None = None
    ) -> tuple[int, int]:
        """Score one expression: logits (2, S, S), truth (H, W), foreground where not 0.

        length: the expression's number of spaCy tokens. Returns (intersection, union) in pixels.
        """
        intersection, union = score(logits, truth, self.protocol)
        self.counts.append((intersection, union, length or 0))
        return intersection, union

    def compute(self) -> dict[str, Any]:
        """The scores so far; see `metrics_from_counts`."""
        return metrics_from_counts(*np.array(self.counts, np.int64).reshape(-1, 3).T)


def predict_mask(logits: Tensor, size: tuple[int, int], protocol: str = "strict") -> Tensor:
    """The mask that a protocol makes of logits (2, S, S): bool (H, W), on the logits' device.

    In the `resized` protocol (S, S), which is where it is scored.
    """
    check_protocol(protocol)
    logits = logits.float()
    if protocol == "resized":
        return _foreground(logits)
    if protocol == "paper":
        small = _foreground(logits).float()  # (S, S) in {0, 1}
        return _resize(small[None], size)[0] > 0
    if protocol.startswith(_THRESHOLD):
        probability = logits.softmax(dim=0)[1:]  # (1, S, S)
        return _resize(probability, size)[0] > float(protocol.removeprefix(_THRESHOLD))
    return _foreground(_resize(logits, size))


def _foreground(logits: Tensor) -> Tensor:
    """Where argmax is 1: (2, H, W) → bool (H, W). Faster; a tie is background in both."""
    return logits[1] > logits[0]


def score(logits: Tensor, truth: Tensor | np.ndarray, protocol: str) -> tuple[int, int]:
    """Intersection and union of one expression, in pixels: logits (2, S, S), truth (H, W)."""
    return compare(predict_mask(logits, tuple(truth.shape), protocol), truth, protocol)


def compare(mask: Tensor, truth: Tensor | np.ndarray, protocol: str) -> tuple[int, int]:
    """Intersection and union of a mask from `predict_mask` and the truth (H, W), in pixels."""
    if protocol == "resized":
        whole = torch.as_tensor(truth)[None, None] != 0
        # nearest-exact takes the pixel in the middle, as PIL's nearest, which LAVT uses
        truth = F.interpolate(whole.float(), tuple(mask.shape), mode="nearest-exact")[0, 0]
    return intersection_union(mask, truth)


def intersection_union(mask: Tensor | np.ndarray, truth: Tensor | np.ndarray) -> tuple[int, int]:
    """Pixels in both masks, and pixels in either: two (H, W), foreground where not 0."""
    mask, truth = _as_bool(mask), _as_bool(truth)
    if mask.shape != truth.shape:
        raise ValueError(f"mask {tuple(mask.shape)} and truth {tuple(truth.shape)} differ in size")
    truth = truth.to(mask.device)
    return int((mask & truth).count_nonzero()), int((mask | truth).count_nonzero())


def _as_bool(mask: Tensor | np.ndarray) -> Tensor:
    mask = torch.as_tensor(mask)
    return mask if mask.dtype == torch.bool else mask != 0


def expression_iou(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    """The IoU of every expression, (N,). Nothing predicted where nothing is, is perfect: 1."""
    intersection, union = np.asarray(intersection, np.float64), np.asarray(union, np.float64)
    return np.divide(intersection, union, out=np.ones_like(union), where=union > 0)


def overall_iou(intersection: np.ndarray, union: np.ndarray) -> float | None:
    """Σ intersection / Σ union; None without any expression."""
    if len(union) == 0:
        return None
    total = int(np.sum(union, dtype=np.int64))
    return int(np.sum(intersection, dtype=np.int64)) / total if total else 1.0


def metrics_from_counts(
    intersection: np.ndarray, union: np.ndarray, length: np.ndarray
) -> dict[str, Any]:
    """Scores of N expressions, as fractions: oiou, miou, pr50..pr90, by_length, count.

    by_length: the overall IoU of each of LENGTHS, None where no expression has such a length.
    Without any expression every score is None.
    """
    intersection, union, length = map(np.asarray, (intersection, union, length))
    iou = expression_iou(intersection, union)
    by_length = {}
    for name, (low, high) in LENGTHS.items():
        chosen = (length >= low) & (length <= high)
        by_length[name] = overall_iou(intersection[chosen], union[chosen])
    return {
        "oiou": overall_iou(intersection, union),
        "miou": _mean(iou),
        **{f"pr{round(100 * t)}": _mean(iou >= t) for t in THRESHOLDS},
        "by_length": by_length,
        "count": len(iou),
    }


def generalized_scores(
    intersection: np.ndarray,
    union: np.ndarray,
    area: np.ndarray,
    targets: np.ndarray,
) -> dict[str, Any]:
    """Scores of N expressions that mean several objects or none: giou, ciou, n_acc, t_acc, empty.

    As in ReLA (Liu et al., GRES: Generalized Referring Expression Segmentation, CVPR 2023), as
    fractions. The answer is "nothing is meant" where the mask has fewer than NO_TARGET_PIXELS:
    DGHIN has no head of its own for it, and the GRES paper scores such methods so.

    giou: the mean IoU, where a right "nothing" counts 1, and a wrong one, or a missed one, 0.
    ciou: Σ intersection / Σ union; a right "nothing" adds to neither, a wrong one no intersection.
    n_acc: the share of expressions without target that are answered so. t_acc: the share of
    expressions with target that are answered with a mask. empty: how many have no target.
    area: (N,) pixels of the truth. targets: (N,) objects meant.
    """
    intersection, union, area, targets = map(np.asarray, (intersection, union, area, targets))
    answered_empty = union + intersection - area < NO_TARGET_PIXELS  # pixels of the mask
    without = targets == 0
    intersection = np.where(answered_empty | without, 0, intersection)
    union = np.where(answered_empty & without, 0, union)
    iou = np.divide(intersection, union, out=np.zeros(len(union)), where=union > 0)
    iou[answered_empty & without] = 1.0
    return {
        "giou": _mean(iou),
        "ciou": overall_iou(intersection, union),
        "n_acc": _mean(answered_empty[without]),
        "t_acc": _mean(~answered_empty[~without]),
        "empty": int(without.sum()),
    }


def metrics_from_rows(rows: Any, protocol: str) -> dict[str, Any]:
    """The same scores from evaluation rows (a DataFrame, one row an expression).

    Where expressions mean several objects or none (gRefCOCO), `generalized_scores` are added (not
    in the `resized` protocol: `area` is of the photo).
    """
    check_protocol(protocol)
    intersection, union = (rows[f"{protocol}_{name}"] for name in ("intersection", "union"))
    scores = metrics_from_counts(intersection, union, rows["length"])
    if is_generalized(rows) and protocol != "resized":
        scores |= generalized_scores(intersection, union, rows["area"], rows["targets"])
    return scores


def is_generalized(rows: Any) -> bool:
    """Whether some of the rows' expressions mean several objects or none."""
    return "targets" in rows and bool((rows["targets"] != 1).any())


def check_protocol(protocol: str) -> str:
    """The protocol's name, if it is one."""
    if protocol not in PROTOCOLS and not _is_threshold(protocol):
        raise unknown_name("protocol", protocol, PROTOCOLS)
    return protocol


def _is_threshold(protocol: str) -> bool:
    """Whether it reads threshold=NUMBER, with the number in (0, 1)."""
    name, _, number = protocol.partition("=")
    try:
        return name == "threshold" and 0 < float(number) < 1
    except ValueError:
        return False


def protocols_of(rows: Any) -> list[str]:
    """The protocols that rows were scored under (rows of older versions have fewer)."""
    return [protocol for protocol in PROTOCOLS if f"{protocol}_union" in rows]


def _resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(C, S, S) → (C, H, W), bilinear with pixel areas aligned, as the original's."""
    return F.interpolate(maps[None], tuple(size), mode="bilinear", align_corners=False)[0]


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


@dataclass(frozen=True)
class MaskSample:
    """One scored expression: photo (H, W, 3) uint8; truth and prediction (H, W) bool."""

    photo: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    expression: str

    @property
    def iou(self) -> float:
        return float(expression_iou(*intersection_union(self.prediction, self.truth)))
