"""The notebooks: their form, and the whole chain once, at smoke size."""

import ast
import json
import shutil
from pathlib import Path

import pandas as pd
import papermill
import pytest
from helpers.grefcoco import write_grefcoco
from helpers.lab import RUN_ALL, SHOW_CELL, jupyter_lab
from helpers.pages import BROWSER, WAIT, altered, needs_browser
from helpers.raw_trees import LANGUAGE
from helpers.tiny import TINY_MODEL

from data_preprocess.base.errors import UserError
from data_preprocess.prepared.custom import CustomSettings, prepare_custom
from dghin import reproduce
from dghin.ablation.page import verify_ablation
from dghin.evaluation.controls import CONTROLS
from dghin.evaluation.metrics import PROTOCOLS
from dghin.evaluation.provenance import checkpoint
from dghin.report.compare import compare_runs
from dghin.report.run_report import verify_report
from dghin.report.tables.breakdowns import BREAKDOWNS
from dghin.report.tables.failures import FAILURES
from dghin.report.tables.objects.lies_on import TABLES as OF_OBJECTS

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHAIN = [  # what `reproduce` runs where a config names nothing else
    "01_preprocess", "02_graphs", "03_train", "04_evaluate", "05_qualitative", "06_report",
]  # fmt: skip
NAMES = [*CHAIN, "07_ablation"]
LONGEST = 20  # lines of a code cell

SHOWN = [name for name in BREAKDOWNS if name not in ("by_targets", "by_review")]


def cells(path, kind):
    found = json.loads(path.read_text())["cells"]
    return [("".join(c["source"]), c) for c in found if c["cell_type"] == kind]


def every_cell(path):
    return [("".join(c["source"]), c) for c in json.loads(path.read_text())["cells"]]


def parameters_cell(path):
    tagged = [s for s, c in cells(path, "code") if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1, "one parameters cell a notebook"
    return tagged[0]


def test_there_are_seven():
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


@pytest.mark.slow
def test_the_chain_leaves_everything(chain):
    folder, _ = chain
    assert [path.stem for path in sorted(folder.glob("notebooks/*.ipynb"))] == CHAIN
    assert {
        "config.yaml",
        "environment.json",
        "metrics.json",
        "provenance.json",
        "report.html",
    } <= {path.name for path in folder.iterdir()}
    figures = {path.stem for path in folder.glob("figures/*.png")}
    assert figures == {path.stem for path in folder.glob("figures/*.pdf")}
    failures = {f"masks_{kind.replace(' ', '_')}" for kind in FAILURES}
    table = pd.read_csv(folder / "tables/failures.csv").query("Split == 'testA'")
    seen = {f"masks_{kind.replace(' ', '_')}" for kind in table.query("Expressions > 0")["Mask"]}
    assert figures & failures == seen & failures  # those that occur
    figures -= failures
    assert figures == {
        "samples_train", "samples_testB", "lengths", "dependency_0", "dependency_1", "visual_graph",
        "learning_curves", "precision", "controls", *SHOWN, "masks_best", "masks_median",
        "masks_worst", "word_attention", "word_effects", "visual_graph_start",
        "explorer", "explorer_untrained",
        "visual_graph_trained", "lies_on",
    }  # fmt: skip
    shown = ("main", "controls", "failures", *SHOWN, *OF_OBJECTS, "splits", "overlap", "alignment")
    for name in shown:
        assert {p.suffix for p in folder.glob(f"tables/{name}.*")} == {".md", ".csv", ".tex"}


@pytest.mark.slow
def test_its_numbers_follow_from_its_rows(chain):
    """As notebook 06 has it, and again later; a digit that was altered is found."""
    folder, _ = chain
    executed = (folder / "notebooks" / "06_report.ipynb").read_text()
    assert "verified: " in executed and "verified: " in verify_report(folder)
    path = folder / "tables" / "by_size.csv"
    with (
        altered(path, ",medium,", ",medium,1"),
        pytest.raises(UserError, match="by_size.csv: line"),
    ):
        verify_report(folder)


@pytest.mark.slow
def test_rows_know_the_command_and_all_that_is_broken_down(chain):
    folder, _ = chain
    for control in ("", *CONTROLS):
        rows = pd.read_parquet(folder / "rows" / control / "testA.parquet")
        assert rows["distractors"].notna().all() and rows["depth"].notna().all()
        assert (rows["kind"] != "").all()
        assert rows.attrs["provenance"]["checkpoint"] == checkpoint(folder)
    rows = pd.read_parquet(folder / "rows" / "testA.parquet")
    assert rows[["lies_on", "named", "on_named"]].notna().all().all()
    ranks = rows.get("rank", pd.Series(pd.NA, rows.index))  # without an ordinal: no such column
    assert ranks.notna().equals(rows["kind"] == "ordinal")


@pytest.mark.slow
def test_an_ablation_through_its_notebooks(chain, monkeypatch):
    folder, words = chain
    monkeypatch.chdir(folder.parent.parent)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    own = ("run=", "config=", "samples=", "expressions=", "examples=")
    words = [word for word in words if not word.startswith(own)]
    made = reproduce.reproduce(
        ["run=ablation", *words, "seeds=[0,1]", "variants=[full,text graph off]"]
    )
    assert [path.stem for path in sorted(made.glob("notebooks/*.ipynb"))] == [
        "01_preprocess", "07_ablation",
    ]  # fmt: skip
    table = pd.read_csv(made / "tables" / "ablation.csv")
    assert list(table["Variant"]) == ["full", "text graph off"] and list(table["Seeds"]) == [2, 2]
    assert "verified: " in verify_ablation(made)
    assert compare_runs(["ablation/runs/full-seed0", "smoke"], made.parent).is_file()


@pytest.mark.slow
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
        "train.batch=2", "train.batch_per_process=2", "train.iterations_of=0", "train.processes=1",
        *(f"data.{key}={value}" for key, value in LANGUAGE.items()), *words,
    ])  # fmt: skip
    table = pd.read_csv(folder.parent / made.name / "tables/generalized.csv")
    assert table["Without target"].tolist() == [1, 1]  # resized and strict
    assert "Several referents or none" in (folder.parent / made.name / "report.html").read_text()


@pytest.mark.slow
def test_the_chain_on_a_set_without_a_test_split(chain, tmp_path, monkeypatch):
    """Of one's own, with train and val: val is scored and shown in every notebook."""
    folder, words = chain
    monkeypatch.chdir(folder.parent.parent)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copytree(ROOT / "examples/custom", tmp_path / "own")
    table = tmp_path / "own/expressions.csv"
    table.write_text("".join(x for x in table.open() if not x.strip().endswith(",test")))
    files = {"images": "photos", "coco": "annotations.json", "table": table.name}
    places = {name: str(table.parent / file) for name, file in files.items()}
    prepare_custom(CustomSettings("mine", str(tmp_path), workers=1, **places, **LANGUAGE))
    own = ("run=", "data=", "data.shapes=", "train.batch_per_process=")
    words = [word for word in words if not word.startswith(own)]
    words += ["run=mine", f"data={tmp_path}", "data.shapes=0", "data.dataset=mine",
              "train.batch=2", "train.batch_per_process=2", "train.processes=1"]  # fmt: skip
    with pytest.raises(UserError, match="data.test_splits: 'mine' has no split 'testA'"):
        reproduce.reproduce(words)
    made = folder.parent / reproduce.reproduce([*words, "data.test_splits=[]"]).name
    assert set(json.loads((made / "metrics.json").read_text())) == {"val", "controls"}
    assert "it is also the split reported here" in (made / "report.html").read_text()


@pytest.mark.slow
def test_metrics_have_their_form(chain):
    folder, _ = chain
    metrics = json.loads((folder / "metrics.json").read_text())
    for scores in (metrics, metrics["controls"]["shuffled"]):
        for split in ("val", "testA", "testB"):
            assert set(scores[split]) == set(PROTOCOLS)
            assert 0 <= scores[split]["strict"]["oiou"] <= 1
    rows = pd.read_parquet(folder / "rows" / "testA.parquet")
    assert metrics["testA"]["paper"]["count"] == len(rows)


@pytest.mark.slow
def test_notebooks_show_their_results(chain):
    folder, _ = chain
    for name in ("01_preprocess", "02_graphs", "03_train", "04_evaluate", "05_qualitative"):
        text = (folder / "notebooks" / f"{name}.ipynb").read_text()
        assert '"image/png"' in text, name
    trained = (folder / "notebooks" / "03_train.ipynb").read_text()
    assert "iteration 4/4" in trained  # the child's log streams into the notebook


@pytest.mark.slow
def test_run_again_all_is_up_to_date(chain, caplog):
    folder, words = chain
    before = (folder / "state.json").stat().st_mtime_ns
    caplog.set_level("INFO")
    reproduce.reproduce(words)
    assert caplog.text.count("up to date") == 6
    assert (folder / "state.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_notebook_runs_alone_from_its_own_folder(chain, tmp_path):
    """As JupyterLab or README's papermill command starts it, with nothing given but the run; the
    report, made before, still says what the rows written anew say."""
    folder, _ = chain
    for name, shown in (("04_evaluate", "oIoU"), ("06_report", "report.html")):
        papermill.execute_notebook(
            str(ROOT / "notebooks" / f"{name}.ipynb"),
            str(tmp_path / "out.ipynb"),
            parameters={"run": "smoke"},
            cwd=str(folder.parent.parent / "notebooks"),
            progress_bar=False,
        )
        assert shown in (tmp_path / "out.ipynb").read_text()
        assert "verified: " in verify_report(folder)


@needs_browser
@pytest.mark.slow
def test_the_explorer_answers_in_jupyterlab(chain, tmp_path, monkeypatch):
    """Notebook 05, all of it run; every control changes the view, and the console has no error."""
    playwright = pytest.importorskip("playwright.sync_api")
    project = chain[0].parent.parent
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = project / "notebooks" / "looked_into.ipynb"
    source = (ROOT / "notebooks" / "05_qualitative.ipynb").read_text()
    notebook.write_text(source.replace('run: str = \\"demo\\"', 'run: str = \\"smoke\\"'))
    controls = [place for place, (text, _) in enumerate(every_cell(notebook)) if "explore(" in text]
    with jupyter_lab(project, tmp_path / "lab") as address, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1200, "height": 900})
        tab.set_default_timeout(WAIT)
        errors = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        tab.goto(f"{address}/lab/tree/notebooks/{notebook.name}")
        tab.locator(".jp-Notebook .jp-Cell").first.wait_for()
        tab.evaluate(RUN_ALL)
        tab.evaluate(SHOW_CELL, controls[0])
        look_into(tab)
        assert errors == []


def look_into(tab):
    """Change every control of the explorer in a tab; each changes the view."""
    view, photo = tab.locator("img.widget-image"), tab.get_by_alt_text("The photo with the mask")
    view.wait_for()
    right = photo.bounding_box()["x"] + photo.bounding_box()["width"]
    assert view.bounding_box()["x"] >= right  # beside it
    rows = tab.locator(".widget-toggle-buttons")
    level, _, word = rows.nth(0), rows.nth(1), rows.nth(2)
    text = tab.locator(".widget-text")

    def changes(act, *given, **words):
        before = view.get_attribute("src")
        act(*given, **words)
        tab.wait_for_function(
            "before => document.querySelector('img.widget-image').src !== before", arg=before
        )

    changes(photo.click, position={"x": 20, "y": 30})
    changes(lambda: [photo.press("ArrowDown") for _ in range(4)])  # into the next patch
    assert photo.evaluate("photo => document.activeElement === photo")
    changes(level.locator("button", has_text="3").click)
    changes(word.locator("button", has_text="[CLS]").click)
    field = text.locator("input")
    field.fill("the blue star")
    changes(field.press, "Enter")
    tab.get_by_text("“the blue star”: ").wait_for()
