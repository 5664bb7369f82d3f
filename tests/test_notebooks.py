"""The notebooks: their form, and the whole chain once, at smoke size."""

import ast
import json
import shutil
from pathlib import Path

import pandas as pd
import papermill
import pytest
from conftest import TINY_MODEL
from grefcoco import write_grefcoco
from raw_trees import LANGUAGE

from dghin import reproduce
from dghin.metrics import PROTOCOLS

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "01_preprocess", "02_graphs", "03_train", "04_evaluate", "05_qualitative", "06_report",
]  # fmt: skip
LONGEST = 20  # lines of a code cell


def cells(path, kind):
    found = json.loads(path.read_text())["cells"]
    return [("".join(c["source"]), c) for c in found if c["cell_type"] == kind]


def parameters_cell(path):
    tagged = [s for s, c in cells(path, "code") if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1, "one parameters cell a notebook"
    return tagged[0]


def test_there_are_six():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestForm:
    def test_title_question_and_last_words(self, path):
        everything = json.loads(path.read_text())["cells"]
        first, last = "".join(everything[0]["source"]), "".join(everything[-1]["source"])
        assert first.startswith(f"# {int(path.stem[:2])}. ") and "\n**" in first
        assert last.startswith("**What you should see:**")

    def test_code_cells_are_short_and_define_nothing(self, path):
        for source, _ in cells(path, "code"):
            assert source.count("\n") < LONGEST, source
            kinds = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
            assert not any(isinstance(node, kinds) for node in ast.walk(ast.parse(source)))

    def test_it_is_stripped(self, path):
        assert all(
            not c["outputs"] and c["execution_count"] is None for _, c in cells(path, "code")
        )

    def test_parameters_are_typed_and_papermill_sees_them_all(self, path):
        """papermill skips a line that it cannot read, such as one with a second '='."""
        statements = ast.parse(parameters_cell(path)).body
        assert all(isinstance(node, ast.AnnAssign) and node.value for node in statements)
        declared = {node.target.id: ast.literal_eval(node.value) for node in statements}
        seen = papermill.inspect_notebook(str(path))
        assert {name: ast.literal_eval(p["default"]) for name, p in seen.items()} == declared
        assert all(p["help"] for p in seen.values())
        assert list(declared)[:5] == ["run", "config", "data", "overrides", "reports"]

    def test_no_absolute_paths(self, path):
        text = path.read_text()
        assert "/work/" not in text and "/home/" not in text and "/root" not in text


@pytest.fixture(scope="module")
def chain(shapes, tmp_path_factory):
    """reports/smoke of the whole chain, run from a project's root in a folder of its own."""
    project = tmp_path_factory.mktemp("project")
    (project / "pyproject.toml").touch()
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    words = [
        "run=smoke", "config=demo", f"data={shapes}", "data.shapes=30", *TINY_MODEL,
        "train.iterations=4", "train.warmup=1", "train.validate_every=2", "train.log_every=1",
        "train.batch_per_process=6", "train.workers=0", "train.threads=1", "evaluate.workers=0",
        "samples=2", "expressions=2", "examples=1",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setenv("PYTHONPATH", str(ROOT))  # where the package is not installed
        patch.setenv("OMP_NUM_THREADS", "1")
        folder = project / reproduce.reproduce(words)
        yield folder, words


def test_the_chain_leaves_everything(chain):
    folder, _ = chain
    assert [path.stem for path in sorted(folder.glob("notebooks/*.ipynb"))] == NAMES
    assert {"config.yaml", "environment.json", "metrics.json", "report.html"} <= {
        path.name for path in folder.iterdir()
    }
    figures = {path.stem for path in folder.glob("figures/*.png")}
    assert figures == {path.stem for path in folder.glob("figures/*.pdf")}
    assert figures == {
        "samples_train", "samples_testB", "lengths", "dependency_0", "dependency_1", "visual_graph",
        "learning_curves", "precision", "by_length", "by_kind", "masks_best", "masks_median",
        "masks_worst", "word_attention", "visual_graph_start", "visual_graph_trained",
    }  # fmt: skip
    for name in ("main", "by_length", "by_kind", "splits", "overlap", "alignment"):
        assert {p.suffix for p in folder.glob(f"tables/{name}.*")} == {".md", ".csv", ".tex"}


def test_the_alignment_table_is_in_the_report(chain):
    page = (chain[0] / "report.html").read_text()
    assert "expressions whose parse drifts from its pieces" in page and "ReferIt, %" in page


@pytest.mark.slow
def test_the_chain_on_several_referents_or_none(chain, tmp_path, monkeypatch):
    """gRefCOCO's layout, with masks that are empty, through every notebook."""
    folder, words = chain
    monkeypatch.chdir(folder.parent.parent)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    root = write_grefcoco(tmp_path)
    own = ("run=", "config=", "data=", "data.shapes=", "train.batch_per_process=")
    words = [word for word in words if not word.startswith(own)]
    made = reproduce.reproduce([
        "run=grefcoco", f"data={root}", "data.test_splits=[testA]",
        "model.backbone=efficientnet_lite0",
        "train.batch=2", "train.batch_per_process=2", "train.iterations_of=0", "train.processes=1",
        *(f"data.{key}={value}" for key, value in LANGUAGE.items()), *words,
    ])  # fmt: skip
    table = pd.read_csv(folder.parent / made.name / "tables/generalized.csv")
    assert table["Without target"].tolist() == [1, 1]
    assert "Several referents or none" in (folder.parent / made.name / "report.html").read_text()


def test_metrics_have_their_form(chain):
    folder, _ = chain
    metrics = json.loads((folder / "metrics.json").read_text())
    for scores in (metrics, metrics["controls"]["shuffled"]):
        for split in ("val", "testA", "testB"):
            assert set(scores[split]) == set(PROTOCOLS)
            assert 0 <= scores[split]["strict"]["oiou"] <= 1
    rows = pd.read_parquet(folder / "rows" / "testA.parquet")
    assert metrics["testA"]["paper"]["count"] == len(rows)


def test_notebooks_show_their_results(chain):
    folder, _ = chain
    for name in ("01_preprocess", "02_graphs", "03_train", "04_evaluate", "05_qualitative"):
        text = (folder / "notebooks" / f"{name}.ipynb").read_text()
        assert '"image/png"' in text, name
    trained = (folder / "notebooks" / "03_train.ipynb").read_text()
    assert "iteration 4/4" in trained  # the child's log streams into the notebook


def test_run_again_all_is_up_to_date(chain, caplog):
    folder, words = chain
    before = (folder / "state.json").stat().st_mtime_ns
    caplog.set_level("INFO")
    reproduce.reproduce(words)
    assert caplog.text.count("up to date") == 6
    assert (folder / "state.json").stat().st_mtime_ns == before


def test_a_notebook_runs_alone_from_its_own_folder(chain, tmp_path):
    """As JupyterLab starts it, with nothing given but the run."""
    folder, _ = chain
    papermill.execute_notebook(
        str(ROOT / "notebooks" / "06_report.ipynb"),
        str(tmp_path / "out.ipynb"),
        parameters={"run": "smoke"},
        cwd=str(folder.parent.parent / "notebooks"),
        progress_bar=False,
    )
    assert "report.html" in (tmp_path / "out.ipynb").read_text()
