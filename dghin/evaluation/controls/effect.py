"""What a control did to a model's answers: the score before and after, and how many changed.

    found = effect(rows, rows_under_the_control, "strict")
    found.difference          # Estimate(value=0.61, low=0.58, high=0.64): real minus control

All four intervals are of the same draws of images (see dghin.evaluation.uncertainty), so that the
difference is a paired one: the same as `paired_difference` gives.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from dghin.evaluation.metrics import expression_iou
from dghin.evaluation.uncertainty import (
    bounds,
    expression_keys,
    image_numbers,
    image_sums,
    match,
    ratios,
)

MOVED = 0.5  # an answer has changed where its IoU with the one before is smaller
OF_NOTHING = np.array([1.0, 1.0, math.nan])  # two overall IoUs and a share, where nothing counts


class Estimate(NamedTuple):
    """A value with the ends of its interval, as fractions; NaN where they are not known."""

    value: float
    low: float
    high: float


class Effect(NamedTuple):
    """What a control did, on `expressions` of so many images.

    real, control: overall IoU of the expressions as they are, and under the control. difference:
    real minus control. changed: the share of answers that are no longer the one before.
    """

    real: Estimate
    control: Estimate
    difference: Estimate
    changed: Estimate
    expressions: int
    images: int


def effect(
    real: pd.DataFrame,
    altered: pd.DataFrame,
    protocol: str,
    generalized: bool = False,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Effect:
    """The effect of a control. real: a split's rows as they are, of which only the expressions of
    `altered` count; altered: its rows under the control. generalized: see `score_parts`.

    Intervals are NaN with fewer than two images; changed is where the rows do not say it.
    """
    real, altered = match(_same_expressions(real, altered), altered)
    parts = [image_sums(rows, protocol, ["oiou"], generalized) for rows in (real, altered)]
    sums = np.concatenate([*parts, _changed_sums(altered)], axis=1)  # (images, 3, 2)
    values = _values(sums.sum(axis=0))
    unknown = [(math.nan, math.nan)] * len(values)
    ends = bounds(sums, _values, resamples, seed, level) if len(sums) > 1 else unknown
    found = [Estimate(float(value), *pair) for value, pair in zip(values, ends, strict=True)]
    return Effect(found[0], found[1], found[2], found[3], len(altered), len(sums))


def _same_expressions(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The rows of the expressions that the others are of."""
    wanted = set(expression_keys(others))
    return rows[[key in wanted for key in expression_keys(rows)]]


def _changed_sums(rows: pd.DataFrame) -> np.ndarray:
    """By image, how many answers changed and of how many it is known: (images, 1, 2)."""
    image = image_numbers(rows)
    changed = known = np.zeros(len(rows))
    if "agreement_union" in rows:
        known = rows["agreement_union"].notna().to_numpy(float)
        pair = (rows[f"agreement_{name}"].fillna(0) for name in ("intersection", "union"))
        changed = known * (expression_iou(*pair) < MOVED)
    return np.stack([np.bincount(image, part) for part in (changed, known)], axis=-1)[:, None]


def _values(totals: np.ndarray) -> np.ndarray:
    """real, control, difference and changed of totals (..., 3, 2): (..., 4)."""
    found = ratios(totals, OF_NOTHING)
    real, control, changed = (found[..., i] for i in range(3))
    return np.stack([real, control, real - control, changed], axis=-1)
