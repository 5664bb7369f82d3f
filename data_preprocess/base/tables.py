"""Text tables: values as text, and tables in Markdown whose columns line up.

    markdown_table(["Split", "Images"], [["val", 1500], ["testA", None]], right=[False, True])
    to_markdown(frame)                               # the same of a pandas.DataFrame

This module needs no pandas; a frame brings its own methods.
"""

import re
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

# what would be formatting in a cell of Markdown, and what looks like an HTML tag
_MARKDOWN = re.compile(r"[\\|*`~]|<(?=[A-Za-z/!])")


def cell(value: Any) -> str:
    """A value as text: two decimals, thousands separated, a dash where it is missing (None)."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, Integral) else str(value)


def markdown_table(head: Sequence, rows: Iterable[Sequence], right: Sequence[bool]) -> str:
    """Rows of values as a Markdown table that also reads well as plain text.

    right: which columns are aligned to the right, as numbers are.
    """
    text = [[_escape(cell(value)) for value in row] for row in (head, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*text, strict=True)]
    lines = [
        [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        for row in text
    ]
    lines.insert(1, ["-" * (w - r) + ":" * r for w, r in zip(widths, right, strict=True)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_markdown(frame: "pandas.DataFrame") -> str:
    """A frame as a Markdown table; see `markdown_table`."""
    return markdown_table(list(frame.columns), _rows(frame), numeric(frame))


def cells(frame: "pandas.DataFrame") -> list[list[str]]:
    """A frame's cells as text, row by row."""
    return [[cell(value) for value in row] for row in _rows(frame)]


def numeric(frame: "pandas.DataFrame") -> list[bool]:
    """Which columns hold numbers: those are aligned to the right."""
    return [kind.kind in "biufc" for kind in frame.dtypes]


def _rows(frame: "pandas.DataFrame") -> Iterable[tuple]:
    """A frame's values, row by row; None where one is missing, of whatever kind that is."""
    return frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)


def _escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.splitlines()))
