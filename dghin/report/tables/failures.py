"""How masks fail, computed from the evaluation's rows alone.

failure_kinds(rows)                     # (N,) names
failures_table(results)                 # how often, a row for every split and kind
examples_of(rows, count=4, seed=0)      # {kind: row numbers}, drawn by a seed

Rows hold numbers of pixels and no places: where a mask's wrong pixels lie, they cannot say.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dghin.evaluation.metrics import expression_iou, first_protocol
from dghin.evaluation.uncertainty import bounds

from .scores import EXPRESSIONS, HIGH, LOW, Results

RIGHT = 0.5  # from this IoU on a mask counts as right, as in Pr@0.5
HALF = 0.5
SHARE = "Share"  # percent
KINDS: Mapping[str, str] = {
    "right": "an IoU of 50 % or more, or nothing marked where nothing is meant",
    "partial": "at least half of the mask lies on the object, but it misses at least as much of "
    "the object as it adds elsewhere",
    "leak": "at least half of the object is marked, but more is added than missed, over its border "
    "or on other things",
    "wrong object": "less than half of the mask lies on the object, and less than half of the "
    "object is marked",
    "empty": "nothing is marked, though something is meant",
    "unasked": "something is marked, though nothing is meant",
}
FAILURES = tuple(KINDS)[1:]


def failure_kinds(rows: pd.DataFrame) -> np.ndarray:
    """The kind of every expression's mask, one of KINDS: (N,) of str.

    By precision (the share of the mask that lies on the object) and recall (the share of the
    object that is marked), under the first protocol that the rows have (`strict`).
    """
    intersection, union, truth = _pixels(rows)
    mask = union + intersection - truth
    precision = intersection / np.maximum(mask, 1)
    recall = intersection / np.maximum(truth, 1)
    iou = expression_iou(intersection, union, rows["area"])
    conditions = [
        ("right", iou >= RIGHT),
        ("unasked", truth == 0),
        ("empty", mask == 0),
        ("wrong object", (precision < HALF) & (recall < HALF)),
        ("partial", precision >= recall),
    ]
    names, masks = zip(*conditions, strict=True)
    return np.select(masks, names, default="leak")


def marked(rows: pd.DataFrame) -> np.ndarray:
    """Whether each expression's mask has a pixel, under the first protocol: (N,) of bool."""
    intersection, union, truth = _pixels(rows)
    return union + intersection > truth


def _pixels(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of intersection, union and true mask under the first protocol, each (N,) of int."""
    protocol = first_protocol(rows)
    area = "resized_area" if protocol == "resized" and "resized_area" in rows else "area"
    names = (f"{protocol}_intersection", f"{protocol}_union", area)
    intersection, union, truth = (rows[name].to_numpy(np.int64) for name in names)
    return intersection, union, truth


def failures_table(results: Results) -> pd.DataFrame:
    """How many masks of a split are of each kind, and their share in percent.

    With 95 % intervals. Kinds that no split has are left out, of `right` and of failures alike.
    """
    counts = {split: kinds_by_image(rows) for split, rows in results[""].items()}
    occurring = sum(found.sum(axis=0) for found in counts.values()) > 0
    lines = []
    for split, found in counts.items():
        totals, ends = found.sum(axis=0), share_intervals(found)
        for place, kind in enumerate(KINDS):
            if occurring[place]:
                numbers = [int(totals[place]), 100 * totals[place] / totals.sum(), *ends[place]]
                lines.append([split, first_protocol(results[""][split]), kind, *numbers])
    columns = ["Split", "Protocol", "Mask", EXPRESSIONS, SHARE, SHARE + LOW, SHARE + HIGH]
    return pd.DataFrame(lines, columns=columns)


def kinds_by_image(rows: pd.DataFrame) -> np.ndarray:
    """How many masks of every image are of each of KINDS: (images, kinds)."""
    kinds = pd.Categorical(failure_kinds(rows), list(KINDS))
    return pd.crosstab(rows["image"].to_numpy(), kinds, dropna=False).to_numpy()


def share_intervals(counts: np.ndarray) -> np.ndarray:
    """95 % intervals of every kind's share in percent, (kinds, 2), by bootstrap over images.

    counts: of `kinds_by_image`. NaN with fewer than two images, which say nothing of others, and
    for kinds that no mask or every mask is of: drawing these again shows no other share.
    """
    if len(counts) < 2:
        return np.full((counts.shape[1], 2), np.nan)
    ends = np.array(bounds(counts, _shares, resamples=2000, seed=0, level=0.95))
    ends[np.isin(counts.sum(axis=0), (0, counts.sum()))] = np.nan
    return ends


def _shares(totals: np.ndarray) -> np.ndarray:
    """Counts of kinds (..., kinds) as percent of their sum."""
    return 100 * totals / totals.sum(axis=-1, keepdims=True)


def examples_of(rows: pd.DataFrame, count: int, seed: int = 0) -> dict[str, list[int]]:
    """Up to `count` expressions of every failure that occurs, as row numbers: drawn by `seed`, each
    of another image."""
    kinds, images = failure_kinds(rows), rows["image"].to_numpy()
    order = np.random.default_rng(seed).permutation(len(rows))
    chosen = {}
    for kind in FAILURES:
        of_kind = order[kinds[order] == kind]
        _, first = np.unique(images[of_kind], return_index=True)
        if len(first):
            chosen[kind] = of_kind[np.sort(first)[:count]].tolist()
    return chosen
