"""The published statistics of every data set and where they come from: statistics.csv."""

from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from data_preprocess.prepared.annotations import COUNTS
from data_preprocess.raw.datasets import DATASETS, Dataset

if TYPE_CHECKING:
    import pandas

DIFFERS, NOT_PUBLISHED = "differs", "not published"


def statistics() -> "pandas.DataFrame":
    """The whole table: dataset, split, images, objects, expressions, source, note."""
    import pandas

    with (resources.files(__package__) / "statistics.csv").open(encoding="utf-8") as file:
        return pandas.read_csv(file)


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
    table = statistics()
    table = table[table["dataset"] == dataset.name]
    return {
        row["split"]: {name: int(row[name]) for name in COUNTS if pandas.notna(row[name])}
        for row in table.to_dict("records")
    }


def beside_published(found: Mapping[str, int], known: Mapping[str, int]) -> list[dict[str, Any]]:
    """A row a count of a split: count, found, published (None where it is not) and verdict."""
    rows = []
    for name in COUNTS:
        figure = known.get(name)
        verdict = NOT_PUBLISHED if figure is None else "same" if figure == found[name] else DIFFERS
        rows.append({"count": name, "found": found[name], "published": figure, "verdict": verdict})
    return rows


def published_sources(dataset: Dataset) -> list[str]:
    """Where a data set's published figures come from, and what is to be known of them."""
    import pandas

    names = dataset.members or (dataset.name,)
    table = statistics()
    splits = {split for name in names for split in DATASETS[name].splits}
    table = table[
        table["dataset"].isin(names) & table["split"].str.removesuffix("_after_drop").isin(splits)
    ]
    lines: dict[str, list[str]] = {}
    for row in table.to_dict("records"):
        note = f" ({row['note']})" if pandas.notna(row["note"]) else ""
        lines.setdefault(f"{row['source']}{note}", []).append(f"{row['dataset']} {row['split']}")
    return [f"{', '.join(splits)}: {source}" for source, splits in lines.items()]
