"""The exam's page: does a model read? Beside the report: reports/<run>/exam.html.

    dghin exam run=demo            score what is missing, then report and page
    dghin exam runs=demo,lavt      several models on one card: reports/exam-demo-lavt/exam.html

Everything is made from rows (dghin.report.tables.exam); `dghin verify FOLDER` computes the tables
again, of either.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_text
from dghin.evaluation.segmenters.about import about_run
from dghin.report.tables.exam import (
    ALL,
    FEW,
    QUESTIONS,
    RULES,
    beside,
    exam_table,
    has_exam,
    references_beside,
    shared_splits,
    verdicts_beside,
)
from dghin.report.tables.results import settings_of
from dghin.report.tables.scores import read_results, with_intervals, write_table
from dghin.run.folder import RunFolder

from .page import render
from .proof import EXAM_PAGE, write_proof

TEMPLATE = "exam.html"
EXAM, CARD = "exam", "exam_card"  # tables


def write_exam_page(folder: Path, tables: Mapping[str, pd.DataFrame], split: str = "") -> Path:
    """Write a run's exam.html from its tables; → the page.

    split: the one that the verdicts are of (default: the first test split that was scored).
    """
    chosen = chosen_split(folder, {folder.name: tables[EXAM]}, split)
    cards = {
        name: with_intervals(part.drop(columns="Split"))
        for name, part in tables[CARD].groupby("Split", sort=False)
    }
    shown = _page([folder], chosen, tables[EXAM], cards)
    shown["headline"] = shown["card"][["Question", "Verdict"]]
    shown |= {"title": f"Does “{folder.name}” read?", "command": f"dghin exam run={folder.name}"}
    write_text(folder / EXAM_PAGE, render(TEMPLATE, shown))
    return folder / EXAM_PAGE


def compare_exams(names: Sequence[str], reports: Path, split: str = "") -> Path:
    """Several runs on one card: reports/exam-<names>/exam.html and its tables; → the page."""
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise UserError(f"runs={','.join(names)}: name two runs or more, each once.")
    folders = [Path(reports) / name for name in names]
    frames = {folder.name: _scored(folder) for folder in folders}
    chosen = chosen_split(folders[0], frames, split)
    output = Path(reports) / f"exam-{'-'.join(names)}"
    full = _write_tables(frames, output)[EXAM]
    cards = {name: beside(frames, name) for name in shared_splits(frames.values())}
    shown = _page(folders, chosen, full, cards)
    shown["headline"] = verdicts_beside(frames, chosen)
    shown |= {
        "title": f"Do they read? {', '.join(names)}",
        "command": f"dghin exam runs={','.join(names)}",
    }
    write_text(output / EXAM_PAGE, render(TEMPLATE, shown))
    write_proof(output, "exam", folders)
    return output / EXAM_PAGE


def exam_tables(folder: Path, runs: Sequence[Path], output: Path) -> dict[str, pd.DataFrame]:
    """Write the tables of several runs' exams into `output`, from their rows; for `verify`."""
    return _write_tables({run.name: _scored(run) for run in runs}, output)


def _write_tables(frames: Mapping[str, pd.DataFrame], output: Path) -> dict[str, pd.DataFrame]:
    """All controls by run, and the card of every split that all were examined on."""
    full = pd.concat([frame.assign(Run=name) for name, frame in frames.items()])
    shared = shared_splits(frames.values())
    cards = pd.concat([beside(frames, name).assign(Split=name) for name in shared])
    tables = {
        EXAM: full[["Run", *full.columns.drop("Run")]],
        CARD: cards[["Split", *cards.columns.drop("Split")]],
    }
    for name, frame in tables.items():
        write_table(frame.reset_index(drop=True), RunFolder(output).tables, name)
    return tables


def _scored(folder: Path) -> pd.DataFrame:
    """The exam's table of a run; UserError where it was not scored."""
    results = read_results(folder)
    check_scored(folder, has_exam(results))
    return exam_table(results)


def check_scored(folder: Path, scored: bool) -> None:
    """An error unless the exam of a run was scored."""
    if not scored:
        raise UserError(
            f"{folder / 'rows'}: no rows of the exam. Score it: dghin exam run={folder.name}"
        )


def _page(
    folders: Sequence[Path], split: str, frame: pd.DataFrame, cards: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """What every exam's page shows: cards by split, the full table, rules, references, who."""
    rule_of = {rule: [one.control for one in QUESTIONS if one.rule == rule] for rule in RULES}
    protocols = ", ".join(dict.fromkeys(frame["Protocol"]))
    return {
        "who": {folder.name: about_run(folder, settings_of(folder)).facts() for folder in folders},
        "split": split,
        "card": cards[split],
        "others": {name: card for name, card in cards.items() if name != split},
        "full": with_intervals(frame[frame["Kind"] == ALL]),
        "by_kind": with_intervals(frame[frame["Kind"] != ALL]),
        "protocol": protocols,
        "rules": RULES,
        "rule_of": rule_of,
        "few": FEW,
        "references": references_beside(),
    }


def chosen_split(first: Path, frames: Mapping[str, pd.DataFrame], split: str = "") -> str:
    """The split that the verdicts are of: `split`, or the first test split that all have scored.

    first: the folder of the run whose settings say which splits are test splits. UserError where
    they share none, or not the one that is asked for.
    """
    shared = shared_splits(frames.values())
    if split and split not in shared:
        raise UserError(
            f"split '{split}': the exam of {', '.join(frames)} was not scored on it, but on: "
            f"{', '.join(shared) or 'none'}. Score it: dghin exam run=RUN split={split}"
        )
    if not shared:
        raise UserError(
            f"{', '.join(frames)}: no split that all of them were examined on. Score the same "
            "split with all: dghin exam run=RUN split=NAME"
        )
    config = settings_of(first)
    tests = [name for name in (config.data.test_splits if config else ()) if name in shared]
    return split or (tests or shared)[0]
