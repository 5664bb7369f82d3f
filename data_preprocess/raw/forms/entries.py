"""Rows and entries of the forms' files: read a few at a time, checked one by one.

Whose file it is, nobody knows: no error here speaks of a release.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.values import four_numbers, is_text, shown
from data_preprocess.raw.datasets import Dataset
from data_preprocess.raw.records import Record
from data_preprocess.raw.refer import by_split

AGAIN = "Correct it, or get the file again."
_ROWS = 256  # of a Parquet file that are in memory at once; rows with photos in them: a few
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")


def parquet_columns(path: Path) -> list[str]:
    """The names of a Parquet file's columns; an unreadable file is an error."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return list(file.schema_arrow.names)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as Parquet ({error}). {AGAIN}") from error


def parquet_rows(
    path: Path, columns: Sequence[str], rows: int = _ROWS
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, row) of these columns, one row group after the other, `rows` in memory at once."""
    import pyarrow
    import pyarrow.parquet

    there = parquet_columns(path)
    for name in columns:
        if name not in there:
            raise UserError(
                f"{path}: no column '{name}'; it has {', '.join(there)}. Choose its form with "
                "form=NAME (see 'dghin data prepare --help')."
            )
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                batches = file.iter_batches(
                    rows, row_groups=[group], columns=list(columns), use_threads=False
                )
                for batch in batches:
                    for row in batch.to_pylist():
                        yield number, row
                        number += 1
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}, row {number}: not readable ({error}). {AGAIN}") from error


def needed(entry: Any, keys: Iterable[str], where: str) -> dict[str, Any]:
    """The entry, if it is a mapping with a value for each of the keys."""
    if not isinstance(entry, dict):
        raise UserError(f"{where}: {shown(entry)} is no object with names and values. {AGAIN}")
    for key in keys:
        if entry.get(key) is None:
            raise UserError(f"{where}: no '{key}'. {AGAIN}")
    return entry


def listed(value: Any, where: str, what: str) -> list[Any]:
    """The value, if it is a list that is not empty."""
    if not isinstance(value, list) or not value:
        raise UserError(f"{where}: {what} {shown(value)} is no list with something in it. {AGAIN}")
    return value


def json_text(value: Any, where: str, key: str) -> Any:
    """What a text of JSON inside a row says."""
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: '{key}' is not readable as JSON ({error}). {AGAIN}") from error


def from_corners(corners: Any, where: str) -> tuple[float, ...]:
    """A box x1 y1 x2 y2 as COCO's x y width height; empty where there is none."""
    corners = four_numbers(corners, where, AGAIN)
    if not corners:
        return ()
    x1, y1, x2, y2 = corners
    if x2 < x1 or y2 < y1:
        raise UserError(
            f"{where}: the box {shown(corners)} is not x1 y1 x2 y2 (left, top, right, bottom). "
            f"{AGAIN}"
        )
    return (x1, y1, x2 - x1, y2 - y1)


def split_name(split: Any, dataset: Dataset, where: str) -> str:
    """The split as this kit names it: the hub's `validation` is val, and its `test` is testA
    where the data set has testA and testB."""
    if not is_text(split) or not _SPLIT.fullmatch(split) or split == "manifest":
        raise UserError(
            f"{where}: split {shown(split)}. Name it with letters, digits, _, + and -, such as "
            "train, val or test."
        )
    if split == "validation":
        return "val"
    has_test_a = "testA" in dataset.splits and "test" not in dataset.splits
    return "testA" if split == "test" and has_test_a else split


def collect(
    pairs: Iterable[tuple[str, Record]], dataset: Dataset, path: Path
) -> dict[str, list[Record]]:
    """The records by split. Of a data set of your own: every split of the files, in their order.

    Masks are named by segment_id, so two of one id are an error.
    """
    pairs = _without_repeats(pairs)
    if dataset.splits:
        return by_split(pairs, dataset, path, "Give the files of this data set with raw=FOLDER.")
    splits: dict[str, list[Record]] = {}
    for split, record in pairs:
        splits.setdefault(split_name(split, dataset, record.where), []).append(record)
    if not splits:
        raise UserError(f"{path}: no object in it. {AGAIN}")
    return splits


def _without_repeats(pairs: Iterable[tuple[str, Record]]) -> Iterator[tuple[str, Record]]:
    known: dict[str, str] = {}
    for split, record in pairs:
        first = known.setdefault(record.segment_id, record.where)
        if first is not record.where:
            raise UserError(
                f"{record.where}: the id {record.segment_id} is that of another object, too "
                f"({first}). Give each object an id of its own."
            )
        yield split, record
