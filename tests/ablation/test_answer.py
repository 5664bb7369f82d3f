"""What docs/evaluation.md says of the ablation follows from the rows of its 54 trainings.

docs/ablation/rows.parquet: a line an expression of a split, for two recipes (2 and 8 expressions of
a photo in a step), nine variants and three seeds, with strict intersection and union in pixels.
demo_rows.parquet: the same of the demo, five seeds with 8 and with 4; with 2: docs/steadiness.
graph_spread.csv: the table of that name in the report of `make reproduce RUN=ablation`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dghin.ablation.kinds import CHANCE
from dghin.ablation.steadiness import CASES
from dghin.ablation.table import against_full

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = (DOCS / "evaluation.md").read_text(encoding="utf-8")
NOW, BEFORE = 2, 8  # expressions of a photo in a step
SPLITS = ("val", "testA", "testB")
COMPARING, OTHERS = ("superlative", "relation", "ordinal"), ("attribute", "place")
TRAINING = ["expressions_per_image", "variant", "seed"]
NAMES = {  # as the page has them
    "text graph off": "text graph",
    "visual graph off": "visual graph",
    "entity level only": "the whole graph level",
    "graph level only": "the entity level",
    "part of speech off": "part of speech",
    "auxiliary losses off": "auxiliary losses",
    "visual graph scaled": "visual graph scaled, `model.visual_graph_scale=scaled`",
    "visual graph normalised": "visual graph by cosines, `…=normalised`",
}


@pytest.fixture(scope="module")
def scores():
    """oIoU in percent, by recipe and variant: three seeds; splits, kinds, and their means."""
    rows = read("rows.parquet")
    tests = rows[rows["split"] != "val"]
    found = pd.concat([overall(rows, "split"), overall(tests, "kind")], axis=1)
    found["tests"] = found[["testA", "testB"]].mean(axis=1)
    found["comparing"], found["others"] = (
        found[[*COMPARING]].mean(axis=1),
        found[[*OTHERS]].mean(axis=1),
    )
    found["more"] = found["comparing"] - found["others"]
    assert len(found) == 2 * 9 * 3
    return {key: part for key, part in found.groupby(level=[0, 1])}


def read(name):
    rows = pd.read_parquet(DOCS / "ablation" / name)
    return rows.astype({"variant": str, "split": str, "kind": str})


def overall(rows, by):
    """oIoU in percent: a line a training, a column a split or kind."""
    sums = rows.groupby([*TRAINING, by])[["strict_intersection", "strict_union"]].sum()
    return (100 * sums["strict_intersection"] / sums["strict_union"]).unstack()


def both(scores, variant, what):
    """The mean of both recipes' differences to the full network, its 95 % interval and p: with the
    variances of all four groups of seeds (Welch, Satterthwaite)."""
    groups = [
        sign * scores[recipe, name][what].to_numpy() / 2
        for recipe in (NOW, BEFORE)
        for name, sign in ((variant, 1), ("full", -1))
    ]
    difference = sum(group.mean() for group in groups)
    parts = np.array([group.var(ddof=1) / len(group) for group in groups])
    freedom = parts.sum() ** 2 / sum(
        part**2 / (len(g) - 1) for part, g in zip(parts, groups, strict=True)
    )
    error = parts.sum() ** 0.5
    half = stats.t.ppf(0.975, freedom) * error
    p = 2 * stats.t.sf(abs(difference) / error, freedom)
    return difference, difference - half, difference + half, p


def signed(number):
    return f"{number:+.1f}".replace("-", "−")


def told(difference, low, high):
    return f"{signed(difference)} [{signed(low)}, {signed(high)}]"


def spread(scores, recipe, variant, whats):
    columns = [scores[recipe, variant][what] for what in whats]
    return " | ".join(f"{x.mean():.1f} ± {x.std(ddof=1):.1f}" for x in columns)


@pytest.mark.parametrize("variant", NAMES)
def test_what_each_part_brings(scores, variant):
    now, before = (
        against_full(scores[recipe, variant]["tests"], scores[recipe, "full"]["tests"])
        for recipe in (NOW, BEFORE)
    )
    *together, p = both(scores, variant, "tests")
    sure = "**" if p < CHANCE else ""
    line = (
        f"| {NAMES[variant]} | {spread(scores, NOW, variant, SPLITS)} | {told(*now[:3])} "
        f"| {now[3]:.2f} | {signed(before[0])} | {sure}{told(*together)}{sure} | {p:.2f} |"
    )
    assert line in PAGE
    assert now[3] >= CHANCE, "no single one of today's recipe is beyond chance, the page says"


def test_what_the_full_network_scores(scores):
    line = f"| nothing | {spread(scores, NOW, 'full', SPLITS)} | | | ("
    means = [scores[BEFORE, "full"][split].mean() for split in SPLITS]
    assert line + ", ".join(f"{mean:.1f}" for mean in means) + ") | | |" in PAGE


def test_kinds(scores):
    kinds = (*OTHERS, *COMPARING)
    for recipe, name in ((NOW, "two"), (BEFORE, "eight")):
        line = (
            f"| full network, oIoU, {name} of a photo | {spread(scores, recipe, 'full', kinds)} |"
        )
        assert line in PAGE
    for variant in ("text graph off", "visual graph off", "entity level only"):
        found = [both(scores, variant, kind) for kind in kinds]
        cells = [f"{signed(d)}{'*' if p < CHANCE else ''}" for d, _, _, p in found]
        name = NAMES[variant].removeprefix("the ")
        assert f"| without the {name} | {' | '.join(cells)} |" in PAGE


def test_the_graph_level_is_not_shown_to_help_most_where_things_are_compared(scores):
    comparing, others, more = (
        both(scores, "entity level only", what) for what in ("comparing", "others", "more")
    )
    said = " ".join(PAGE.split())

    def lost(found, unit=""):
        numbers = (signed(-found[at]).removeprefix("+") for at in (0, 2, 1))
        return "{}{} [{}, {}]".format(next(numbers), unit, *numbers)

    assert f"lose {lost(comparing, ' points')} in the mean, the other two {lost(others)};" in said
    assert f"the difference of the two is {lost(more)} (p {more[3]:.2f})" in said
    assert more[3] > CHANCE


def test_how_many_patches_the_visual_graph_rests_on():
    table = pd.read_csv(DOCS / "ablation" / "graph_spread.csv")
    for scale, levels in table.groupby("Scale"):
        found = [
            "{:.0f}, {:.0f}, {:.1f}".format(*levels[f"Patches of {which}, last"])
            for which in ("a row", "all rows")
        ]
        assert f"| `{scale}` | {found[0]} | {found[1]} |" in PAGE


def test_expressions_of_a_photo_in_a_step():
    """The demo's five seeds with 2, 4 and 8 of them: the table of docs/training.md."""
    parts = [read("demo_rows.parquet")]
    for seed, case in enumerate(CASES[:5]):
        for path in sorted((DOCS / "steadiness" / "runs" / case.folder / "rows").iterdir()):
            labels = {"expressions_per_image": NOW, "variant": "demo", "seed": seed}
            parts.append(pd.read_parquet(path).assign(split=path.stem, **labels))
    rows = pd.concat(parts, ignore_index=True)
    found = pd.concat([overall(rows, "split"), overall(rows, "kind")], axis=1)
    assert len(found) == 3 * 5
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    for number, seeds in found.groupby(level=0):
        cells = spread({(number, "demo"): seeds}, number, "demo", (*SPLITS, *OTHERS, *COMPARING))
        assert f"| {number} | {cells} |" in page
