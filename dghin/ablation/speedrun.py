"""The speedrun: how long a training takes to a given score, from its log and its rows.

    run_speedrun(run)                  # trains and scores val; benchmarks/speedrun.py
    speedrun_table(run.folder)         # the one line that goes into benchmarks/speedrun.md

`dghin verify reports/speedrun` computes the line again from rows and log.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_preprocess.base.errors import UserError
from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.metrics import metrics_from_rows
from dghin.evaluation.provenance import read_rows
from dghin.report.figures.curves import read_log
from dghin.report.proof import write_proof
from dghin.report.tables.scores import write_table
from dghin.run.folder import Run, RunFolder
from dghin.training.launch import launch_training, processes_here

KIND = "speedrun"
PROTOCOL, TARGET = "strict", 65.0  # oIoU on all of val, in percent


def run_speedrun(run: Run) -> Path:
    """Train and score val, into a folder that is new; → the table. The data must be prepared."""
    if RunFolder(run.folder).train.exists():
        raise UserError(
            f"{run.folder}: holds a training. A speedrun starts from nothing: give another "
            "run=NAME, or remove the folder."
        )
    launch_training(
        run.config, run.folder, run.config.train.processes or processes_here(run.config)
    )
    evaluate_run(run.folder, run.config)
    write_table(speedrun_table(run.folder), run.folder / "tables", KIND)
    write_proof(run.folder, KIND, [run.folder])
    return run.folder / "tables" / f"{KIND}.md"


def speedrun_table(folder: Path) -> pd.DataFrame:
    """One row: Commit, Expressions (of val), oIoU in percent, Reached (the target), Steps, Seconds
    (from the first step to the last, by the log: without starting, encoding and the last score)."""
    rows = read_rows(RunFolder(folder).rows("val"))
    log = read_log(RunFolder(folder).log)
    if "kind" not in log or not (steps := log[log["kind"] == "train"]).size:
        raise UserError(f"{RunFolder(folder).log}: no step of a training. Train it again.")
    score = 100 * metrics_from_rows(rows, PROTOCOL)["oiou"]
    line = {
        "Commit": str(rows.attrs.get("provenance", {}).get("commit") or "–")[:9],
        "Expressions": len(rows),
        "oIoU": score,
        "Reached": "yes" if score >= TARGET else "no",
        "Steps": int(steps["iteration"].max()),
        "Seconds": float(steps["elapsed"].max()),
    }
    return pd.DataFrame([line])


def speedrun_tables(folder: Path, runs: Sequence[Path], output: Path) -> None:
    """Write a speedrun's table into <output>/tables, for `dghin.report.proof.verify`."""
    write_table(speedrun_table(folder), output / "tables", KIND)
