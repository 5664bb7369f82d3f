"""The speedrun's line follows from rows and log, and verify says so."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from helpers.ablation_folders import scored_rows

from data_preprocess.base.errors import UserError
from dghin.ablation.speedrun import KIND, run_speedrun, speedrun_table, speedrun_tables
from dghin.report.run_report import verify_report
from dghin.run.folder import Run, RunFolder

ROOT = Path(__file__).parents[2]


def check(folder):
    return verify_report(folder, {KIND: speedrun_tables})


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)])
def launched(request):
    """By torchrun; else in this process, which saves seconds."""
    if not request.param:
        request.getfixturevalue("without_torchrun")


@pytest.mark.usefixtures("launched")
def test_a_whole_speedrun(tiny_config, tmp_path):
    data = dataclasses.replace(tiny_config.data, test_splits=())
    run = Run("quick", dataclasses.replace(tiny_config, data=data), tmp_path / "quick")
    page = run_speedrun(run)
    (line,) = pd.read_csv(page.with_suffix(".csv")).to_dict("records")
    assert line["Steps"] == tiny_config.train.iterations and line["Seconds"] > 0
    assert line["Reached"] == "no" and line["Expressions"] > 0
    assert check(run.folder).startswith("verified: ")
    with pytest.raises(UserError, match="starts from nothing"):
        run_speedrun(run)
    table = page.with_suffix(".csv")
    table.write_text(table.read_text().replace("no", "yes"))
    with pytest.raises(UserError, match=r"speedrun\.csv: line"):
        check(run.folder)


def test_the_records_follow_from_their_rows_and_logs():
    """Every folder of the record is verified, and its line stands on the page."""
    records = ROOT / "benchmarks" / "speedrun"
    page = (ROOT / "benchmarks" / "speedrun.md").read_text()
    folders = sorted(path for path in records.iterdir() if path.is_dir())
    assert folders
    for folder in folders:
        assert check(folder).startswith("verified: ")
        (line,) = speedrun_table(folder).to_dict("records")
        assert line["Reached"] == "yes"
        row = next(row for row in page.splitlines() if f"(speedrun/{folder.name})" in row)
        for value in (f"{line['oIoU']:.2f}", f"{line['Steps']}", f"{line['Seconds']:.0f}"):
            assert f"| {value} |" in row, value
        assert f"| {line['Commit']} |" in row


def test_the_target_is_of_all_of_val(tmp_path):
    for score, reached in ((0.65, "yes"), (0.64, "no")):
        path = RunFolder(tmp_path).rows("val")
        path.parent.mkdir(parents=True, exist_ok=True)
        scored_rows("val", score).to_parquet(path)
        RunFolder(tmp_path).train.mkdir(exist_ok=True)
        RunFolder(tmp_path).log.write_text('{"kind": "train", "iteration": 7, "elapsed": 2.5}\n')
        (line,) = speedrun_table(tmp_path).to_dict("records")
        assert (line["Reached"], line["Steps"], line["Seconds"]) == (reached, 7, 2.5)
        assert line["oIoU"] == pytest.approx(100 * score)


def test_a_log_without_steps_is_refused(tmp_path):
    path = RunFolder(tmp_path).rows("val")
    path.parent.mkdir(parents=True)
    scored_rows("val", 0.7).to_parquet(path)
    RunFolder(tmp_path).train.mkdir()
    RunFolder(tmp_path).log.write_text('{"kind": "start"}\n')
    with pytest.raises(UserError, match="no step of a training"):
        speedrun_table(tmp_path)


def test_what_was_taken_out_follows_from_rows_and_logs():
    page = (ROOT / "benchmarks" / "speedrun.md").read_text()
    folders = sorted((ROOT / "benchmarks" / "speedrun").glob("*/without/*"))
    assert folders
    for folder in folders:
        assert check(folder).startswith("verified: ")
        (line,) = speedrun_table(folder).to_dict("records")
        row = next(row for row in page.splitlines() if f"without/{folder.name})" in row)
        assert row.endswith(f"| {line['oIoU']:.2f} | {line['Seconds']:.0f} |")
