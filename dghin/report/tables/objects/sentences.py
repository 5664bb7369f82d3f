"""What the tables of `lies_on` say, in a sentence or two a kind of expression.

sentences(tables)
# ["Of 98 expressions of kind “ordinal”, 43 % of the masks lie on the object meant, ...", ...]
"""

from collections.abc import Mapping

import pandas as pd

from ..scores import EXPRESSIONS
from .lies_on import (
    ALL,
    ANCHOR,
    BETWEEN,
    GUESS,
    MEANT,
    NONE,
    NOTHING,
    OFF,
    OTHER,
    SAME,
    SEVERAL,
    TESTS,
)

GOOD = 90  # percent: from here on nothing needs to be explained
HALF = 0.5  # of the masks that are not on the object meant: an error is the main one
FEW = 20  # expressions: of fewer nothing is said
WRONG = {  # what a kind says beside the name
    "attribute": "the rest of the name", "ordinal": "the count", "place": "the place",
    "relation": "the relation", "superlative": "the comparison",
}  # fmt: skip


def shown_split(table: pd.DataFrame) -> str:
    """The split that sentences and figure are of: all test splits together, or the last one."""
    splits = list(table["Split"])
    return TESTS if TESTS in splits else splits[-1]


def sentences(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """A text for every kind of which there are enough expressions; none without the table.

    tables: those of `lies_on.TABLES` that the run has, by name, with plain numbers.
    """
    if "lies_on" not in tables:
        return []
    split = shown_split(tables["lies_on"])
    found = []
    for _, line in _of(tables, "lies_on", split).iterrows():
        kind = line["Kind"]
        if kind == ALL or line[EXPRESSIONS] < FEW:
            continue
        parts = [_places(line), _named(tables, split, kind)]
        parts += [_ordinals(tables, split)] if kind == "ordinal" else []
        found.append(" ".join(filter(None, parts)))
    return found


def _places(line: pd.Series) -> str:
    """What the masks of a kind lie on, and what that says."""
    undecided = line[SEVERAL] + line[NONE] + line[NOTHING]
    text = (
        f"Of {line[EXPRESSIONS]:,} expressions of kind “{line['Kind']}”, {line[MEANT]:.0f} % of "
        f"the masks lie on the object meant, {line[SAME]:.0f} % on another of its class, "
        f"{line[OTHER]:.0f} % on an object of another class; {undecided:.0f} % mark several "
        "objects, none or nothing"
    )
    return f"{text}: {_verdict(line, undecided)}." if line[MEANT] < GOOD else f"{text}."


def _verdict(line: pd.Series, undecided: float) -> str:
    """The main error of the masks that do not lie on the object meant."""
    wrong = HALF * (100 - line[MEANT])
    if line[SAME] > wrong:
        said = WRONG.get(line["Kind"], "the rest")
        return f"where it is wrong, the class is mostly right and {said} is wrong"
    if undecided > wrong:
        return "where it is wrong, it mostly marks no single object"
    if line[OTHER] > wrong:
        return "where it is wrong, the class is mostly wrong"
    return "no one error is the main one"


def _named(tables: Mapping[str, pd.DataFrame], split: str, kind: str) -> str:
    """How good a guess among the objects that the name fits would be, and of anchors."""
    lines = _of(tables, "lies_on_named", split)
    lines = lines[lines["Kind"] == kind] if len(lines) else lines
    if lines.empty or lines[GUESS].iloc[0] > GOOD:  # the name alone says which
        return ""
    text = f"A guess among the objects that the name fits would be right in {_at(lines, GUESS)} %"
    if kind == "relation":
        text += f"; {_at(lines, ANCHOR)} % lie on the object that the relation names (the anchor)"
    return f"{text}."


def _ordinals(tables: Mapping[str, pd.DataFrame], split: str) -> str:
    """Whether it counts: at the ends, and between them."""
    lines = _of(tables, "ordinals", split)
    parts = []
    for asked in ("first", BETWEEN):
        line = lines[lines["Asked"] == asked] if len(lines) else lines
        if len(line):
            parts.append(
                f"{_at(line, OFF[0])} % of the {line[EXPRESSIONS].iloc[0]:,} that ask for "
                f"{'the first' if asked == 'first' else f'one that is {asked}'} "
                f"(a guess: {_at(line, GUESS)} %)"
            )
    return f"At the right place are {' and '.join(parts)}." if parts else ""


def _of(tables: Mapping[str, pd.DataFrame], name: str, split: str) -> pd.DataFrame:
    """A table's lines of a split; empty where the run has no such table."""
    if name not in tables:
        return pd.DataFrame()
    return tables[name][tables[name]["Split"] == split]


def _at(lines: pd.DataFrame, column: str) -> str:
    """A column's first value, as whole percent."""
    return f"{lines[column].iloc[0]:.0f}"
