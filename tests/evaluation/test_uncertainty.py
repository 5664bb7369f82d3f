"""Intervals, differences and spread: compared with plain formulas, and on data of known truth."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from helpers.rows import make_rows

from data_preprocess.base.errors import UserError
from dghin.evaluation import uncertainty
from dghin.evaluation.metrics import GENERALIZED, SINGLE, metrics_from_rows
from dghin.evaluation.uncertainty import (
    bootstrap,
    expression_keys,
    image_sums,
    match,
    paired_difference,
    ratios,
    seeds_summary,
)


def clustered(images, seed, each=4, shift=0.0, split="val"):
    """Rows whose expressions of one image do alike; every expression's IoU is 0.5 + shift on
    average, and so is the overall IoU: sizes do not depend on how good an image's masks are."""
    random = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), each)
    quality = (shift + random.uniform(0.2, 0.8, images))[image]
    union = random.integers(500, 1500, images)[image]
    frame = pd.DataFrame({"image": [f"{i}.jpg" for i in image]})
    frame = frame.assign(dataset="refcoco", split=split, sentence="the star", length=2)
    frame["segment_id"], frame["sentence_index"] = image.astype(str), np.arange(len(image)) % each
    frame["strict_union"] = union
    frame["strict_intersection"] = random.binomial(union, quality)
    return frame


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_ratios_of_the_sums_are_the_scores(protocol):
    rows = make_rows("val", 37)
    scores = dict(zip(SINGLE, ratios(image_sums(rows, protocol, SINGLE).sum(axis=0)), strict=True))
    expected = metrics_from_rows(rows, protocol)
    assert scores == pytest.approx({name: expected[name] for name in SINGLE})


def plain_interval(sums, statistic):
    """The interval of a statistic of per-image sums, from copies of the sums of drawn images."""
    return scipy.stats.bootstrap(
        sums,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=0,
    ).confidence_interval


@pytest.mark.parametrize("score", ["oiou", "miou", "pr50"])
def test_the_interval_is_that_of_drawn_sums(score):
    rows = clustered(25, 3)
    above, below = image_sums(rows, "strict", [score])[:, 0].T
    plain = plain_interval((above, below), lambda x, y, axis: x.sum(axis) / y.sum(axis))
    assert bootstrap(rows, "strict", [score])[score] == pytest.approx(tuple(plain), abs=1e-12)


def test_intervals_recorded():
    """A change of the draws would change every number that was published with them."""
    found = bootstrap(clustered(40, 0), "strict")
    assert found["oiou"] == pytest.approx((0.4530263820, 0.5662051641), abs=1e-9)
    assert found["pr60"] == pytest.approx((0.2312500000, 0.5126562500), abs=1e-9)


def test_images_cover_the_truth_and_single_expressions_do_not():
    """Why images are drawn: 200 data sets of known truth, 95 % intervals by both ways."""
    covered = np.zeros((200, 2, 2))
    for trial in range(200):
        rows = clustered(60, trial)
        apart = rows.assign(image=[f"{i}.jpg" for i in range(len(rows))])
        for way, frame in enumerate((rows, apart)):
            intervals = bootstrap(frame, "strict", ["oiou", "miou"], resamples=300, seed=trial)
            covered[trial, way] = [low <= 0.5 <= high for low, high in intervals.values()]
    images, expressions = covered.mean(axis=0)
    assert (0.90 <= images).all() and (images <= 0.99).all()
    assert (expressions < 0.80).all()


def test_order_of_rows_and_batches_do_not_matter(monkeypatch):
    a, b = clustered(30, 1), clustered(30, 2)
    expected = bootstrap(a, "strict"), paired_difference(a, b, "strict", "miou")
    monkeypatch.setattr(uncertainty, "BATCH", 100)
    mixed = a.sample(frac=1, random_state=0), b.sample(frac=1, random_state=1)
    found = bootstrap(mixed[0], "strict"), paired_difference(*mixed, "strict", "miou")
    for name in SINGLE:
        assert found[0][name] == pytest.approx(expected[0][name], abs=1e-12)
    assert tuple(found[1]) == pytest.approx(tuple(expected[1]), abs=1e-12)


def test_seed_and_level_count():
    rows = clustered(30, 1)
    assert bootstrap(rows, "strict") == bootstrap(rows, "strict", seed=0)
    assert bootstrap(rows, "strict") != bootstrap(rows, "strict", seed=1)
    wide, narrow = (bootstrap(rows, "strict", level=p)["miou"] for p in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_an_image_is_a_file_of_a_data_set():
    rows = pd.concat([clustered(5, 1), clustered(5, 2).assign(dataset="refcoco+")])
    assert image_sums(rows, "strict", ["miou"]).shape == (10, 1, 2)
    assert image_sums(rows.drop(columns="dataset"), "strict", ["miou"]).shape == (5, 1, 2)


def test_nothing_and_one_image_say_nothing():
    rows = clustered(1, 0)
    for few in (rows, rows[:0]):
        for interval in bootstrap(few, "strict").values():
            assert math.isnan(interval.low) and math.isnan(interval.high)
    one = paired_difference(rows, rows, "strict")
    assert (one.value, one.p_value, one.images, one.expressions) == (0, 1, 1, 4)
    assert math.isnan(one.low) and math.isnan(one.high)
    none = paired_difference(rows[:0], rows[:0], "strict")
    assert none.images == none.expressions == 0 and all(map(math.isnan, none[:4]))


def test_nothing_predicted_where_nothing_is_counts_as_perfect():
    rows = clustered(6, 0).assign(strict_union=0, strict_intersection=0)
    assert set(bootstrap(rows, "strict").values()) == {(1.0, 1.0)}


@pytest.mark.parametrize("score", ["oiou", "miou", "pr50"])
def test_the_permutation_test_is_scipys_exact_one(score):
    a, b = clustered(9, 1, shift=0.08), clustered(9, 2)
    sums = [image_sums(rows, "strict", [score])[:, 0] for rows in (a, b)]
    both = np.concatenate(sums, axis=1)  # (images, a's above, a's below, b's above, b's below)

    def difference(first, second, axis):
        """Of image numbers, where 0..8 are a's and 9..17 are b's."""
        table = np.concatenate([both[:, :2], both[:, 2:]])
        totals = [table[part.astype(int)].sum(axis=axis if axis >= 0 else -2)
                  for part in (first, second)]  # fmt: skip
        return np.subtract(*(total[..., 0] / total[..., 1] for total in totals))

    theirs = scipy.stats.permutation_test(
        (np.arange(9), np.arange(9, 18)),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    ours = paired_difference(a, b, "strict", score, permutations=20_000)
    assert ours.value == pytest.approx(theirs.statistic, abs=1e-12)
    assert len(theirs.null_distribution) == 2**9
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.015)
    assert 0.02 < ours.p_value < 0.9, "a case that could be told from any other"


def test_the_difference_of_two_runs():
    a, b = clustered(40, 1, shift=0.1), clustered(40, 1)
    found, turned = paired_difference(a, b, "strict"), paired_difference(b, a, "strict")
    scores = [metrics_from_rows(rows.assign(length=1), "strict")["oiou"] for rows in (a, b)]
    assert found.value == pytest.approx(scores[0] - scores[1])
    assert found.low < found.value < found.high and found.low > 0
    assert found.p_value == 1 / 10_000, "images whose masks are all better: only chance swaps all"
    assert turned[:3] == pytest.approx((-found.value, -found.high, -found.low), abs=1e-4)
    assert turned.p_value == found.p_value
    assert (found.images, found.expressions) == (40, 160)


@pytest.mark.parametrize("score", ["oiou", "miou"])
def test_the_interval_of_a_difference_is_that_of_drawn_sums(score):
    a, b = clustered(25, 3, shift=0.05), clustered(25, 4)
    b["strict_union"] = a["strict_union"]  # the same masks and photos
    b["strict_intersection"] = np.minimum(b["strict_intersection"], b["strict_union"])
    parts = [image_sums(rows, "strict", [score])[:, 0].T for rows in (a, b)]
    plain = plain_interval(
        (*parts[0], *parts[1]),
        lambda x, y, u, v, axis: x.sum(axis) / y.sum(axis) - u.sum(axis) / v.sum(axis),
    )
    ours = paired_difference(a, b, "strict", score, permutations=9)
    assert (ours.low, ours.high) == pytest.approx(tuple(plain), abs=1e-12)


def test_pairs_tell_more_than_two_intervals():
    """The same images are hard for both runs; that part of the spread falls out."""
    a, b = clustered(40, 1, shift=0.02), clustered(40, 1)
    apart = [bootstrap(rows, "strict", ["oiou"])["oiou"] for rows in (a, b)]
    assert apart[0].low < apart[1].high, "the intervals of the two runs overlap"
    assert paired_difference(a, b, "strict").low > 0


def test_equally_good_runs_are_told_apart_as_often_as_promised():
    """Under the null hypothesis p < 0.05 in about 5 % of 150 data sets."""
    values = []
    for trial in range(150):
        a, b = clustered(20, 2 * trial), clustered(20, 2 * trial + 1)
        values.append(paired_difference(a, b.assign(strict_union=a.strict_union), "strict", "miou",
                                        resamples=2, permutations=199).p_value)  # fmt: skip
    assert 0.01 <= np.mean(np.array(values) <= 0.05) <= 0.10


def test_other_expressions_are_refused_in_words():
    rows = clustered(5, 0)
    with pytest.raises(UserError, match="18 are in both; 2 only in the first, such as refcoco val"):
        paired_difference(rows, rows[2:], "strict")
    other = rows.assign(split="testA")
    with pytest.raises(UserError, match="0 are in both; 20 only in the first.*20 only in the sec"):
        paired_difference(rows, other, "strict")
    twice = pd.concat([rows, rows[:1]])
    with pytest.raises(UserError, match="second rows: expression refcoco val 0/0 is there twice"):
        paired_difference(rows, twice, "strict")
    with pytest.raises(UserError, match="'sentence' differs in 20 of 20.*the star, the moon"):
        paired_difference(rows, rows.assign(sentence="the moon"), "strict")
    masks = rows.assign(area=7), rows.assign(area=np.where(rows.index == 3, 8, 7))
    with pytest.raises(UserError, match="'area' differs in 1 of 20.* 0/3: 7, 8"):
        paired_difference(*masks, "strict")


def test_older_rows_may_lack_columns():
    rows = clustered(5, 0)
    newer = rows.assign(area=7, targets=1)
    assert paired_difference(newer, rows, "strict").value == 0
    with pytest.raises(UserError, match="without column 'resized_intersection'"):
        bootstrap(rows, "resized")
    with pytest.raises(UserError, match="unknown score 'iou'.*Did you mean 'oiou'"):
        bootstrap(rows, "strict", ["iou"])


def test_keys_are_equal_whatever_their_types():
    rows = clustered(5, 0)
    numbers = rows.assign(segment_id=rows.segment_id.astype(int))
    assert expression_keys(rows) == expression_keys(numbers)
    a, b = match(rows, numbers.sample(frac=1, random_state=0))
    assert (a.strict_intersection == b.strict_intersection).all()


def test_spread_over_seeds():
    assert seeds_summary([1, 2, 4]) == pytest.approx((7 / 3, np.std([1, 2, 4], ddof=1), 3))
    one = seeds_summary([0.5])
    assert (one.mean, one.count) == (0.5, 1) and math.isnan(one.sd)
    none = seeds_summary([])
    assert math.isnan(none.mean) and math.isnan(none.sd) and none.count == 0


def generalized(images=30, seed=0, each=4):
    """Rows in which an expression means nothing, one object or several."""
    random = np.random.default_rng(seed)
    rows = clustered(images, seed, each)
    rows["targets"] = random.integers(0, 3, len(rows))
    rows["area"] = np.where(rows["targets"] == 0, 0, random.integers(200, 900, len(rows)))
    pixels = np.where(random.random(len(rows)) < 0.4, 0, random.integers(60, 900, len(rows)))
    both = np.minimum(rows["area"], pixels) // 2
    return rows.assign(
        strict_intersection=both, strict_union=rows["area"] + pixels - both, sentence_index=0,
        segment_id=[str(number) for number in range(len(rows))],
    )  # fmt: skip


def test_scores_of_several_objects_or_none_have_intervals():
    rows = generalized()
    scores, intervals = metrics_from_rows(rows, "strict"), bootstrap(rows, "strict")
    assert set(intervals) == {*SINGLE, *GENERALIZED}
    for name, (low, high) in intervals.items():
        assert low <= scores[name] <= high and (low < high or scores[name] in (0, 1)), name
    sums = image_sums(rows, "strict", GENERALIZED)
    found = dict(zip(GENERALIZED, ratios(sums.sum(axis=0)), strict=True))
    assert found == pytest.approx({name: scores[name] for name in GENERALIZED})


def test_two_runs_are_compared_by_them():
    rows = generalized()
    worse = rows.assign(  # it marks something where nothing is meant, and is as good elsewhere
        strict_union=rows["strict_union"].where(rows["targets"] > 0, 500)
    )
    for name in GENERALIZED:
        found = paired_difference(rows, worse, "strict", name)
        scores = [metrics_from_rows(one, "strict")[name] for one in (rows, worse)]
        assert found.value == pytest.approx(scores[0] - scores[1])
    assert paired_difference(rows, worse, "strict", "n_acc").p_value < 0.001
    assert paired_difference(rows, worse, "strict", "t_acc").value == 0


def test_a_part_of_such_a_set_is_scored_as_the_set_is():
    """A group in which each expression means one object still answers "nothing" below 50 pixels."""
    rows = generalized()
    one = rows[rows["targets"] == 1]
    as_the_set, alone = (metrics_from_rows(one, "strict", mixed) for mixed in (True, None))
    assert as_the_set["n_acc"] is None and "n_acc" not in alone
    assert math.isnan(bootstrap(one, "strict", ["n_acc"], generalized=True)["n_acc"].low)


def test_what_a_model_says_itself_counts_before_its_pixels():
    rows = generalized()
    said = rows.assign(no_target=pd.array([None] * len(rows), dtype="boolean"))
    assert metrics_from_rows(said, "strict") == metrics_from_rows(rows, "strict")
    said["no_target"] = pd.array(rows["targets"] == 0, dtype="boolean")
    scores = metrics_from_rows(said, "strict")
    assert (scores["n_acc"], scores["t_acc"]) == (1.0, 1.0)
