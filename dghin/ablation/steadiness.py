"""How steady a training is: the same run over seeds, processes, threads and instruction sets.

    run_study(run)                        # trains and scores every case; benchmarks/steady.py
    steadiness_table(read_cases(folder))  # oIoU by case, then mean, standard deviation, worst

Every case stands in reports/<run>/runs/<case>, as a run of its own. `dghin verify reports/<run>`
computes the table again from the rows.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.settings import build, to_mapping
from dghin.evaluation.metrics import metrics_from_rows
from dghin.report.proof import write_proof
from dghin.report.tables.scores import read_results, write_table
from dghin.run.config import Config
from dghin.run.folder import Run, RunFolder

from .trainings import bring_up_to_date

log = logging.getLogger(__name__)
KIND = "steadiness"
PROTOCOL = "strict"
MEAN, SPREAD, WORST = "mean", "standard deviation", "worst, below the mean"


@dataclass(frozen=True)
class Case:
    """One training of the study: what it is called, its settings, the environment it starts in."""

    name: str
    settings: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return self.name.replace(",", "").replace(" ", "-")


ONE = ("train.processes=1", "train.threads=1")
NO_AVX512 = (("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"))
CASES = (
    *(Case(f"seed {seed}", (*ONE, f"train.seed={seed}")) for seed in range(5)),
    Case("seed 0, two processes", ("train.processes=2", "train.threads=1", "train.seed=0")),
    Case("seed 0, two threads", ("train.processes=1", "train.threads=2", "train.seed=0")),
    Case("seed 0, without AVX-512", (*ONE, "train.seed=0"), NO_AVX512),
)


def run_study(run: Run, cases: Sequence[Case] = CASES) -> Path:
    """Train and score what is not up to date; → the study's table. The data must be prepared.

    Instruction sets are chosen when torch is loaded: by the environment of a training's process.
    """
    for case in cases:
        log.info("%s", case.name)
        config = build(Config, to_mapping(run.config), case.settings)
        folder = RunFolder(run.folder).runs / case.folder
        bring_up_to_date(folder, config, config.train.processes, dict(case.environment))
    return write_study(run.folder)


def read_cases(folder: Path) -> dict[str, Path]:
    """The cases in a study's folder that have rows, in the order of CASES: name → folder."""
    paths = {case.name: RunFolder(folder).runs / case.folder for case in CASES}
    found = {name: path for name, path in paths.items() if RunFolder(path).all_rows.is_dir()}
    if not found:
        raise UserError(f"{folder}: no rows of a study. Make them: python benchmarks/steady.py")
    return found


def steadiness_table(cases: dict[str, Path]) -> pd.DataFrame:
    """A row a case, with strict oIoU in percent of every split; then over all cases the mean, the
    standard deviation (n - 1), and how far below its mean the worst case is, in points."""
    lines = []
    for name, folder in cases.items():
        found = {
            split: 100 * metrics_from_rows(rows, PROTOCOL)["oiou"]
            for split, rows in read_results(folder)[""].items()
        }
        lines.append({"Case": name, **found})
    table = pd.DataFrame(lines)
    splits = table.columns[1:]
    values = table[splits]
    summary = {
        MEAN: values.mean(),
        SPREAD: values.std(ddof=1),
        WORST: values.mean() - values.min(),
    }
    last = [{"Case": name, **numbers.to_dict()} for name, numbers in summary.items()]
    return pd.concat([table, pd.DataFrame(last)], ignore_index=True)


def write_study(folder: Path) -> Path:
    """Write the study's table (Markdown, CSV, LaTeX) and its proof; → the Markdown file."""
    cases = read_cases(folder)
    write_table(steadiness_table(cases), folder / "tables", KIND)
    write_proof(folder, KIND, list(cases.values()), list(cases))
    return folder / "tables" / f"{KIND}.md"


def study_tables(folder: Path, runs: Sequence[Path], output: Path) -> None:
    """Write a study's table into <output>/tables, for `dghin.report.proof.verify`."""
    wanted = {run.resolve() for run in runs}
    cases = read_cases(folder)
    there = {name: path for name, path in cases.items() if path.resolve() in wanted}
    write_table(steadiness_table(there), output / "tables", KIND)
