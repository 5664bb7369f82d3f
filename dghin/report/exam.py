"""The exam's page: does a model read? Beside the report: reports/<run>/exam.html.

    dghin exam run=demo            score what is missing, then the page
    dghin exam runs=demo,lavt      several models on one card: reports/exam-demo-lavt/exam.html

Everything is made from rows (dghin.report.tables.exam); `dghin verify reports/demo` computes the
tables again.
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
    verdicts_beside,
)
from dghin.report.tables.results import settings_of, write_results
from dghin.report.tables.scores import Results, read_results, with_intervals, write_table
from dghin.run.folder import RunFolder

from .page import render

TEMPLATE = "exam.html"
EXAM_PAGE = "exam.html"
CARD = "exam_card"


def write_exam(folder: Path, split: str = "") -> Path:
    """Write all tables of a run and its exam.html; → the page.

    split: the one that the verdicts are of (default: the first test split that was scored).
    UserError where no control of the text was scored.
    """
    results = _scored(folder)
    tables = write_results(results, folder)
    path = folder / EXAM_PAGE
    write_text(path, render(TEMPLATE, contents(folder, results, tables, split)))
    return path


def _scored(folder: Path) -> Results:
    results = read_results(folder)
    if not has_exam(results):
        raise UserError(
            f"{folder / 'rows'}: no rows of the exam. Score it: dghin exam run={folder.name}"
        )
    return results


def contents(
    folder: Path, results: Results, tables: Mapping[str, pd.DataFrame], split: str = ""
) -> dict[str, Any]:
    """Everything that the template shows of one run."""
    frame, card = tables["exam"], tables[CARD]
    chosen = chosen_split([folder], [frame], split)
    return {
        "title": f"Does “{folder.name}” read?",
        "who": {folder.name: _facts(folder)},
        "split": chosen,
        "splits": list(dict.fromkeys(frame["Split"])),
        "headline": card.loc[card["Split"] == chosen, ["Question", "Verdict"]],
        "card": with_intervals(card[card["Split"] == chosen].drop(columns="Split")),
        "others": {
            name: with_intervals(part.drop(columns="Split"))
            for name, part in card.groupby("Split", sort=False)
            if name != chosen
        },
        "by_kind": with_intervals(frame[frame["Kind"] != ALL]),
        "full": with_intervals(frame[frame["Kind"] == ALL]),
        "protocol": frame["Protocol"].iloc[0],
        "command": f"dghin exam run={folder.name}",
        "verify": f"dghin verify reports/{folder.name}",
        **_explained(),
    }


def _explained() -> dict[str, Any]:
    """What every exam's page says of its rules and of the references."""
    return {
        "rules": RULES,
        "rule_of": {
            rule: [question.control for question in QUESTIONS if question.rule == rule]
            for rule in RULES
        },
        "few": FEW,
        "references": references_beside(),
    }


def _facts(folder: Path) -> dict[str, str]:
    """Who answered; a run without any settings is at least named."""
    return about_run(folder, settings_of(folder)).facts()


def chosen_split(folders: Sequence[Path], frames: Sequence[pd.DataFrame], split: str = "") -> str:
    """The split that the verdicts are of: `split`, or the first test split that all have scored.

    UserError where they share none, or not the one that is asked for.
    """
    shared = [
        name for name in dict.fromkeys(frames[0]["Split"])
        if all(name in set(frame["Split"]) for frame in frames)
    ]  # fmt: skip
    if split and split not in shared:
        raise UserError(
            f"split '{split}': not scored under the exam by every run; shared: "
            f"{', '.join(shared) or 'none'}. Score it: dghin exam run=RUN split={split}"
        )
    if not shared:
        names = ", ".join(folder.name for folder in folders)
        raise UserError(f"{names}: no split that all of them were examined on. Score one with all.")
    config = settings_of(folders[0])
    tests = [name for name in (config.data.test_splits if config else ()) if name in shared]
    return split or (tests or shared)[0]


def compare_exams(names: Sequence[str], reports: Path, split: str = "") -> Path:
    """Several runs on one card: reports/exam-<names>/exam.html and its tables; → the page."""
    if len(set(names)) < 2:
        raise UserError(f"runs={','.join(names)}: name two runs or more, each once.")
    folders = [Path(reports) / name for name in names]
    frames = {folder.name: exam_table(_scored(folder)) for folder in folders}
    chosen = chosen_split(folders, list(frames.values()), split)
    card = beside(frames, chosen)
    full = pd.concat([frame.assign(Run=name) for name, frame in frames.items()])
    full = full[["Run", *full.columns.drop("Run")]]
    output = Path(reports) / f"exam-{'-'.join(names)}"
    write_table(card, RunFolder(output).tables, CARD)
    write_table(full, RunFolder(output).tables, "exam")
    values = {
        "title": f"Do they read? {', '.join(names)}",
        "who": {folder.name: _facts(folder) for folder in folders},
        "split": chosen,
        "splits": list(dict.fromkeys(full["Split"])),
        "headline": verdicts_beside(frames, chosen),
        "card": card,
        "others": {},
        "by_kind": with_intervals(full[full["Kind"] != ALL]),
        "full": with_intervals(full[full["Kind"] == ALL]),
        "protocol": full["Protocol"].iloc[0],
        "command": f"dghin exam runs={','.join(names)}",
        "verify": "",
        **_explained(),
    }
    write_text(output / EXAM_PAGE, render(TEMPLATE, values))
    return output / EXAM_PAGE
