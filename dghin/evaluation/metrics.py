"""Scores of predicted masks, each under a protocol that has a name. Needs no torch.

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

`dghin.evaluation.masks` makes a protocol's mask of an answer; here are the numbers.

overall IoU (oIoU, also cIoU): the sum of all intersections over the sum of all unions.
mean IoU (mIoU, also gIoU for one referent): the mean of every expression's IoU.
Pr@t: the share of expressions with an IoU of at least t.
box@0.5: the share of expressions whose mask's box has an IoU of at least 0.5 with the object's.
gIoU, cIoU, N-acc, T-acc: where an expression may mean several objects or none; see
`generalized_scores`.

    metrics = SegmentationMetrics("strict")
    metrics.update(logits, truth, length=3)      # for every expression
    metrics.compute()["oiou"]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError

from .answers import PROTOCOLS, check_protocol
from .masks import intersection_union, score

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
NO_TARGET_PIXELS = 50  # a smaller mask answers "nothing is meant" (the rule of the GRES paper)
BOX = 0.5  # from this IoU of boxes on, the mask's box counts as right
LENGTHS = {"1-2": (1, 2), "3": (3, 3), "4-5": (4, 5), "6-20": (6, 20)}  # spaCy tokens, inclusive
SINGLE = ("oiou", "miou", *(f"pr{round(100 * t)}" for t in THRESHOLDS))
GENERALIZED = ("giou", "ciou", "n_acc", "t_acc")
BOXES = "box50"


class SegmentationMetrics:
    """Counts of one split under one protocol.

    Expressions of more than 20 tokens, or of unknown length, fall out of `by_length` only (the
    original leaves the long ones out of its breakdown, too).
    """

    def __init__(self, protocol: str = "paper"):
        self.protocol = check_protocol(protocol)
        self.counts: list[tuple[int, int, int, int]] = []  # intersection, union, length, area

    def update(self, logits: Any, truth: Any, length: int | None = None) -> tuple[int, int]:
        """Score one expression: logits (2, S, S), truth (H, W), foreground where not 0.

        Both are torch tensors or arrays. length: the expression's number of spaCy tokens (0 or
        None: unknown). Returns (intersection, union) in pixels.
        """
        intersection, union = score(logits, truth, self.protocol)
        area = int((truth != 0).sum())
        self.counts.append((intersection, union, length or 0, area))
        return intersection, union

    def compute(self) -> dict[str, Any]:
        """The scores so far; see `metrics_from_counts`."""
        return metrics_from_counts(*np.array(self.counts, np.int64).reshape(-1, 4).T)


def expression_iou(
    intersection: np.ndarray, union: np.ndarray, area: np.ndarray | None = None
) -> np.ndarray:
    """The IoU of every expression, (N,). Nothing predicted where nothing is, is perfect: 1.

    area: (N,) pixels of the truth in the photo. An object that vanished when its mask was shrunk
    (protocol `resized`) leaves an empty union, too, but nobody can have marked it: 0.
    """
    intersection, union = np.asarray(intersection, np.float64), np.asarray(union, np.float64)
    nothing = np.ones_like(union) if area is None else (np.asarray(area) == 0).astype(np.float64)
    return np.divide(intersection, union, out=nothing, where=union > 0)


def overall_iou(intersection: np.ndarray, union: np.ndarray) -> float | None:
    """Σ intersection / Σ union; None without any expression."""
    if len(union) == 0:
        return None
    total = int(np.sum(union, dtype=np.int64))
    return int(np.sum(intersection, dtype=np.int64)) / total if total else 1.0


def metrics_from_counts(
    intersection: np.ndarray,
    union: np.ndarray,
    length: np.ndarray,
    area: np.ndarray | None = None,
) -> dict[str, Any]:
    """Scores of N expressions, as fractions: oiou, miou, pr50..pr90, by_length, count.

    by_length: the overall IoU of each of LENGTHS, None where no expression has such a length.
    area: see `expression_iou`. Without any expression every score is None.
    """
    intersection, union, length = map(np.asarray, (intersection, union, length))
    iou = expression_iou(intersection, union, area)
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


Parts = Mapping[str, tuple[np.ndarray, np.ndarray]]  # score → numerator, denominator: (N,) each


def score_parts(rows: Any, protocol: str, generalized: bool | None = None) -> Parts:
    """Every score as a numerator and a denominator an expression: it is Σ of one / Σ of the other.

    So sums over images are all that an interval or a paired test needs. Where expressions mean
    several objects or none, oIoU is cIoU, mIoU is gIoU, and Pr@t is of those with a target.
    generalized: whether they may (default: as these rows tell; a part of a split may not show it).
    """
    columns = {name: np.asarray(rows[name]) for name in (*_names(protocol), "area") if name in rows}
    intersection, union = (columns[name].astype(np.float64) for name in _names(protocol))
    one = np.ones(len(union))
    if not (is_generalized(rows) if generalized is None else generalized):
        iou = expression_iou(intersection, union, columns.get("area"))
        parts = {"oiou": (intersection, union), "miou": (iou, one)}
        parts |= {f"pr{round(100 * t)}": (iou >= t, one) for t in THRESHOLDS}
    else:
        parts = generalized_parts(
            intersection, union, answered_empty(rows, protocol), np.asarray(rows["targets"])
        )
    if protocol == first_protocol(rows) and "box_iou" in rows:
        boxes = np.asarray(rows["box_iou"], np.float64)
        parts[BOXES] = (boxes >= BOX, ~np.isnan(boxes))
    return {name: (np.asarray(a, np.float64), np.asarray(b, np.float64)) for name, (a, b) in
            parts.items()}  # fmt: skip


def _names(protocol: str) -> tuple[str, str]:
    return f"{protocol}_intersection", f"{protocol}_union"


def answered_empty(rows: Any, protocol: str) -> np.ndarray:
    """Whether each answer is "nothing is meant": bool (N,).

    By the model's own output where it has one (column `no_target`), else where its mask has fewer
    than NO_TARGET_PIXELS: DGHIN has no head of its own for it, and the GRES paper scores such
    methods so. The pixels are those of the protocol: ReLA counts them at the network's size.
    """
    intersection, union = (np.asarray(rows[name], np.int64) for name in _names(protocol))
    area = (
        rows["resized_area"] if protocol == "resized" and "resized_area" in rows else rows["area"]
    )
    few = union + intersection - np.asarray(area, np.int64) < NO_TARGET_PIXELS
    if "no_target" not in rows:
        return few
    said = rows["no_target"]
    return np.where(said.isna(), few, said.fillna(False).astype(bool)).astype(bool)


def generalized_parts(
    intersection: np.ndarray, union: np.ndarray, empty: np.ndarray, targets: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """`score_parts` of expressions that mean several objects or none; see `generalized_scores`.

    empty: bool (N,), the answers that are "nothing is meant".
    """
    without, one = targets == 0, np.ones(len(union))
    intersection = np.where(empty | without, 0, intersection)
    union = np.where(empty & without, 0, union)
    iou = np.divide(intersection, union, out=np.zeros(len(union)), where=union > 0)
    iou[empty & without] = 1.0
    parts = {"oiou": (intersection, union), "miou": (iou, one)}
    parts |= {f"pr{round(100 * t)}": ((iou >= t) & ~without, ~without) for t in THRESHOLDS}
    parts |= {"giou": parts["miou"], "ciou": parts["oiou"]}
    parts["n_acc"] = (empty & without, without)
    parts["t_acc"] = (~empty & ~without, ~without)
    return parts


def generalized_scores(
    intersection: np.ndarray, union: np.ndarray, area: np.ndarray, targets: np.ndarray
) -> dict[str, Any]:
    """Scores of N expressions that mean several objects or none, as fractions, as in ReLA (Liu et
    al., GRES: Generalized Referring Expression Segmentation, CVPR 2023).

    giou: the mean IoU, where a right "nothing" counts 1, and a wrong one, or a missed one, 0.
    ciou: Σ intersection / Σ union; a right "nothing" adds to neither, a wrong one no intersection.
    n_acc: the share of expressions without target that are answered so. t_acc: the share of
    expressions with target that are answered with a mask. pr50..pr90: of expressions with a target;
    an answer of "nothing" is an IoU of 0. empty: how many have no target.
    area: (N,) pixels of the truth, where the masks were compared. targets: (N,) objects meant.
    """
    intersection, union, area, targets = map(np.asarray, (intersection, union, area, targets))
    empty = union + intersection - area < NO_TARGET_PIXELS
    parts = generalized_parts(intersection, union, empty, targets)
    return _ratios(parts) | {"empty": int((targets == 0).sum())}


def _ratios(parts: Parts) -> dict[str, float | None]:
    """Every score of its parts; None where nothing is counted."""
    scores: dict[str, float | None] = {}
    for name, (above, below) in parts.items():
        total = below.sum()
        overall = 1.0 if name in ("oiou", "ciou") and len(below) else None
        scores[name] = float(above.sum() / total) if total else overall
    return scores


def metrics_from_rows(rows: Any, protocol: str, generalized: bool | None = None) -> dict[str, Any]:
    """The same scores from evaluation rows (a DataFrame, one row an expression).

    Where expressions mean several objects or none (gRefCOCO), `generalized_scores` are added, and
    oiou, miou and pr.. are those: one answer has one IoU. box50 stands under the first protocol.
    generalized: see `score_parts`.
    """
    check_protocol(protocol)
    intersection, union = (rows[name] for name in _names(protocol))
    scores = metrics_from_counts(intersection, union, rows["length"], rows.get("area"))
    mixed = is_generalized(rows) if generalized is None else generalized
    parts = score_parts(rows, protocol, mixed)
    if mixed:
        scores |= _ratios(parts) | {"empty": int((rows["targets"] == 0).sum())}
    elif BOXES in parts:
        scores |= _ratios({BOXES: parts[BOXES]})
    return scores


def validation_score(scores: Mapping[str, Any]) -> float:
    """The one number by which a training picks its weights: overall IoU.

    Where expressions have no target (gRefCOCO), its papers report gIoU and cIoU: then their
    harmonic mean. A network that marks nothing has the share of such expressions as its gIoU, but
    a cIoU of 0, and so 0 here, whatever that share is.
    """
    if not scores.get("empty"):
        return scores["oiou"]
    total = scores["giou"] + scores["ciou"]
    return 2 * scores["giou"] * scores["ciou"] / total if total else 0.0


def is_generalized(rows: Any) -> bool:
    """Whether some of the rows' expressions mean several objects or none."""
    return "targets" in rows and bool((rows["targets"] != 1).any())


def first_protocol(rows: Any) -> str:
    """The protocol of breakdowns, failures and comparisons: `strict`, or the first there is.

    What is saved decides: masks at the network's size know no `strict`.
    """
    found = protocols_of(rows)
    if not found:
        raise UserError(
            f"rows without a score under any protocol; there are: {', '.join(rows.columns)}. "
            "Score the run again: dghin evaluate run=RUN."
        )
    return found[0]


def protocols_of(rows: Any) -> list[str]:
    """The protocols that rows were scored under (rows of older versions have fewer)."""
    return [protocol for protocol in PROTOCOLS if f"{protocol}_union" in rows]


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
        counts = map(np.asarray, intersection_union(self.prediction, self.truth))
        return float(expression_iou(*counts))
