"""Proof that a report's numbers are those of its rows.

    dghin verify reports/demo

A report's folder names, in provenance.json, what it was made from: digests of what the rows of its
runs say (not of when and by which command they were written), of what the training has recorded, of
claims.yaml and report.html. `verify` reads those rows, computes every table and metrics.json again,
compares them with the files, and compares the page with its digest. Figures as files are not
checked: they are drawn from the same tables.
"""

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.files import read_json, sha256_file, sha256_json, write_json
from data_preprocess.base.settings import flatten
from dghin.evaluation.predictions.read import sources_digest
from dghin.evaluation.provenance import checkpoint, read_rows, rows_digest
from dghin.report.tables.latex import DOCUMENT
from dghin.report.tables.published import PUBLISHED
from dghin.run.environment import read_environment
from dghin.run.folder import WEIGHTS, RunFolder

FILE = "provenance.json"
PAGE = "report.html"
WITHOUT_PAGE = ("exam", "steadiness", "speedrun")  # kinds of reports that have no report.html
EXAM_PAGE = "exam.html"  # beside it, where the exam was scored; the only page of kind "exam"
OTHERS = ("splits", "overlap", "alignment", "settings", "provenance")  # tables not from rows
ROUNDING = 1e-12  # relative; sums of floats may differ so much between machines
Maker = Callable[[Path, list[Path], Path], Any]  # writes metrics.json and tables/ into the last one


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
    """Note what a report is made from, and its page as it is now. kind: run, comparison, ablation,
    exam.

    names: what the report calls the runs (default: their folders' names).
    """
    names = names or [run.name for run in runs]
    entries = [
        {
            "name": name,
            "folder": _relative(run, folder),
            "rows": digests(run),
            "answers": answer_digests(run),
            "checkpoint": checkpoint(run),
            "training": training_digests(run),
        }
        for name, run in zip(names, runs, strict=True)
    ]
    values = {
        "kind": kind,
        "published": digest(PUBLISHED),
        "claims": digest(RunFolder(folder).claims),
        "review": digest(RunFolder(folder).review),
        "page": digest(folder / PAGE),
        "exam": digest(folder / EXAM_PAGE),
    }
    write_json(folder / FILE, values | {"runs": entries})


def digest(path: Path) -> str | None:
    """The SHA-256 of a file; None where it is missing."""
    return sha256_file(path) if path.is_file() else None


def read_proof(folder: Path) -> dict[str, Any]:
    """What `write_proof` has noted; UserError where there is no such file, or another's."""
    remedy = "Make the report: dghin report run=RUN (or: compare RUN RUN ...)."
    made = read_json(folder / FILE, remedy)
    if not isinstance(made, dict) or not {"kind", "page", "runs"} <= made.keys():
        raise UserError(f"{folder / FILE}: names no runs, or no digest of the page. {remedy}")
    return made


def digests(run: Path) -> dict[str, str]:
    """The digest of what every rows file of a run says (`rows_digest`), by its path in there."""
    paths = sorted(RunFolder(run).all_rows.rglob("*.parquet"))
    return {path.relative_to(run).as_posix(): rows_digest(path) for path in paths}


def answer_digests(run: Path) -> dict[str, str]:
    """The SHA-256 of every file of stored answers of a run, by its path in there."""
    return {
        path.relative_to(run).as_posix(): sha256_file(path)
        for path in sorted((run / "answers").rglob("*.jsonl"))
        if path.parent.name != ".kept"  # of an evaluation that goes on
    }


def training_digests(run: Path) -> dict[str, str]:
    """The SHA-256 of what a training has recorded, by file: log, settings, and the training's part
    of the environment (an evaluation writes there, too). Empty where nothing was trained."""
    files = RunFolder(run)
    if not files.log.is_file():
        return {}
    found = {"environment.json": sha256_json(read_environment(run).get("train"))}
    for path in (files.config, files.log):
        if path.is_file():
            found[path.relative_to(run).as_posix()] = sha256_file(path)
    return found


def verify(folder: Path, makers: Mapping[str, Maker]) -> Verdict:
    """Compute all again and compare; nothing in the folder is changed.

    makers: kind → a function (folder, runs, output) that writes what follows from rows into
    `output`: metrics.json and tables/ of the report.
    """
    folder = Path(folder)
    made = read_proof(folder)
    if made["kind"] not in makers:
        raise unknown_name("kind of report", made["kind"], makers)
    runs = [folder / entry["folder"] for entry in made["runs"]]
    verdict = Verdict()
    held = RunFolder(folder)
    for name, path in (
        ("published", PUBLISHED),
        ("claims", held.claims),
        ("review", held.review),
    ):
        if made.get(name) != digest(path):
            verdict.differences.append(f"{path}: was altered since the report was made")
    for run, entry in zip(runs, made["runs"], strict=True):
        _check_sources(run, entry, verdict)
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "report"
        try:
            makers[made["kind"]](folder, runs, output)
        except (UserError, OSError, ValueError) as error:  # rows that are gone, or no parquet file
            verdict.differences.append(str(error))
        _check_files(folder, output, verdict)
        tables = sorted(output.rglob("*.csv"))
        verdict.tables, verdict.numbers = len(tables), sum(map(_numbers, tables))
    _check_pages(folder, made, verdict)
    return verdict


def _check_pages(folder: Path, made: Mapping[str, Any], verdict: Verdict) -> None:
    """Whether the pages are those that were made; the exam's only where one was."""
    noted = {PAGE: made["page"]} if made["kind"] not in WITHOUT_PAGE else {}
    if made.get("exam") or made["kind"] == "exam":
        noted[EXAM_PAGE] = made.get("exam")
    for name, expected in noted.items():
        page = digest(folder / name)
        if page != expected or page is None:
            state = "was altered since the report was made" if page else "no such file"
            verdict.differences.append(f"{folder / name}: {state}")


def _numbers(path: Path) -> int:
    """How many numbers a table holds."""
    return int(pd.read_csv(path).select_dtypes("number").count().sum())


def _check_sources(run: Path, entry: dict[str, Any], verdict: Verdict) -> None:
    """Whether a run's rows, and its weights, are those that the report was made from."""
    found, weights, there = digests(run), RunFolder(run).best / WEIGHTS, checkpoint(run)
    verdict.rows += len(found)
    if there and entry["checkpoint"] and there != entry["checkpoint"]:
        verdict.differences.append(f"{weights}: was altered since the report was made")
    trained = training_digests(run)
    for name, noted in entry.get("training", {}).items():
        if trained.get(name, noted) != noted:
            what = "what it says of the training" if name.endswith(".json") else "the training's"
            verdict.differences.append(
                f"{run / name}: {what} was altered since the report was made"
            )
    for name in sorted({*found, *entry["rows"]}):
        if found.get(name) != entry["rows"].get(name):
            state = "is gone" if name not in found else "is new" if name not in entry["rows"] else (
                "was altered"
            )  # fmt: skip
            verdict.differences.append(f"{run / name}: {state} since the report was made")
        elif name in found:
            _check_origin(run, name, weights, there, verdict)
    stored = answer_digests(run)
    for name, noted in entry.get("answers", {}).items():
        if stored.get(name, noted) != noted:  # that they are gone is no harm: rows have the counts
            verdict.differences.append(f"{run / name}: was altered since the report was made")


def _check_origin(run: Path, name: str, weights: Path, there: str | None, verdict: Verdict) -> None:
    """Whether the weights, and the saved predictions, that rows are of are those that are here."""
    origin = read_rows(run / name, []).attrs.get("provenance") or {}
    scored = origin.get("checkpoint")
    if there and scored and scored != there:
        verdict.differences.append(
            f"{run / name}: of weights {scored[:12]}, but {weights} is {there[:12]}"
        )
    place = name.removeprefix("rows/").removesuffix(".parquet")
    if source := (origin.get("predictions") or {}).get(place):
        with contextlib.suppress(UserError):  # they are elsewhere: nobody can say
            now = sources_digest(Path(source["path"]), place.rpartition("/")[2])
            if now != source["sha256"]:
                verdict.differences.append(
                    f"{source['path']}: the predictions that {run / name} is of were altered since"
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


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _relative(run: Path, folder: Path) -> str:
    """A run's folder as seen from the report's: both can move together."""
    return Path(os.path.relpath(run, folder)).as_posix()
