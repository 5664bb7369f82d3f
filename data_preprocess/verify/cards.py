"""Counts for people: the split card, one sentence that sums up."""

from typing import TYPE_CHECKING

from data_preprocess.prepared.annotations import COUNTS

from .published import DIFFERS, NOT_PUBLISHED

if TYPE_CHECKING:
    import pandas


def split_card(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """The counts for reading: a row a split; a figure that differs stands beside its published one.

    Columns: data set, split, stage, images, objects, expressions, verdict.
    """
    import pandas

    lines = []
    for key, rows in table.groupby(["dataset", "split", "stage"], sort=False):
        cells = [
            f"{row.found:,} (published {row.published:,})" if row.verdict == DIFFERS
            else f"{row.found:,}"
            for row in rows.itertuples()
        ]  # fmt: skip
        verdicts = set(rows["verdict"])
        verdict = DIFFERS if DIFFERS in verdicts else "same" if "same" in verdicts else ""
        if verdict == "same" and len(verdicts) > 1:
            unknown = rows[rows["verdict"] == NOT_PUBLISHED]["count"]
            verdict += f" ({', '.join(unknown)} not published)"
        lines.append([*key, *cells, verdict or NOT_PUBLISHED])
    return pandas.DataFrame(lines, columns=["data set", "split", "stage", *COUNTS, "verdict"])


def summary(table: "pandas.DataFrame") -> str:
    """One sentence: how many figures are the published ones, and which are not."""
    same = int((table["verdict"] == "same").sum())
    differing = table[table["verdict"] == DIFFERS]
    if not same and differing.empty:
        return "No figures are published to compare these with."
    text = f"{same} of {same + len(differing)} published figures are met"
    if len(differing):
        text += "; the rest differ, so this is not the data set as released"
    return text + "."
