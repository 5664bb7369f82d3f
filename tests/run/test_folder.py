"""Runs: their settings, their folder, and where the project is."""

from pathlib import Path

import pytest

from data_preprocess.base.paths import enter_project
from dghin.run.config import load_config, save_config
from dghin.run.folder import RunFolder, open_run, reopen_run


def test_every_path_is_inside_the_folder():
    files = RunFolder(Path("reports/x"))
    paths = [getattr(files, n) for n, v in vars(RunFolder).items() if isinstance(v, property)]
    assert len({*paths}) == len(paths) > 10
    assert all(files.path in path.parents for path in paths)
    assert files.rows("val") == Path("reports/x/rows/val.parquet")
    assert files.rows("val", "blind") == Path("reports/x/rows/blind/val.parquet")


def test_a_run_is_reopened_with_what_it_was_trained_with(tmp_path):
    trained = load_config("demo", ["train.seed=7"])
    save_config(trained, RunFolder(tmp_path / "demo").config)
    assert reopen_run("demo", reports=tmp_path).config.train.seed == 7
    assert reopen_run("demo", config="refcoco", reports=tmp_path).config.name == "refcoco"
    opened = open_run("demo", data="elsewhere", reports=tmp_path)
    assert opened.config.train.seed == 0 and opened.config.data.root == "elsewhere"
    assert opened.paths.best == tmp_path / "demo" / "train" / "best"


@pytest.mark.parametrize("inner", [".", "notebooks", "docs/pictures"])
def test_the_project_is_entered_from_inside(tmp_path, monkeypatch, inner):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / inner).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / inner)
    assert enter_project() == tmp_path == Path.cwd()
