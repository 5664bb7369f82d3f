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
from .datasets import DATASETS, TRAIN, Dataset, find_dataset
from .joint import TOGETHER, held_out
from .raw import read_raw
from .records import Raw, Record
from .referit import is_unreadable

if TYPE_CHECKING:
    import pandas

COUNTS = ("images", "objects", "expressions")
BEFORE, AFTER = "as released", "without unreadable images"
JOINED = "without held-out images"


@dataclass(frozen=True)
class VerifySettings:
    dataset: str = "refcoco"
    data: str = "data"  # the raw root
    strict: bool = False  # exit with 1 if a figure differs
    members: tuple[str, ...] = ()  # of `joint`; empty: refcoco, refcoco+, refcocog_umd


def verify(settings: VerifySettings) -> "pandas.DataFrame":
    """Counts per split beside the published ones; neither images nor masks are needed.

    Columns: dataset, split, stage, count ("images", "objects", "expressions"), found, published
    (missing where none is published), verdict ("same", "differs", "not published"). ReferIt is
    counted twice: as released, and without the three images that no one can read. Of `joint`, the
    members are counted as released; then what is left of their train splits, and `joint` itself.
    The SHA-256 of the raw files are in the table's attrs["sources"].
    """
    import pandas

    dataset = find_dataset(settings.dataset, settings.members)
    names = dataset.members or (dataset.name,)
    raws = {n: read_raw(Path(settings.data), DATASETS[n], drop=False) for n in names}
    rows = [row for name, raw in raws.items() for row in _rows(DATASETS[name], raw)]
    rows += _joint_rows(dataset, raws) if dataset.members else []
    table = pandas.DataFrame(rows)
    table["published"] = table["published"].astype("Int64")
    sources = dict.fromkeys(path for raw in raws.values() for path in raw.sources)
    table.attrs["sources"] = {
        path.relative_to(settings.data).as_posix(): sha256_file(path) for path in sources
    }
    return table


def _rows(dataset: Dataset, raw: Raw) -> list[Mapping[str, Any]]:
    """Every split as released; of ReferIt also without the unreadable images."""
    published = published_counts(dataset)
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
            rows += _split_rows(dataset.name, split, stage, records, known)
    return rows


def _joint_rows(dataset: Dataset, raws: Mapping[str, Raw]) -> list[Mapping[str, Any]]:
    """What is left of the members' train splits, and the splits that they make together."""
    images = {
        name: {split: [record.image for record in records] for split, records in raw.splits.items()}
        for name, raw in raws.items()
    }
    held = held_out(images)
    rows, joint = [], {split: [] for split in TOGETHER}
    for name, raw in raws.items():
        left = [record for record in raw.splits.get(TRAIN, []) if record.image not in held]
        rows += _split_rows(name, TRAIN, JOINED, left, {})
        for split in joint:
            joint[split] += left if split == TRAIN else raw.splits.get(split, [])
    for split, records in joint.items():
        stage = JOINED if split == TRAIN else BEFORE
        rows += _split_rows(dataset.name, split, stage, records, {}) if records else []
    return rows


def count_records(records: list[Record]) -> dict[str, int]:
    """Images, objects and expressions among the records of a split."""
    found = (
        len({record.image for record in records}),
        len(records),
        sum(len(record.sentences) for record in records),
    )
    return dict(zip(COUNTS, found, strict=True))


def published_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """split -> count name -> published figure, for the splits of a data set.

    Of `joint`, those of its members' own val and test splits (refcoco_testA).
    """
    import pandas

    if dataset.members:
        return {
            f"{name}_{split}": found
            for name in dataset.members
            for split, found in published_counts(DATASETS[name]).items()
            if f"{name}_{split}" in dataset.splits
        }

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


def _split_rows(
    dataset: str, split: str, stage: str, records: list[Record], published: Mapping[str, int]
) -> list[Mapping[str, Any]]:
    """One row a count."""
    rows = []
    for name, found in count_records(records).items():
        known = published.get(name)
        verdict = "not published" if known is None else "same" if known == found else "differs"
        rows.append({
            "dataset": dataset, "split": split, "stage": stage, "count": name, "found": found,
            "published": known, "verdict": verdict,
        })  # fmt: skip
    return rows


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else "–"
