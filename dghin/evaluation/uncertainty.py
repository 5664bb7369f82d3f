"""How far a score can be trusted: intervals, differences between two runs, spread over seeds.

Expressions of one image are not independent of each other: they share its photo, and often their
referent. So images are the unit that is drawn with replacement or swapped, and all expressions of
an image come along. Drawing single expressions would give intervals that are too narrow.

    intervals = bootstrap(rows, "strict")            # rows of an evaluation, one an expression
    intervals["oiou"]                                # Interval(low=0.61, high=0.64), as fractions
    paired_difference(rows_b, rows_a, "strict")      # Difference(value=0.01, ..., p_value=0.03)
    seeds_summary([0.61, 0.63, 0.62])                # Summary(mean=0.62, sd=0.01, count=3)

What this does not cover: one set of weights is scored, so the chance in training (its seed) is in
no interval and in no p-value. For that, train with several seeds.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.raw.datasets import is_drawn

from .metrics import GENERALIZED, SINGLE, is_generalized, score_parts

Key = tuple[str, str, str, int]  # an expression: dataset, split, segment_id, sentence_index
SAME = ("sentence", "image", "height", "width", "area")  # what two runs see alike
BATCH = 2**20  # images drawn that are held at once: 8 MiB an array
TIE = 1e-12  # differences of scores that are nearer than this are equal: rounding of sums


class Interval(NamedTuple):
    """Bounds of a score, as fractions; both NaN where nothing can be said."""

    low: float
    high: float


class Difference(NamedTuple):
    """One run's score minus another's, as fractions; see `paired_difference`."""

    value: float
    low: float
    high: float
    p_value: float
    images: int
    expressions: int


class Summary(NamedTuple):
    """Mean and sample standard deviation over `count` values."""

    mean: float
    sd: float
    count: int  # type: ignore[assignment]  # hides tuple.count


UNKNOWN = Interval(math.nan, math.nan)


def bootstrap(
    rows: pd.DataFrame,
    protocol: str,
    scores: Sequence[str] = (),
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    generalized: bool | None = None,
) -> dict[str, Interval]:
    """Percentile intervals of scores, from images drawn with replacement: {score: Interval}.

    (Efron's percentile method with clusters, also called cluster or block bootstrap.) rows: an
    evaluation's, of one split. level: the share of resamples between the bounds. The same rows in
    any order and the same seed give the same intervals. NaN where there are fewer than two
    images: one image says nothing of others; and where a draw may hold nothing that counts.
    scores: default SINGLE, and GENERALIZED where several objects or none may be meant; the latter
    is what `generalized` says (default: as these rows tell).
    """
    mixed = is_generalized(rows) if generalized is None else generalized
    scores = scores or (SINGLE + GENERALIZED if mixed else SINGLE)
    sums = image_sums(rows, protocol, scores, mixed)
    if len(sums) < 2:
        return dict.fromkeys(scores, UNKNOWN)
    of_nothing = _of_nothing(scores)
    ends = bounds(sums, lambda totals: ratios(totals, of_nothing), resamples, seed, level)
    return {name: Interval(*ends[i]) for i, name in enumerate(scores)}


def paired_difference(
    rows_a: pd.DataFrame,
    rows_b: pd.DataFrame,
    protocol: str,
    score: str = "oiou",
    resamples: int = 2000,
    permutations: int = 9999,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Score of `rows_a` minus score of `rows_b` on the same expressions, in whatever order.

    low, high: percentile interval over images, with the same draws for both (NaN with fewer than
    two images). p_value: a two-sided paired permutation test. If the two were equally good, their
    results on an image could change places, with all its expressions. Every permutation swaps
    each image with probability one half, and p = (those with a difference at least as large + 1)
    / (permutations + 1), so it is never 0. Deterministic by seed.

    Raises UserError where the two do not hold the same expressions of the same images and masks.
    """
    rows_a, rows_b = match(rows_a, rows_b)
    sums = np.stack([image_sums(rows, protocol, [score]) for rows in (rows_a, rows_b)], axis=1)
    images, expressions = len(sums), len(rows_a)
    if not images:
        return Difference(math.nan, *UNKNOWN, math.nan, 0, 0)
    value = _difference(sums.sum(axis=0))
    interval = UNKNOWN
    if images > 1:
        interval = Interval(*bounds(sums, _difference, resamples, seed, level))
    swapped = np.concatenate([_difference(t) for t in _swapped(sums, permutations, seed)])
    as_large = int((np.abs(swapped) >= abs(value) - TIE).sum())
    p_value = (as_large + 1) / (permutations + 1)
    return Difference(float(value), *interval, p_value, images, expressions)


def seeds_summary(values: Iterable[float]) -> Summary:
    """Mean and sample standard deviation (n − 1) of one score over runs with other seeds.

    The deviation is NaN with fewer than two values, the mean NaN without any.
    """
    array = np.asarray(list(values), np.float64)
    mean = float(array.mean()) if len(array) else math.nan
    sd = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    return Summary(mean, sd, len(array))


def image_sums(
    rows: pd.DataFrame, protocol: str, scores: Sequence[str], generalized: bool | None = None
) -> np.ndarray:
    """Numerator and denominator of every score, added up by image: (images, scores, 2).

    Every score is Σ numerator / Σ denominator (dghin.evaluation.metrics.score_parts). An image is
    its file name within its data set; images are in the order of their names. generalized: whether
    the rows are part of a set with several or no objects meant (default: as these rows tell).
    """
    columns = [f"{protocol}_intersection", f"{protocol}_union"]
    if missing := [name for name in (*columns, "image") if name not in rows]:
        raise UserError(
            f"rows without column '{missing[0]}'; there are: {', '.join(rows.columns)}. "
            "Score the run again: dghin evaluate run=RUN."
        )
    parts = score_parts(rows, protocol, generalized)
    if unknown := [name for name in scores if name not in parts]:
        raise unknown_name("score", unknown[0], parts)
    image = image_numbers(rows)
    count = int(image.max()) + 1 if len(image) else 0
    sums = [[np.bincount(image, part, count) for part in parts[name]] for name in scores]
    return np.array(sums).reshape(len(scores), 2, count).transpose(2, 0, 1)


def image_numbers(rows: pd.DataFrame) -> np.ndarray:
    """For every row the number of its image (N,), in the order of data set and file name."""
    names = [name for name in ("dataset", "image") if name in rows]
    return rows.groupby(names, sort=True).ngroup().to_numpy()


def ratios(totals: np.ndarray, empty: np.ndarray | float = 1.0) -> np.ndarray:
    """Scores of totals (..., 2): numerator over denominator; `empty` where that is 0.

    1: an overall IoU where nothing is and nothing was predicted is perfect, as in
    `dghin.evaluation.metrics.overall_iou`.
    """
    above, below = totals[..., 0], totals[..., 1]
    return np.divide(above, below, out=np.broadcast_to(empty, below.shape).copy(), where=below > 0)


def _of_nothing(scores: Sequence[str]) -> np.ndarray:
    """What each score is where nothing counts: 1 for an overall IoU, unknown for a share."""
    return np.array([1.0 if name in ("oiou", "ciou") else math.nan for name in scores])


def match(rows_a: pd.DataFrame, rows_b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both runs' rows in one order, that of data set, split, object and sentence.

    Raises UserError, which says what differs, unless both hold the same expressions once each,
    of the same images and true masks.
    """
    keys_a, keys_b = expression_keys(rows_a), expression_keys(rows_b)
    for name, keys in (("first", keys_a), ("second", keys_b)):
        if len(set(keys)) < len(keys):
            key = next(key for key, times in Counter(keys).items() if times > 1)
            raise UserError(
                f"{name} rows: expression {_shown(key)} is there twice. Score it again."
            )
    both = set(keys_a) & set(keys_b)
    if len(both) < max(len(keys_a), len(keys_b)):
        parts = [f"{len(both):,} are in both"]
        for name, keys in (("first", keys_a), ("second", keys_b)):
            if only := sorted(set(keys) - both):
                parts.append(f"{len(only):,} only in the {name}, such as {_shown(only[0])}")
        raise UserError(
            f"the two do not hold the same expressions: {'; '.join(parts)}. "
            f"Score both on the same data and split.{_renamed(keys_a, keys_b)}"
        )
    a, b = (
        rows.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)
        for rows, keys in ((rows_a, keys_a), (rows_b, keys_b))
    )
    _check_same(a, b, sorted(keys_a))
    return a, b


def _renamed(one: list[Key], other: list[Key]) -> str:
    """What is to be known where rows of drawn scenes are compared with older ones."""
    names = {key[0] for key in (*one, *other)}
    told = len(names) > 1 and any(is_drawn(name) for name in names)
    return " Rows of before the drawn scenes were called shapes must be scored anew." * told


def expression_keys(rows: pd.DataFrame) -> list[Key]:
    """What identifies every row's expression: dataset, split, segment_id, sentence_index."""
    texts = [rows[name].astype(str) for name in ("dataset", "split", "segment_id")]
    return list(zip(*texts, rows["sentence_index"].astype(int), strict=True))


def _check_same(a: pd.DataFrame, b: pd.DataFrame, keys: list[Key]) -> None:
    """The same expressions may still have been prepared with other masks or sentences."""
    for name in SAME:
        if name in a and name in b:
            other = (a[name] != b[name]).to_numpy()
            if other.any():
                place = int(other.argmax())
                raise UserError(
                    f"'{name}' differs in {other.sum():,} of {len(a):,} expressions, such as "
                    f"{_shown(keys[place])}: {a[name].iloc[place]!s}, {b[name].iloc[place]!s}. "
                    "Score both on the same prepared data."
                )


def _shown(key: Key) -> str:
    dataset, split, segment_id, sentence_index = key
    return f"{dataset} {split} {segment_id}/{sentence_index}"


def bounds(sums: np.ndarray, statistic: Callable, resamples: int, seed: int, level: float) -> list:
    """[low, high] of every value of a statistic of totals; sums (N, ...) are by image.

    scipy draws the images. Sums times how often each image was drawn are the drawn images' total,
    without a copy of their sums.
    """
    from scipy import stats  # imported here, since it takes a second and training needs none of it

    def of_images(drawn: np.ndarray, axis: int) -> np.ndarray:
        times = np.apply_along_axis(np.bincount, axis, drawn, minlength=len(sums))
        return statistic(np.tensordot(times.astype(np.float64), sums, 1)).T

    with warnings.catch_warnings():  # of a score that a draw may leave undefined: it is said as NaN
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(len(sums)),),
            of_images,
            n_resamples=resamples,
            batch=max(1, BATCH // len(sums)),
            confidence_level=level,
            method="percentile",
            vectorized=True,
            rng=seed,
        )
    return np.stack(found.confidence_interval, axis=-1).tolist()


def _swapped(sums: np.ndarray, permutations: int, seed: int) -> Iterator[np.ndarray]:
    """Totals (some permutations, 2, ...) of sums (N, 2, ...): two runs swapped image by image."""
    random, images = np.random.default_rng(seed), len(sums)
    total, moved = sums.sum(axis=0), sums[:, 1] - sums[:, 0]
    batch = max(1, BATCH // images)
    for start in range(0, permutations, batch):
        swap = random.random((min(batch, permutations - start), images)) < 0.5
        gained = np.tensordot(swap.astype(np.float64), moved, 1)
        yield np.stack([total[0] + gained, total[1] - gained], axis=1)


def _difference(totals: np.ndarray) -> np.ndarray:
    """First minus second run's score: totals (..., runs 2, scores 1, 2) → (...)."""
    scores = ratios(totals)[..., 0]
    return scores[..., 0] - scores[..., 1]
