"""Several runs side by side: one page with intervals, paired differences and what differs.

    dghin compare demo wide        reports/compare-demo-wide/report.html

The first run is the one that the others are compared with. Everything is made from files that the
runs have left: rows, config.yaml, environment.json, train/log.jsonl.
"""

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.files import write_text
from dghin.report.figures.compare import interval_figure, validation_figure
from dghin.report.figures.curves import read_log
from dghin.report.figures.masks import mask_comparison_figure
from dghin.report.tables.compare import (
    ComparedRun,
    differences_table,
    provenance_table,
    read_run,
    scores_table,
    seeds_table,
    settings_table,
)
from dghin.report.tables.latex import write_latex_document
from dghin.report.tables.origins import origin_warnings, read_origin
from dghin.report.tables.scores import remove_table, with_intervals, write_table
from dghin.run.folder import REPORTS

from .compare_masks import MOST, compared_masks
from .page import render, save_figures
from .proof import PAGE, read_proof, write_proof

TEMPLATE = "compare.html"
MASKS = {"apart": "Where the runs are furthest apart", "random": "Drawn at random, by a seed"}
LONGEST = 100  # characters of a folder's name


def compare_runs(names: Sequence[str], reports: Path, output: Path | None = None) -> Path:
    """Compare runs by name, the first with every other; → the page.

    output: the folder to write into (default: <reports>/compare-<name>-<name>). UserError with
    fewer than two runs, for one that is not there, and where `output` is a run's own folder.
    """
    reports = Path(reports)
    if len(names) < 2:
        raise UserError(
            f"{len(names)} run{'s' * (len(names) != 1)} to compare; it takes two or more. "
            f"{_known_runs(reports)}"
        )
    for name in names:
        if list(names).count(name) > 1:
            raise UserError(f"run '{name}' is named twice. Name every run once.")
        if not (reports / name).is_dir():
            known = runs_of(reports)
            raise unknown_name("run", name, known) if known else UserError(_known_runs(reports))
    output = Path(output) if output else reports / folder_name(names)
    if (output / "rows").is_dir() or (output / "runs").is_dir():
        raise UserError(f"{output}: a run's own folder. Give another output folder.")
    words = [f"reports={reports}"] if reports != REPORTS else []
    words += [f"output={output}"] if output != reports / folder_name(names) else []
    command = shlex.join(["dghin", "compare", *names, *words])
    return compare([reports / name for name in names], output, command)


def runs_of(reports: Path) -> list[str]:
    """The runs that have rows, by name; those of an ablation as <run>/runs/<member>."""
    found = [*reports.glob("*/rows"), *reports.glob("*/runs/*/rows")]
    return sorted(path.parent.relative_to(reports).as_posix() for path in found)


def folder_name(names: Sequence[str]) -> str:
    """compare-<name>-<name>…, cut and made distinct by a digest where it would be too long."""
    name = "-".join(["compare", *names]).replace("/", "-")
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def compare(folders: Sequence[Path], output: Path, command: str = "") -> Path:
    """Compare the runs in `folders`: tables, figures and one self-contained page; → the page.

    command: what makes the page again, to be shown there.
    """
    folders = [Path(folder) for folder in folders]
    named = zip(folders, labels(folders), strict=True)
    runs = [read_run(folder, name) for folder, name in named]
    differences, notes = differences_table(runs)
    tables = row_tables(runs, differences) | {
        "settings": settings_table(runs),
        "provenance": provenance_table(runs),
    }
    _write_tables(tables, output)
    protocol = main_protocol(tables["scores"], differences)
    values = {
        "protocol": protocol,
        "runs": [run.name for run in runs],
        "tables": {name: with_intervals(table) for name, table in tables.items()},
        "notes": notes,
        "warnings": origin_warnings([read_origin(run.folder, run.name) for run in runs]),
        "without_settings": [run.name for run in runs if run.config is None],
        "figures": write_figures(runs, tables, protocol, output / "figures"),
        "most": MOST,
        "command": command,
        "folder": output.as_posix(),
    }
    write_text(output / PAGE, render(TEMPLATE, values))
    write_proof(output, "comparison", folders, [run.name for run in runs])
    return output / PAGE


def main_protocol(scores: pd.DataFrame, differences: pd.DataFrame) -> str:
    """The protocol that runs are compared under: `strict`, or what they have in common instead."""
    compared = [name for name in differences.get("Protocol", ()) if name]
    return next(iter([*compared, *scores["Protocol"]]), "strict")


def row_tables(runs: Sequence[ComparedRun], differences: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of a comparison that follow from rows, by name."""
    return {
        "scores": scores_table(runs),
        "differences": differences,
        "seeds": seeds_table(runs),
    }


def comparison_tables(folder: Path, runs: Sequence[Path], output: Path) -> None:
    """Write the tables that follow from rows into <output>/tables.

    For `proof.verify`. folder: the comparison's, whose provenance.json holds the runs' names.
    """
    names = [entry["name"] for entry in read_proof(folder)["runs"]]
    read = [read_run(path, name) for path, name in zip(runs, names, strict=True)]
    _write_tables(row_tables(read, differences_table(read)[0]), output)


def _write_tables(tables: dict[str, pd.DataFrame], output: Path) -> None:
    for name, table in tables.items():
        remove_table(output / "tables", name)
        if len(table):
            write_table(table, output / "tables", name)
    write_latex_document(output / "tables")


def write_figures(
    runs: Sequence[ComparedRun], tables: dict[str, Any], protocol: str, folder: Path
) -> dict:
    """Save the figures as PNG and PDF; → {name: PNG as a data URI}, without those of no data."""
    logs = {run.name: run.folder / "train" / "log.jsonl" for run in runs}
    made = {
        "scores": interval_figure(tables["scores"], "oIoU", protocol),
        "validation": validation_figure({n: read_log(p) for n, p in logs.items() if p.is_file()}),
    }
    masks = compared_masks(runs)
    for choice, title in MASKS.items():
        made[f"masks_{choice}"] = (
            mask_comparison_figure(masks[choice], title) if choice in masks else None
        )
    return save_figures(made, folder)


def labels(folders: Sequence[Path]) -> list[str]:
    """What the page calls the runs: their folders' names, with parents where those are equal."""
    for parts in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"{folders[0]}: a run cannot be compared with itself. Name every run once.")


def _known_runs(reports: Path) -> str:
    known = runs_of(reports)
    if not known:
        return f"{reports}: no run with scores. Make one: dghin evaluate run=RUN."
    return f"Runs in {reports}: {', '.join(known)}."
