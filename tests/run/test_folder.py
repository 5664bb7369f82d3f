"""Runs: their settings, their folder, and where the project is."""

from pathlib import Path

import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.base.paths import enter_project
from dghin.run.config import load_config, save_config
from dghin.run.folder import RunFolder, check_parameters, open_run, reopen_run


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


@pytest.mark.parametrize("opened", [open_run, reopen_run])
def test_what_papermill_gives_for_text(opened, tmp_path, monkeypatch):
    """`-p run 2024` is a number, `-p overrides a=1` a text; RUN and lists are meant."""
    monkeypatch.chdir(tmp_path)
    run = opened(2024, "demo", 2024, "evaluate.workers=0", tmp_path)
    assert run.name == "2024" and run.folder == tmp_path / "2024"
    assert run.config.data.root == "2024" and run.config.evaluate.workers == 0
    assert opened("x", "demo", overrides="[train.seed=3, train.batch=6]").config.train.seed == 3
    assert opened("007", "demo", None, "[]").folder.name == "007"
    assert opened("x", "demo", "2024_01_01").config.data.root == "2024_01_01"


@pytest.mark.parametrize("value", [7, 1.1, True, ["demo"]])
def test_what_may_have_been_written_in_another_way_is_refused(value):
    with pytest.raises(UserError, match=r"run=.*papermill -r run"):
        open_run(value, "demo")
    with pytest.raises(UserError, match=r"data=.*papermill -r data"):
        reopen_run("demo", "demo", data=value)


def test_a_name_that_papermill_gave_and_the_notebook_lacks_is_refused():
    """The cell is written by papermill itself, as for `papermill -p`."""
    papermill = pytest.importorskip("papermill")
    declared = 'run: str = "demo"  # the run\nseed: int = 0\n'
    cells = ["%matplotlib inline", "", declared]
    write = papermill.translators.PythonTranslator.codify
    check_parameters([*cells, write({"run": "mine", "seed": 3}), "x = 1"])
    with pytest.raises(UserError, match="unknown parameter 'rnu'. Did you mean 'run'.*run, seed"):
        check_parameters([*cells, write({"seed": 1, "rnu": "mine"})])
    check_parameters([write({"rnu": "mine"})])  # of a notebook of another kind


@pytest.mark.parametrize("opened", [open_run, reopen_run])
def test_opening_a_run_in_a_notebook_checks_its_parameters(opened, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    shell.run_cell('run: str = "demo"\nseed: int = 0', store_history=True)
    assert opened("demo").name == "demo"
    shell.run_cell('# Parameters\nrnu = "x"\n', store_history=True)
    with pytest.raises(UserError, match="unknown parameter 'rnu'"):
        opened("demo")
