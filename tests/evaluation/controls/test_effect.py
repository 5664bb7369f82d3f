"""What a control did: the same numbers and intervals as the plain helpers give."""

import math

import pytest
from helpers.rows import make_rows

from dghin.evaluation.controls.effect import effect
from dghin.evaluation.metrics import metrics_from_rows
from dghin.evaluation.uncertainty import bootstrap, paired_difference


@pytest.fixture
def pair():
    real, altered = make_rows("val", 40), make_rows("val", 40, 1)
    altered[["area", "height", "width"]] = real[["area", "height", "width"]]
    return real, altered.assign(agreement_intersection=altered.index % 3, agreement_union=2)


def test_scores_and_intervals_are_those_of_bootstrap_and_paired_difference(pair):
    found = effect(*pair, "strict")
    for estimate, rows in zip((found.real, found.control), pair, strict=True):
        assert estimate.value == pytest.approx(metrics_from_rows(rows, "strict")["oiou"])
        assert estimate[1:] == pytest.approx(bootstrap(rows, "strict", ["oiou"])["oiou"])
    plain = paired_difference(*pair, "strict", permutations=1)
    assert found.difference == pytest.approx((plain.value, plain.low, plain.high))
    assert (found.expressions, found.images) == (40, 10)


def test_an_answer_has_changed_below_an_iou_of_a_half(pair):
    changed = (pair[1].index % 3 == 0).mean()  # IoU 0; the others have 0.5 and 1
    found = effect(*pair, "strict").changed
    assert found.value == pytest.approx(changed) and found.low < changed < found.high


def test_only_expressions_under_the_control_count(pair):
    real, altered = pair
    part = altered[altered.index < 8]
    found = effect(real, part, "strict")
    assert (found.expressions, found.images) == (8, 2)
    expected = metrics_from_rows(real[real.index < 8], "strict")["oiou"]
    assert found.real.value == pytest.approx(expected)


def test_equal_answers_fall_by_exactly_nothing(pair):
    real = pair[0]
    same = real.assign(agreement_intersection=5, agreement_union=5)
    found = effect(real, same, "strict")
    assert found.difference == (0, 0, 0) and found.changed == (0, 0, 0)


def test_what_is_not_known_is_nan(pair):
    real, altered = pair
    unknown = effect(real, altered.drop(columns=["agreement_union"]), "strict").changed
    assert all(map(math.isnan, unknown))
    alone = effect(real, altered[altered.index < 4], "strict")
    assert math.isnan(alone.real.low) and not math.isnan(alone.real.value)
