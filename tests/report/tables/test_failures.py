"""How masks fail: every kind by its rule, counted once, and examples drawn by a seed."""

import numpy as np
import pandas as pd
import pytest

from dghin.evaluation.metrics import expression_iou
from dghin.evaluation.uncertainty import bootstrap
from dghin.report.tables.failures import (
    FAILURES,
    KINDS,
    examples_of,
    failure_kinds,
    failures_table,
    kinds_by_image,
    share_intervals,
)


def row(truth, mask, both):
    """A row from pixels of the truth, of the mask, and of both."""
    union = truth + mask - both
    return {"area": truth, "strict_intersection": both, "strict_union": union, "image": "a"}


def random_rows(count, seed=0):
    """Rows of all kinds of masks, four of an image."""
    random = np.random.default_rng(seed)
    truth, mask = random.integers(0, 100, (2, count))
    both = (random.random(count) * np.minimum(truth, mask)).astype(int)
    pairs = zip(truth, mask, both, strict=True)
    return pd.DataFrame([row(*one) | {"image": f"{i // 4}.jpg"} for i, one in enumerate(pairs)])


@pytest.mark.parametrize(
    ("truth", "mask", "both", "kind"),
    [
        (100, 100, 100, "right"),
        (100, 200, 100, "right"),  # an IoU of exactly 0.5
        (100, 201, 100, "leak"),
        (100, 49, 49, "partial"),
        (100, 1, 1, "partial"),
        (100, 100, 60, "partial"),  # as much is missed as is added
        (100, 101, 60, "leak"),
        (100, 100, 49, "wrong object"),
        (100, 5000, 49, "wrong object"),
        (100, 5000, 50, "leak"),
        (100, 30, 0, "wrong object"),
        (100, 0, 0, "empty"),
        (0, 0, 0, "right"),
        (0, 5, 0, "unasked"),
    ],
)
def test_every_kind_by_its_rule(truth, mask, both, kind):
    assert failure_kinds(pd.DataFrame([row(truth, mask, both)])).tolist() == [kind]


def test_every_expression_is_of_one_kind_and_the_table_counts_it():
    results = {"": {"val": random_rows(50), "testA": random_rows(30, seed=1)}}
    table = failures_table(results)
    assert table.groupby("Split")["Expressions"].sum().to_dict() == {"val": 50, "testA": 30}
    assert table.groupby("Split")["Share"].sum().round(9).tolist() == [100, 100]
    rows = results[""]["val"]
    right = (expression_iou(rows.strict_intersection, rows.strict_union) >= 0.5).sum()
    of_val = table[table["Split"] == "val"].set_index("Mask")["Expressions"]
    assert of_val["right"] == right and set(of_val.index) <= set(KINDS)


def test_shares_have_intervals_over_images():
    """As the bootstrap of Pr@0.5, which is the share of right masks, gives them."""
    rows = random_rows(200).query("area > 0").reset_index(drop=True)
    table = failures_table({"": {"val": rows, "testA": rows.head(2)}}).set_index(["Split", "Mask"])
    low, high = bootstrap(rows, "strict", ["pr50"])["pr50"]
    right = table.loc["val", "right"]
    assert (right["Share, low"], right["Share, high"]) == pytest.approx((100 * low, 100 * high))
    inside = table.loc["val"]
    assert (inside["Share, low"] < inside["Share"]).all()
    assert (inside["Share"] < inside["Share, high"]).all()
    assert table.loc["testA", "Share, low"].isna().all(), "one image says nothing of others"
    kinds = pd.DataFrame([row(9, 9, 9) | {"image": i} for i in "ab"])
    assert np.isnan(share_intervals(kinds_by_image(kinds))).all(), "all alike: no interval"


def test_examples_are_drawn_by_the_seed_each_of_another_image():
    rows = pd.concat([random_rows(60)] * 2)  # whose index says nothing of places
    kinds = failure_kinds(rows)
    chosen = examples_of(rows, 3, seed=1)
    assert set(chosen) == set(kinds) & set(FAILURES)
    for kind, numbers in chosen.items():
        assert (kinds[numbers] == kind).all() and len(numbers) <= 3
        assert rows["image"].iloc[numbers].is_unique
    assert examples_of(rows, 3, seed=1) == chosen
    assert any(examples_of(rows, 3, seed=seed) != chosen for seed in range(2, 6))
    everything = np.array(examples_of(rows, 10_000)["wrong object"])
    assert set(rows["image"].iloc[everything]) == set(
        rows["image"].to_numpy()[kinds == "wrong object"]
    )
