"""Proof that a report's numbers are those of its rows.

    dghin verify reports/demo

A report's folder names, in provenance.json, what it was made from: the rows files of its runs with
their digests. `verify` reads those rows, computes every table and metrics.json anew, and compares
them, cell by cell, with the files and with the tables inside report.html. Sentences and figures
are not checked: they are made from the same tables.
"""

import json
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.files import read_json, sha256_file, write_json
from data_preprocess.base.settings import flatten
from data_preprocess.base.tables import cells
from dghin.model.hub import WEIGHTS
from dghin.report.tables.latex import DOCUMENT
from dghin.report.tables.published import PUBLISHED
from dghin.report.tables.scores import with_intervals
from dghin.run.folder import BEST

FILE = "provenance.json"
PAGE = "report.html"
OTHERS = ("splits", "overlap", "alignment", "settings", "provenance")  # tables not from rows
ROUNDING = 1e-12  # relative; sums of floats may differ so much between machines
Tables = dict[str, pd.DataFrame]


@dataclass
class Verdict:
    """What a verification found."""

    tables: int = 0
    numbers: int = 0  # in the tables' CSV files
    rows: int = 0  # files
    differences: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        if self.differences:
            return "\n".join(["The report does not follow from its rows:", *self.differences])
        return (
            f"verified: {self.numbers:,} numbers in {self.tables} tables follow from "
            f"{self.rows} files of rows"
        )


def write_proof(folder: Path, kind: str, runs: Sequence[Path], names: Sequence[str] = ()) -> None:
    """Note what a report is made from. kind: run, comparison or ablation.

    names: what the report calls the runs (default: their folders' names).
    """
    names = names or [run.name for run in runs]
    entries = [
        {
            "name": name,
            "folder": _relative(run, folder),
            "rows": digests(run),
            "checkpoint": checkpoint(run),
        }
        for name, run in zip(names, runs, strict=True)
    ]
    write_json(folder / FILE, {"kind": kind, "published": published_digest(), "runs": entries})


def published_digest() -> str | None:
    """The SHA-256 of reports/published.csv, which a report shows beside its run's numbers."""
    return sha256_file(PUBLISHED) if PUBLISHED.is_file() else None


def read_proof(folder: Path) -> dict[str, Any]:
    """What `write_proof` has noted; UserError where there is no such file, or another's."""
    remedy = "Make the report anew: dghin report run=RUN (or: compare RUN RUN ...)."
    made = read_json(folder / FILE, remedy)
    if not isinstance(made, dict) or not {"kind", "runs"} <= made.keys():
        raise UserError(f"{folder / FILE}: names no runs. {remedy}")
    return made


def digests(run: Path) -> dict[str, str]:
    """The SHA-256 of every rows file of a run, by its path in there."""
    return {
        path.relative_to(run).as_posix(): sha256_file(path)
        for path in sorted((run / "rows").rglob("*.parquet"))
    }


def checkpoint(run: Path) -> str | None:
    """The SHA-256 of the weights in a run's folder; None where they are elsewhere."""
    path = run / BEST / WEIGHTS
    return sha256_file(path) if path.is_file() else None


def verify(folder: Path, makers: dict[str, Callable[[Path, list[Path], Path], Tables]]) -> Verdict:
    """Compute all anew and compare; nothing in the folder is changed.

    makers: kind → a function (folder, runs, output) that writes metrics.json and tables/ of the
    report into `output` and returns the tables that follow from rows.
    """
    folder = Path(folder)
    made = read_proof(folder)
    if made["kind"] not in makers:
        raise unknown_name("kind of report", made["kind"], makers)
    runs = [folder / entry["folder"] for entry in made["runs"]]
    verdict = Verdict()
    if made.get("published") != published_digest():
        verdict.differences.append(f"{PUBLISHED}: was altered since the report was made")
    for run, entry in zip(runs, made["runs"], strict=True):
        _check_sources(run, entry, verdict)
    tables: Tables = {}
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "report"
        try:
            tables = makers[made["kind"]](folder, runs, output)
        except (UserError, OSError, ValueError) as error:  # rows that are gone, or no parquet file
            verdict.differences.append(str(error))
        _check_files(folder, output, verdict)
        verdict.numbers = sum(map(_numbers, sorted(output.rglob("*.csv"))))
    page = _read(folder / PAGE)
    if page is None:
        verdict.differences.append(f"{folder / PAGE}: no such file")
    else:
        _check_page(page, tables, verdict)
    verdict.tables = len(tables)
    return verdict


def _numbers(path: Path) -> int:
    """How many numbers a table holds."""
    return int(pd.read_csv(path).select_dtypes("number").count().sum())


def _check_sources(run: Path, entry: dict[str, Any], verdict: Verdict) -> None:
    """Whether a run's rows, and its weights, are those that the report was made from."""
    found, weights, there = digests(run), run / BEST / WEIGHTS, checkpoint(run)
    verdict.rows += len(found)
    if there and entry["checkpoint"] and there != entry["checkpoint"]:
        verdict.differences.append(f"{weights}: was altered since the report was made")
    for name in sorted({*found, *entry["rows"]}):
        if found.get(name) != entry["rows"].get(name):
            state = "is gone" if name not in found else "is new" if name not in entry["rows"] else (
                "was altered"
            )  # fmt: skip
            verdict.differences.append(f"{run / name}: {state} since the report was made")
        elif name in found and there:
            scored = pd.read_parquet(run / name).attrs.get("provenance", {}).get("checkpoint")
            if scored and scored != there:
                verdict.differences.append(
                    f"{run / name}: of weights {scored[:12]}, but {weights} is {there[:12]}"
                )


def _check_files(folder: Path, output: Path, verdict: Verdict) -> None:
    """Whether metrics.json and the tables' files are what the rows give."""
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output)
        if not path.is_file() or name.name == DOCUMENT:  # that one shows all tables of a folder
            continue
        there, expected = _read(folder / name), path.read_text(encoding="utf-8")
        if there is None:
            verdict.differences.append(f"{folder / name}: no such file")
        elif there != expected:
            compared = _different_values if path.suffix == ".json" else _different_line
            if found := compared(there, expected):
                verdict.differences.append(f"{folder / name}: {found}")
    made = (output / "tables").is_dir()  # else it was said why not
    for path in sorted((folder / "tables").glob("*.csv")) if made else ():
        if path.stem not in OTHERS and not (output / "tables" / path.name).is_file():
            verdict.differences.append(f"{path}: does not follow from the rows")


def _different_line(there: str, expected: str) -> str:
    pairs = enumerate(zip(there.splitlines(), expected.splitlines(), strict=False), 1)
    found = (f"line {n}: {a!r}, by the rows {b!r}" for n, (a, b) in pairs if a != b)
    return next(found, "longer or shorter")


def _different_values(there: str, expected: str) -> str:
    """The first values of two JSON mappings that differ by more than rounding; "": none."""
    try:
        own = flatten(json.loads(there))
    except (ValueError, AttributeError) as error:
        return f"not readable as JSON ({error})"
    right = flatten(json.loads(expected))
    for key in dict.fromkeys([*right, *own]):
        a, b = own.get(key, "missing"), right.get(key, "missing")
        if a != b and not _is_rounding(a, b):
            return f"{key}: {a}, by the rows {b}"
    return ""


def _is_rounding(a: Any, b: Any) -> bool:
    numbers = isinstance(a, float) and isinstance(b, float)
    return numbers and math.isclose(a, b, rel_tol=ROUNDING)


def _check_page(page: str, tables: Tables, verdict: Verdict) -> None:
    """Whether every table is in the page, cell by cell, and no line that is in none of them."""
    shown = page_tables(page)
    known: dict[tuple[str, ...], list[list[str]]] = {}
    wrong: set[tuple[str, ...]] = set()
    for name, frame in tables.items():
        frame = with_intervals(frame)
        expected = [list(map(str, frame.columns)), *cells(frame)]
        known.setdefault(tuple(expected[0]), []).extend(expected[1:])
        if expected in shown:
            continue
        wrong.add(tuple(expected[0]))
        alike = [table for table in shown if table and table[0] == expected[0]]
        if not alike:
            verdict.differences.append(f"{PAGE}: no table '{name}' with the columns {expected[0]}")
            continue
        verdict.differences.append(f"{PAGE}, table '{name}': {_first_difference(alike, expected)}")
    for table in shown:
        head = tuple(table[0]) if table else ()
        for line in table[1:] if head in known and head not in wrong else ():
            if line not in known[head]:
                verdict.differences.append(f"{PAGE}: a line that is in no table: {line}")


def _first_difference(alike: list[list[list[str]]], expected: list[list[str]]) -> str:
    nearest = max(alike, key=lambda table: sum(line in expected for line in table))
    for there, right in zip(nearest, expected, strict=False):
        for column, a, b in zip(expected[0], there, right, strict=False):
            if a != b:
                return f"{column} of {right[:2]}: {a!r}, by the rows {b!r}"
    return f"{len(nearest)} lines, by the rows {len(expected)}"


def page_tables(page: str) -> list[list[list[str]]]:
    """The tables of an HTML page: lines of cells, as text."""
    reader = _Reader()
    reader.feed(page)
    return reader.tables


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.tables[-1][-1][-1] += data


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _relative(run: Path, folder: Path) -> str:
    """A run's folder as seen from the report's: both can move together."""
    return Path(os.path.relpath(run, folder)).as_posix()
