"""Reproduce: names checked before anything runs, only what is out of date is run, in order."""

import json
import logging
import os
from pathlib import Path

import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_json
from data_preprocess.base.settings import typed_like
from dghin import reproduce
from dghin.commands import reproduce as command

FIRST = (
    'run: str = "demo"  # the run\ndata: str = ""\noverrides: list = []\nwords: int = 3  # how many'
)
SECOND = 'run: str = "demo"\nconfig: str = ""\noverrides: list = []\nshare: float = 0.5'


def write_notebook(path, parameters, *cells):
    code = [parameters, *cells]
    cells = [
        {
            "cell_type": "code",
            "id": str(number),
            "metadata": {"tags": ["parameters"]} if number == 0 else {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(code)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    write_json(path, {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4,
                      "nbformat_minor": 5})  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of three notebooks."""
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").touch()
    write_notebook(Path("notebooks/01_one.ipynb"), FIRST, "1")
    write_notebook(Path("notebooks/02_two.ipynb"), SECOND, "2")
    write_notebook(Path("notebooks/03_three.ipynb"), SECOND, "3")
    return tmp_path


@pytest.fixture
def executed(project, monkeypatch):
    """Which notebooks ran, with their parameters; nothing is executed."""
    ran = {}

    def execute(step, folder):
        ran[step.name] = step.parameters
        path = reproduce.executed_path(step, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return 1.0

    monkeypatch.setattr(reproduce, "execute", execute)
    return ran


def test_every_notebook_gets_what_it_declares(executed):
    reproduce.reproduce(["run=r", "config=demo", "words=5", "data=there", "train.iterations=7"])
    assert executed["01_one"] == {
        "run": "r", "data": "there", "words": 5, "overrides": ["train.iterations=7"],
    }  # fmt: skip
    assert executed["02_two"] == {
        "run": "r", "config": "demo", "overrides": ["train.iterations=7"],
    }  # fmt: skip
    assert list(executed) == ["01_one", "02_two", "03_three"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("wrods=5", "Did you mean 'words'"),
        ("train.iteration=5", "Did you mean 'train.iterations'"),
        ("overrides=[]", "unknown key 'overrides'"),
        ("train.iterations=many", "expected a whole number"),
        ("config=dmeo", "Did you mean 'demo'"),
        ("words", "not of the form key=value"),
    ],
)
def test_wrong_words_are_refused_before_anything_runs(executed, word, message):
    with pytest.raises(UserError, match=message):
        reproduce.reproduce(["run=demo", word])
    assert not executed


def test_splits_that_are_not_there_are_refused_before_anything_runs(executed):
    with pytest.raises(UserError, match=r"data.test_splits: 'shapes' has no split 'test'"):
        reproduce.reproduce(["run=r", "config=demo", "data.test_splits=[test]"])
    assert not executed and not Path("reports").exists()


def test_a_config_may_name_its_notebooks(executed):
    write_notebook(Path("notebooks/07_ablation.ipynb"), FIRST, "7")
    reproduce.reproduce([])
    assert list(executed) == ["01_one", "02_two", "03_three"], "not unless it is named"
    executed.clear()
    reproduce.reproduce(["run=other", "config=demo", "notebooks=[07_ablation,01_one]"])
    assert list(executed) == ["01_one", "07_ablation"]
    runs = Path("reports/other/runs")
    runs.mkdir(parents=True)
    words = ["run=other", "config=demo", "notebooks=[07_ablation,01_one]"]
    reproduce.reproduce(words, force=True)
    assert not runs.exists() and (runs.parent / "runs-before-1").is_dir(), "kept, not deleted"
    with pytest.raises(UserError, match="notebook '02_tow'.*Did you mean '02_two'"):
        reproduce.reproduce(["config=demo", "notebooks=[02_tow]"])


def test_what_is_started_knows_the_command(executed, monkeypatch):
    monkeypatch.setenv("DGHIN_COMMAND", "")  # undone at the end
    monkeypatch.delenv("DGHIN_COMMAND")
    monkeypatch.setattr("sys.argv", ["/bin/dghin", "reproduce", "run=a b"])
    command.main(["run=demo"])
    assert os.environ["DGHIN_COMMAND"] == "dghin reproduce 'run=a b'"


def test_run_again_it_repeats_nothing(executed):
    reproduce.reproduce([])
    executed.clear()
    reproduce.reproduce([])
    assert not executed
    reproduce.reproduce([], force=True)
    assert len(executed) == 3


def test_a_change_repeats_from_there(executed):
    reproduce.reproduce([])
    executed.clear()
    write_notebook(Path("notebooks/02_two.ipynb"), SECOND, "2 + 2")
    reproduce.reproduce([])
    assert list(executed) == ["02_two", "03_three"]


def test_text_may_change(executed):
    reproduce.reproduce([])
    executed.clear()
    path = Path("notebooks/01_one.ipynb")
    notebook = json.loads(path.read_text())
    notebook["cells"].append({"cell_type": "markdown", "id": "m", "metadata": {}, "source": "!"})
    write_json(path, notebook)
    reproduce.reproduce([])
    assert not executed


def test_a_parameter_repeats_from_the_notebook_that_has_it(executed):
    reproduce.reproduce([])
    executed.clear()
    reproduce.reproduce(["share=0.7"])
    assert list(executed) == ["02_two", "03_three"]


def test_a_lost_result_is_made_again(executed, project):
    folder = reproduce.reproduce([])
    executed.clear()
    (folder / "notebooks" / "03_three.ipynb").unlink()
    reproduce.reproduce([])
    assert list(executed) == ["03_three"]
    (folder / "state.json").write_text("{")
    reproduce.reproduce([])
    assert "01_one" in executed


def test_data_prepared_anew_is_noticed(executed, monkeypatch):
    monkeypatch.setattr(reproduce, "PREPARES", "01_one")
    manifest = Path("data/data_v3/anns/refcoco/manifest.json")
    write_json(manifest, {"splits": 1})
    words = ["data=data", "config=refcoco"]
    reproduce.reproduce(words)
    executed.clear()
    reproduce.reproduce(words)
    assert not executed
    write_json(manifest, {"splits": 2})
    reproduce.reproduce(words)
    assert list(executed) == ["01_one", "02_two", "03_three"]
    executed.clear()
    manifest.unlink()
    with pytest.raises(FileNotFoundError):  # nothing executes here, so nothing makes it
        reproduce.reproduce(words)
    assert list(executed) == ["01_one"]


def test_after_a_failure_it_goes_on_from_there(project, caplog):
    """Real kernels: a cell that fails until a file is there."""
    caplog.set_level(logging.INFO)
    cell = "from pathlib import Path\nprint(Path('ready').read_text())"
    write_notebook(Path("notebooks/02_two.ipynb"), SECOND, cell)
    with pytest.raises(UserError, match=r"02_two.ipynb: cell \d failed: FileNotFoundError"):
        reproduce.reproduce([])
    kept = json.loads(Path("reports/demo/notebooks/02_two.ipynb").read_text())
    assert "FileNotFoundError" in json.dumps(kept["cells"])
    assert list(reproduce.read_state(Path("reports/demo/state.json"))) == ["01_one"]
    Path("ready").write_text("now it is")
    caplog.clear()
    reproduce.reproduce([])
    assert "01_one: up to date" in caplog.text and "now it is" in caplog.text
    assert len(reproduce.read_state(Path("reports/demo/state.json"))) == 3


def test_output_is_shown_as_lines(caplog):
    def shown(text):
        record = logging.LogRecord("papermill", logging.INFO, "", 0, text, (), None)
        return record.getMessage() if reproduce._tidy(record) else None

    assert shown("iteration 1 of 2\n") == "iteration 1 of 2"
    assert shown("\r 0%|  | 0/1\r100%|##| 1/1\n") == "100%|##| 1/1"
    assert shown("100% of them") == "100% of them"
    assert shown("Executing Cell 3-------") is None and shown("\n") is None


def test_help_lists_the_notebooks_parameters(project, capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert "\n  words=3  how many  (01)\n" in capsys.readouterr().out


def test_without_notebooks_it_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="notebooks: no notebooks"):
        reproduce.reproduce([])


def test_closing_words_show_table_and_places(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "main.md").write_text("| Split |\n")
    (tmp_path / "report.html").touch()
    words = reproduce.closing_words(tmp_path)
    assert "| Split |" in words and f"report: {tmp_path / 'report.html'}" in words
    assert "figures" not in words


def test_a_config_files_content_counts(executed, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: demo\nname: mine\n")
    reproduce.reproduce([f"config={mine}"])
    executed.clear()
    mine.write_text("base: demo\nname: mine\ntrain: {iterations: 5}\n")
    reproduce.reproduce([f"config={mine}"])
    assert len(executed) == 3


@pytest.mark.parametrize(
    ("text", "default", "value"),
    [("2024", "demo", "2024"), ("on", "x", "on"), ("7", 3, 7), ("shuffled", [], ["shuffled"]),
     ("[a, b]", [], ["a", "b"])],
)  # fmt: skip
def test_parameters_take_their_defaults_type(text, default, value):
    assert typed_like("key", text, default) == value


def test_a_parameter_of_another_type_is_refused():
    with pytest.raises(UserError, match="examples=four: expected a whole number"):
        typed_like("examples", "four", 4)
