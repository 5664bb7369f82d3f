"""Scores by what an expression is like: its length, kind and parse, its object and what is beside.

    breakdown_table(results, "by_kind")      # a row for every split and kind; in percent
    BREAKDOWNS["by_kind"].column             # "Kind"

Everything is computed from the rows of the evaluation. Groups without any expression stay in the
table where they are ranges of a number, so that a gap is seen; an unknown value falls out of its
own breakdown only.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from dghin.data.review import COLUMN
from dghin.evaluation.metrics import (
    LENGTHS,
    first_protocol,
    is_generalized,
    metrics_from_rows,
    protocols_of,
)
from dghin.evaluation.uncertainty import bootstrap

from .scores import EXPRESSIONS, Results, percent

Range = tuple[float, float]  # inclusive on both sides
LENGTHS_ALL: Mapping[str, Range] = {
    "1": (1, 1), "2": (2, 2), "3": (3, 3), "4": (4, 4), "5": (5, 5), "6-7": (6, 7), "8-10": (8, 10),
    "11-20": (11, 20), "over 20": (21, math.inf),
}  # fmt: skip
# COCO's areas, in pixels of the photo: small below 32², large above 96²
SIZES: Mapping[str, Range] = {
    "none": (0, 0), "small": (1, 32**2 - 1), "medium": (32**2, 96**2),
    "large": (96**2 + 1, math.inf),
}  # fmt: skip
TARGETS: Mapping[str, Range] = {"none": (0, 0), "one": (1, 1), "several": (2, math.inf)}
DISTRACTORS: Mapping[str, Range] = {
    "0": (0, 0), "1": (1, 1), "2": (2, 2), "3": (3, 3), "4 or more": (4, math.inf),
}  # fmt: skip
DEPTHS: Mapping[str, Range] = {
    "0": (0, 0), "1": (1, 1), "2": (2, 2), "3": (3, 3), "4": (4, 4), "5 or more": (5, math.inf),
}  # fmt: skip
CUT: Mapping[str, Range] = {"whole": (0, 0), "cut": (1, 1)}


@dataclass(frozen=True)
class Breakdown:
    """One way to group expressions: the row column that decides, and the groups.

    ranges: name → bounds, in order; empty: the column's own values, sorted.
    """

    title: str
    column: str  # as tables and figures call it
    source: str  # of the rows
    about: str  # for people
    ranges: Mapping[str, Range]

    def groups(self, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
        """The groups of a split's rows; none where no row knows the value."""
        if self.source not in rows or self.ranges is TARGETS and not is_generalized(rows):
            return
        values = rows[self.source]
        if not self.ranges:
            for name in sorted(set(values) - {""}):
                yield str(name), rows[values == name]
        elif values.notna().any():
            for name, (low, high) in self.ranges.items():
                yield name, rows[values.between(low, high).fillna(False).astype(bool)]


BREAKDOWNS = {
    "by_length": Breakdown(
        "length, in the original's groups",
        "Words",
        "length",
        "Number of words (spaCy tokens) in the original's groups; it leaves out expressions of "
        "more than 20.",
        LENGTHS,
    ),
    "by_length_all": Breakdown(
        "length, all expressions",
        "Words",
        "length",
        "Number of words (spaCy tokens) in groups that leave no expression out.",
        LENGTHS_ALL,
    ),
    "by_size": Breakdown(
        "object size",
        "Object size",
        "area",
        "COCO's sizes, of the true mask in the photo: small is below 32² pixels, large above 96².",
        SIZES,
    ),
    "by_kind": Breakdown(
        "kind of expression",
        "Kind",
        "kind",
        "What the expression says of its object. Labelled in the embedded data set; on others by "
        "word lists and the parse (data_preprocess/language/kinds.py), one kind an expression.",
        {},
    ),
    "by_targets": Breakdown(
        "number of objects meant",
        "Objects meant",
        "targets",
        "How many objects the expression means, where it may mean several or none (gRefCOCO).",
        TARGETS,
    ),
    "by_distractors": Breakdown(
        "same-class distractors",
        "Same-class distractors",
        "distractors",
        "Other objects of the referent's class in the photo, by the data set's annotations.",
        DISTRACTORS,
    ),
    "by_depth": Breakdown(
        "depth of the parse",
        "Depth of the parse",
        "depth",
        "Edges from the deepest word of the dependency parse to its root: one word has depth 0.",
        DEPTHS,
    ),
    "by_review": Breakdown(
        "what reviewers say of the expression",
        "Reviewed",
        COLUMN,
        "Ref-L4's reviewers exclude expressions that fit several objects, or none, or whose box is "
        "inaccurate. Joined onto the rows by annotation and words: dghin report reviewed=PATH.",
        {},
    ),
    "by_cut": Breakdown(
        "whether the expression is read whole",
        "Expression",
        "cut",
        "Whether all of its word pieces had a position (model.words): what is cut is never read.",
        CUT,
    ),
}


def breakdown_table(results: Results, name: str) -> pd.DataFrame:
    """A row for every split and group, in percent; empty where the rows do not know the value.

    Count, overall IoU with its 95 % interval by bootstrap over images, mean IoU and Pr@0.5, all
    under the first protocol that the rows have (`strict`); overall IoU in the paper protocol.
    """
    breakdown = BREAKDOWNS[name]
    columns = ["Split", "Protocol", breakdown.column, EXPRESSIONS]
    columns += ["oIoU", "oIoU, low", "oIoU, high"]
    columns += ["mIoU", "Pr@0.5", "oIoU, paper"]
    lines = []
    for split, rows in results[""].items():
        for group, chosen in breakdown.groups(rows):
            if group == "none" and chosen.empty:  # only gRefCOCO has objects without a pixel
                continue
            protocol, mixed = first_protocol(rows), is_generalized(rows)
            lines.append([split, protocol, group, len(chosen), *_scores(chosen, protocol, mixed)])
    return pd.DataFrame(lines, columns=columns)


def _scores(rows: pd.DataFrame, protocol: str, mixed: bool) -> list[float]:
    found = metrics_from_rows(rows, protocol, mixed)
    interval = bootstrap(rows, protocol, ["oiou"], generalized=mixed)["oiou"]
    paper = None
    if "paper" in protocols_of(rows):
        paper = metrics_from_rows(rows, "paper", mixed)["oiou"]
    shown = [found["oiou"], *interval, found["miou"], found["pr50"], paper]
    return [percent(value) for value in shown]
