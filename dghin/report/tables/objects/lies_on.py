"""What the masks lie on, by kind of expression, from the rows' columns alone.

    lies_on_table(results)     # the object meant, another of its class, ...: any data with objects
    named_table(results)       # does the name fit what is marked? drawn scenes
    ordinals_table(results)    # by how many places the count is off; drawn scenes

dghin/evaluation/objects/lies_on.py makes the columns. Rows without them give empty tables. Where
several splits other than val were scored, TESTS holds their expressions together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ..failures import share_intervals
from ..scores import EXPRESSIONS, HIGH, LOW, Results

TESTS = "test splits"  # of all splits but val
ALL = "all"  # kinds, or ordinals
MEANT, SAME, OTHER = "The object meant", "Another of its class", "Of another class"
SEVERAL, NONE, NOTHING = "Several objects", "No object", "Nothing marked"
PLACES: Mapping[str, str] = {  # of the column `lies_on` → as tables call it
    "meant": MEANT, "same class": SAME, "other class": OTHER, "several": SEVERAL,
    "no object": NONE, "nothing": NOTHING,
}  # fmt: skip
NAMED, GUESS = "Its name fits", "A guess"  # how many objects; percent of guesses that are right
ANCHOR, FITTING, REST = "The anchor", "Another its name fits", "Another object"
UNDECIDED = "Several, none or nothing"
ON_NAMED = (MEANT, ANCHOR, FITTING, REST, UNDECIDED)
ASKED = {1: "first", 2: "second", 3: "third", 4: "fourth"}
BETWEEN = "neither first nor last"
OFF = ("Right place", "Off by one", "Off by two", "Off by more", "None of those counted")


def lies_on_table(results: Results) -> pd.DataFrame:
    """A row a split and kind, in percent of its expressions of one target: what their masks lie on.

    The first two shares have 95 % intervals by bootstrap over images.
    """
    lines = []
    for split, rows in _splits(results, "lies_on"):
        for kind, chosen in _kinds(rows):
            shares = _shares(chosen, chosen["lies_on"].map(PLACES), tuple(PLACES.values()))
            lines.append({"Split": split, "Kind": kind, EXPRESSIONS: len(chosen), **shares})
    return _without_ends(lines, (MEANT, SAME))


def named_table(results: Results) -> pd.DataFrame:
    """A row a split and kind, in percent: whether a mask lies on an object that the name fits.

    NAMED: how many objects of the photo the name fits, on average. GUESS: how many masks would be
    right if each lay on one of these, whichever. ANCHOR: the object that a relation names, which
    may fit the name, too.
    """
    lines = []
    for split, rows in _splits(results, "named"):
        for kind, chosen in _kinds(rows):
            on = np.select(
                [
                    chosen["lies_on"] == "meant",
                    _known(chosen, "on_anchor"),
                    _known(chosen, "on_named"),
                    chosen["lies_on"].isin(["same class", "other class"]),
                ],
                ON_NAMED[:-1],
                default=UNDECIDED,
            )
            shares = _shares(chosen, pd.Series(on, chosen.index), ON_NAMED)
            if kind != "relation":
                shares[ANCHOR] = np.nan
            line = {"Split": split, "Kind": kind, EXPRESSIONS: len(chosen)}
            lines.append(line | _guess(chosen) | shares)
    return _without_ends(lines, (MEANT,))


def ordinals_table(results: Results) -> pd.DataFrame:
    """A row a split and asked place, in percent: by how many places the count is off.

    Counted are the objects that the name fits, from the side that the expression says. BETWEEN are
    ordinals that ask for neither end of them; they stand in the rows of their number, too.
    """
    lines = []
    for split, rows in _splits(results, "rank"):
        # the column is missing where no mask lies on any of the objects that are counted
        off = rows.get("places_off", pd.Series(pd.NA, rows.index, dtype="Int64")).abs()
        conditions = [off == 0, off == 1, off == 2, off > 2]
        known = [condition.fillna(False).to_numpy(bool) for condition in conditions]
        kind = pd.Series(np.select(known, OFF[:-1], default=OFF[-1]), rows.index)
        for asked, condition in _asked(rows).items():
            chosen = rows[condition]
            if len(chosen):
                line = {"Split": split, "Asked": asked, EXPRESSIONS: len(chosen)}
                lines.append(line | _guess(chosen) | _shares(chosen, kind[condition], OFF))
    return _without_ends(lines, OFF[:1])


def _asked(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Which ordinals ask for which place, by what tables call it."""
    rank, last = rows["rank"], rows["named"]
    asked = {ALL: rank >= 1} | {name: rank == number for number, name in ASKED.items()}
    return asked | {BETWEEN: (rank > 1) & (rank < last)}


def _splits(results: Results, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows that know a column, by split; TESTS after them, where there are several."""
    known = {
        split: rows[rows[column].notna()] for split, rows in results[""].items() if column in rows
    }
    known = {split: rows for split, rows in known.items() if len(rows)}
    yield from known.items()
    tests = [rows for split, rows in known.items() if split.rpartition("_")[2] != "val"]
    if len(tests) > 1:
        yield TESTS, pd.concat(tests, ignore_index=True)


def _kinds(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """All rows, then those of every kind; those of no known kind stand in the first alone."""
    yield ALL, rows
    for kind in sorted(set(rows["kind"]) - {""}):
        yield kind, rows[rows["kind"] == kind]


def _known(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Where a column of truths is true: (N,) of bool; unknown or missing counts as false."""
    if column not in rows:
        return np.zeros(len(rows), bool)
    return rows[column].fillna(False).to_numpy(bool)


def _guess(rows: pd.DataFrame) -> dict[str, float]:
    """How many objects the names fit, and percent of guesses among these that would be right."""
    named = rows["named"].to_numpy(float)
    return {NAMED: float(named.mean()), GUESS: float(100 * (1 / named).mean())}


def _shares(rows: pd.DataFrame, values: pd.Series, names: Sequence[str]) -> dict[str, float]:
    """The share of every value in percent, each with the ends of its interval after it."""
    found = pd.Categorical(values, list(names))
    by_image = pd.crosstab(rows["image"].to_numpy(), found, dropna=False).to_numpy()
    shares, ends = 100 * by_image.sum(axis=0) / len(rows), share_intervals(by_image)
    line = {}
    for name, share, (low, high) in zip(names, shares, ends, strict=True):
        line |= {name: float(share), name + LOW: float(low), name + HIGH: float(high)}
    return line


def _without_ends(lines: list[dict[str, object]], kept: Sequence[str]) -> pd.DataFrame:
    """The table of lines, with intervals of the columns in `kept` alone: else it is too wide."""
    frame = pd.DataFrame(lines)

    def is_shown(name: str) -> bool:
        of = name.removesuffix(LOW).removesuffix(HIGH)
        return of == name or of in kept

    return frame[list(filter(is_shown, frame.columns))]


TABLES: Mapping[str, Callable[[Results], pd.DataFrame]] = {
    "lies_on": lies_on_table,
    "lies_on_named": named_table,
    "ordinals": ordinals_table,
}
