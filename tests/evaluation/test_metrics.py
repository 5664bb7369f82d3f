"""Scores: the recorded counts and printed lines, the two protocols, empty cases."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_preprocess.base.errors import UserError
from dghin.evaluation.masks import predict_mask, score
from dghin.evaluation.metrics import (
    LENGTHS,
    PROTOCOLS,
    SegmentationMetrics,
    expression_iou,
    intersection_union,
    metrics_from_counts,
    metrics_from_rows,
    validation_score,
)

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def recorded():
    return json.loads((GOLDEN / "metrics.json").read_text())


@pytest.fixture(scope="module")
def scored(recorded):
    sys.path.insert(0, str(GOLDEN))
    from stand_in import metric_cases

    truths, logits = metric_cases(recorded["seed"], recorded["n"])
    metrics = {protocol: SegmentationMetrics(protocol) for protocol in PROTOCOLS}
    pairs = {
        protocol: [
            metrics[protocol].update(torch.from_numpy(x), truth, length=length)
            for (truth, length), x in zip(truths, logits, strict=True)
        ]
        for protocol in PROTOCOLS
    }
    return metrics, pairs


def test_paper_counts_are_the_originals(recorded, scored):
    _, pairs = scored
    assert [list(pair) for pair in pairs["paper"]] == recorded["intersection_union"]


def test_paper_scores_are_what_the_original_printed(recorded, scored):
    metrics, _ = scored
    got = metrics["paper"].compute()
    names = {"overall IoU": "oiou"}
    names |= {f"precision@0.{n}": f"pr{n}0" for n in range(5, 10)}
    printed = dict(re.findall(r"(.+) = ([\d.]+)", recorded["printed"]))
    assert {key: f"{got[name]:.6f}" for key, name in names.items()} == printed
    by_length = re.findall(r"length range \d = ([\d.]+)", recorded["printed_by_length"])
    assert [f"{value:.6f}" for value in got["by_length"].values()] == by_length
    assert got["count"] == recorded["n"]


def test_strict_is_not_inflated(scored):
    _, pairs = scored
    paper, strict = (np.array(pairs[protocol]) for protocol in ("paper", "strict"))
    assert (strict[:, 1] <= paper[:, 1]).all() and (strict[:, 0] <= paper[:, 0]).all()


def test_a_perfect_small_disc_scores_086_in_the_paper_protocol():
    y, x = np.mgrid[0:480, 0:640] + 0.5
    truth = (y - 240) ** 2 + (x - 320) ** 2 < 12**2
    y, x = (np.mgrid[0:416, 0:416] + 0.5) / 416
    margin = 12 - np.sqrt((y * 480 - 240) ** 2 + (x * 640 - 320) ** 2)
    logits = torch.from_numpy(np.stack([-margin, margin]))
    counts = {protocol: score(logits, truth, protocol) for protocol in PROTOCOLS}
    scores = {protocol: intersection / union for protocol, (intersection, union) in counts.items()}
    assert scores["paper"] == pytest.approx(0.86, abs=0.02)
    assert scores["strict"] > 0.97 and scores["resized"] > 0.95
    assert scores["strict"] > scores["threshold=0.35"] > scores["paper"]  # a rim, but a thinner one


def test_resized_is_lavts_evaluation():
    """argmax at S×S against the mask resized there by PIL's nearest neighbour."""
    random = np.random.default_rng(0)
    truth = random.random((50, 31)) > 0.6
    logits = torch.from_numpy(random.normal(size=(2, 16, 16)))
    small = Image.fromarray(truth.astype(np.uint8)).resize((16, 16), Image.Resampling.NEAREST)
    small, mask = np.asarray(small) > 0, logits.argmax(dim=0).numpy() == 1
    expected = ((mask & small).sum(), (mask | small).sum())
    assert score(logits, truth, "resized") == expected
    assert SegmentationMetrics("resized").update(logits, truth) == expected


def test_threshold_is_criss_evaluation():
    """The probability of the referent, enlarged, against a threshold; any in (0, 1)."""
    logits = torch.zeros(2, 8, 8)
    logits[1, :, :4], logits[1, :, 4:] = -0.5, 0.2  # probabilities 0.378 and 0.550
    share = {t: predict_mask(logits, (8, 8), f"threshold={t}").float().mean() for t in (0.35, 0.5)}
    assert share == {0.35: 1.0, 0.5: 0.5}
    even = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 8, 8)))
    assert torch.equal(predict_mask(even, (8, 8), "threshold=0.5"), predict_mask(even, (8, 8)))
    for wrong in ("threshold=0", "threshold=1.2", "threshold=x", "threshold", "0.35"):
        with pytest.raises(UserError, match="protocol"):
            predict_mask(logits, (8, 8), wrong)


def test_truth_may_be_bool_or_255_array_or_tensor():
    logits = torch.randn(2, 8, 8)
    truth = np.zeros((11, 9), np.uint8)
    truth[2:6, 3:7] = 255
    forms = [truth, truth > 0, torch.from_numpy(truth), torch.from_numpy(truth > 0)]
    assert len({SegmentationMetrics("strict").update(logits, form) for form in forms}) == 1


def test_empty_buckets_and_long_expressions():
    got = metrics_from_counts([1, 2, 0], [2, 2, 4], [3, 21, 0])
    assert got["by_length"] == {"1-2": None, "3": 0.5, "4-5": None, "6-20": None}
    assert got["oiou"] == 3 / 8 and got["miou"] == 0.5 and got["count"] == 3
    assert got["pr50"] == 2 / 3  # an IoU of exactly 0.5 counts


def test_nothing_scored_and_nothing_there():
    empty = SegmentationMetrics("paper").compute()
    assert empty["count"] == 0 and empty["oiou"] is None and empty["pr90"] is None
    assert expression_iou([0], [0])[0] == 1.0
    assert metrics_from_counts([0], [0], [1])["oiou"] == 1.0


def test_errors_name_what_is_wrong():
    with pytest.raises(UserError, match="Did you mean 'strict'"):
        SegmentationMetrics("strikt")
    with pytest.raises(ValueError, match="differ in size"):
        intersection_union(np.zeros((2, 3)), np.zeros((3, 2)))


count = st.integers(0, 50)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(count, count, st.integers(1, 20)), min_size=1, max_size=20))
def test_invariants(cases):
    """Scores lie in [0, 1], Pr falls with t, one full bucket is the whole."""
    intersection = np.array([i for i, _, _ in cases])
    union = intersection + np.array([extra for _, extra, _ in cases])
    got = metrics_from_counts(intersection, union, [n for _, _, n in cases])
    precision = [got[f"pr{t}"] for t in (50, 60, 70, 80, 90)]
    assert precision == sorted(precision, reverse=True)
    assert all(0 <= value <= 1 for value in (got["oiou"], got["miou"], *precision))
    buckets = [value for value in got["by_length"].values() if value is not None]
    assert list(got["by_length"]) == list(LENGTHS)
    if union.sum() and len(buckets) == 1:
        assert buckets[0] == got["oiou"]


def answered_rows(shares, targets):
    """Rows of objects of 1,000 pixels, of which each answer marks a share and nothing else."""
    area = 1000 * (np.asarray(targets) > 0)
    marked = (np.asarray(shares) * area).astype(int)
    return pd.DataFrame({
        "strict_intersection": marked, "strict_union": area, "area": area, "length": 3,
        "targets": targets,
    })  # fmt: skip


def test_an_empty_network_is_no_good_choice_however_many_have_no_target():
    targets = [0, 0, 0, 0, 0, 0, 1, 2]
    empty = metrics_from_rows(answered_rows([0] * 8, targets), "strict")
    better = metrics_from_rows(answered_rows([0] * 6 + [0.2, 0.2], targets), "strict")
    assert empty["giou"] == empty["miou"] == 0.75  # as the papers count it
    assert (empty["n_acc"], empty["t_acc"]) == (1, 0)
    assert validation_score(empty) == 0 < validation_score(better)
    both = better["giou"], better["ciou"]
    assert min(both) < validation_score(better) < max(both)


@pytest.mark.parametrize("targets", [[1, 1, 1], [1, 2, 3]])
def test_without_expressions_without_target_the_choice_is_by_overall_iou(targets):
    found = metrics_from_rows(answered_rows([0.3, 0.6, 1], targets), "strict")
    assert validation_score(found) == found["oiou"]
