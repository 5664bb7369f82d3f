"""The study of steadiness: its table follows from the rows of its cases, and verify says so."""

import pandas as pd
import pytest
import steady
from helpers.ablation_folders import SPLITS, scored_rows

from data_preprocess.base.errors import UserError
from dghin.ablation.steadiness import (
    CASES,
    KIND,
    MEAN,
    NO_AVX512,
    SPREAD,
    WORST,
    Case,
    run_study,
    steadiness_table,
    study_tables,
    write_study,
)
from dghin.report.run_report import verify_report
from dghin.run.command_line import run_cli
from dghin.run.config import load_config
from dghin.run.folder import Run, RunFolder

SCORES = (0.70, 0.72, 0.77)


@pytest.fixture
def study(tmp_path):
    """A study's folder with rows of the first three cases."""
    for case, score in zip(CASES, SCORES, strict=False):
        for split in SPLITS:
            path = RunFolder(tmp_path / "runs" / case.folder).rows(split)
            path.parent.mkdir(parents=True, exist_ok=True)
            scored_rows(split, score).to_parquet(path)
    return tmp_path


def check(folder):
    return verify_report(folder, {KIND: study_tables})


def test_mean_spread_and_worst_case(study):
    page = write_study(study)
    table = pd.read_csv(page.with_suffix(".csv")).set_index("Case")
    assert list(table.index) == [case.name for case in CASES[:3]] + [MEAN, SPREAD, WORST]
    for split in SPLITS:
        assert list(table[split]) == pytest.approx([70, 72, 77, 73, 3.61, 3.0], abs=0.01)
    assert page.read_text().count("73") == 3


def test_verify_computes_it_again(study):
    write_study(study)
    assert check(study).startswith("verified: ")
    table = study / "tables" / f"{KIND}.csv"
    written = table.read_text()
    table.write_text(written.replace("73.0", "75.0", 1))
    with pytest.raises(UserError, match=r"steadiness\.csv: line"):
        check(study)
    table.write_text(written)
    path = RunFolder(study / "runs" / CASES[0].folder).rows("val")
    scored_rows("val", 0.9).to_parquet(path)
    with pytest.raises(UserError, match="was altered since the report was made"):
        check(study)


def test_a_case_is_trained_once(tmp_path, tiny_config, without_torchrun):
    case = Case("seed 3", ("train.seed=3",))
    run, folder = Run("study", tiny_config, tmp_path), RunFolder(tmp_path / "runs" / "seed-3")
    run_study(run, [case])
    assert load_config(str(folder.config)).train.seed == 3
    assert steadiness_table({"seed 3": folder.path}).shape == (4, 4)
    files = [folder.log, folder.rows("val")]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    run_study(run, [case])
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


@pytest.mark.slow
def test_a_case_is_trained_in_its_environment_and_once(tmp_path, tiny_config):
    """A whole small training, with an instruction set of its own and rows at the end."""
    case = Case("seed 0", ("train.seed=0", "train.processes=1", "train.threads=1"), NO_AVX512)
    run, folder = Run("study", tiny_config, tmp_path), RunFolder(tmp_path / "runs" / "seed-0")
    run_study(run, [case])
    assert '"instructions": "AVX2"' in folder.environment.read_text()
    assert steadiness_table({"seed 0": folder.path}).shape == (4, 4)
    files = [folder.log, folder.rows("val")]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    run_study(run, [case])
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before
    assert not list(folder.path.glob("train-before-*"))


def test_names_of_cases_are_those_of_folders():
    folders = [case.folder for case in CASES]
    assert len(set(folders)) == len(folders) and not any(set(", ") & set(x) for x in folders)


@pytest.mark.parametrize(
    ("given", "said"),
    [("[x]", "expected a whole number"), ("[2,8]", "cases=[8]"), ("-1", "cases=[-1]")],
)
def test_cases_of_the_command_are_numbers_that_there_are(given, said, capsys):
    assert run_cli(steady.main, [f"cases={given}"]) == 2
    errors = capsys.readouterr().err
    assert said in errors and len(errors.splitlines()) == 1
