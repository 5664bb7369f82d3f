"""Counts of a raw data set beside the published ones.

    verify(VerifySettings(dataset="referit", data="data"))      # a table, one row a count

The published figures and where they come from are in statistics.csv.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import sha256_file
from .datasets import Dataset, find_dataset
from .raw import read_raw
from .records import Record
from .referit import is_unreadable

if TYPE_CHECKING:
    import pandas

COUNTS = ("images", "objects", "expressions")
BEFORE, AFTER = "as released", "without unreadable images"


@dataclass(frozen=True)
class VerifySettings:
    dataset: str = "refcoco"
    data: str = "data"  # the raw root
    strict: bool = False  # exit with 1 if a figure differs


def verify(settings: VerifySettings) -> "pandas.DataFrame":
    """Counts per split beside the published ones; neither images nor masks are needed.

    Columns: dataset, split, stage, count ("images", "objects", "expressions"), found, published
    (missing where none is published), verdict ("same", "differs", "not published"). ReferIt is
    counted twice: as released, and without the three images that no one can read. The SHA-256
    of the raw files are in the table's attrs["sources"].
    """
    import pandas

    dataset = find_dataset(settings.dataset)
    published = published_counts(dataset)
    raw = read_raw(Path(settings.data), dataset, drop=False)
    stages = {BEFORE: raw.splits}
    if dataset.reader == "referit":
        stages[AFTER] = {
            split: [record for record in records if not is_unreadable(record.image)]
            for split, records in raw.splits.items()
        }
    rows = []
    for stage, splits in stages.items():
        for split, records in splits.items():
            known = published.get(f"{split}_after_drop" if stage == AFTER else split, {})
            for name, found in count_records(records).items():
                rows.append(_row(dataset, split, stage, name, found, known.get(name)))
    table = pandas.DataFrame(rows)
    table["published"] = table["published"].astype("Int64")
    table.attrs["sources"] = {
        path.relative_to(settings.data).as_posix(): sha256_file(path) for path in raw.sources
    }
    return table


def count_records(records: list[Record]) -> dict[str, int]:
    """Images, objects and expressions among the records of a split."""
    found = (
        len({record.image for record in records}),
        len(records),
        sum(len(record.sentences) for record in records),
    )
    return dict(zip(COUNTS, found, strict=True))


def published_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """split -> count name -> published figure, for the splits of a data set."""
    import pandas

    with (resources.files(__package__) / "statistics.csv").open(encoding="utf-8") as file:
        table = pandas.read_csv(file)
    table = table[table["dataset"] == dataset.name]
    return {
        row["split"]: {name: int(row[name]) for name in COUNTS if pandas.notna(row[name])}
        for row in table.to_dict("records")
    }


def markdown(table: "pandas.DataFrame") -> str:
    """A table as Markdown; numbers with thousands separators, missing ones as a dash."""
    rows = [list(table.columns), ["---"] * len(table.columns)]
    rows += [[_cell(value) for value in row] for row in table.astype(object).values.tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def summary(table: "pandas.DataFrame") -> str:
    """One sentence: how many figures are the published ones, and which are not."""
    same = int((table["verdict"] == "same").sum())
    differing = table[table["verdict"] == "differs"]
    text = f"{same} of {same + len(differing)} published figures are met"
    if len(differing):
        text += "; the rest differ, so this is not the data set as released"
    return text + "."


def _row(
    dataset: Dataset, split: str, stage: str, name: str, found: int, published: int | None
) -> Mapping[str, Any]:
    verdict = "not published" if published is None else "same" if published == found else "differs"
    return {
        "dataset": dataset.name, "split": split, "stage": stage, "count": name, "found": found,
        "published": published, "verdict": verdict,
    }  # fmt: skip


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else "–"
