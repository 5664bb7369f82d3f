"""The exam's page and command, on the tiny embedded data set."""

import re
import shutil

import pandas as pd
import pytest
import yaml
from helpers.pages import page_tables
from helpers.tiny import TINY_MODEL, TINY_TRAINING

from data_preprocess.base.errors import UserError
from data_preprocess.base.settings import to_mapping
from data_preprocess.base.tables import cells
from dghin.commands.exam import main, missing
from dghin.evaluation.controls import EXAM
from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.reference import reference_answerer
from dghin.evaluation.segmenters.about import write_about
from dghin.report.exam import chosen_split, compare_exams
from dghin.report.run_report import verify_report, write_report
from dghin.report.tables.exam import ALL, QUESTIONS, exam_table
from dghin.report.tables.scores import read_results, with_intervals
from dghin.run.config import load_config, save_config
from dghin.run.folder import RunFolder

pytestmark = pytest.mark.usefixtures("quick_figures")


WORDS = [*TINY_MODEL, *TINY_TRAINING, "data.shapes=30"]


@pytest.fixture(scope="module")
def scored(shapes, tmp_path_factory):
    """Two reference runs, scored under all controls."""
    reports = tmp_path_factory.mktemp("reports")
    config = load_config("demo", [*WORDS, f"data.root={shapes}"])
    for name in ("perfect", "deaf"):
        folder = reports / name
        evaluate_run(folder, config, ["train"], EXAM, reference_answerer(name))
        save_config(config, RunFolder(folder).config)
        write_about(folder, {"name": name, "training_data": "none: it knows the annotations"})
    return reports


@pytest.fixture
def examined(scored, tmp_path, monkeypatch):
    """A copy of both, in an empty working folder; no figures of masks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dghin.report.run_report.write_mask_figures", lambda *_: None)
    shutil.copytree(scored, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def words(shapes, tmp_path):
    """Of a command on the tiny data set."""
    return [f"reports={tmp_path}", *WORDS, f"data.root={shapes}"]


def test_the_command_scores_what_is_missing_and_makes_the_page(examined, words):
    folder = examined / "deaf"
    RunFolder(folder).rows("train", "negation").unlink()
    before = {path: path.read_bytes() for path in (folder / "rows" / "blind").iterdir()}
    main(["run=deaf", "model=reference:deaf", "split=train", *words])
    assert {path.parent.name for path in (folder / "rows").rglob("*.parquet")} == {"rows", *EXAM}
    assert all(path.read_bytes() == content for path, content in before.items())
    page = (folder / "exam.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page), "something lies outside the page"
    frame = exam_table(read_results(folder))
    shown = page_tables(page)
    for part in (frame[frame.Kind == ALL], frame[frame.Kind != ALL]):
        part = with_intervals(part)
        assert [list(part.columns), *cells(part)] in shown
    card = pd.read_csv(folder / "tables" / "exam_card.csv")
    verdicts = [["Question", "Verdict"], *card[["Question", "Verdict"]].values.tolist()]
    assert verdicts in shown and len(card) == len(QUESTIONS)
    assert "none: it knows the annotations" in page
    assert (folder / "report.html").is_file() and "verified" in verify_report(folder)


def test_what_is_scored_is_not_scored_again(examined):
    config = load_config(str(examined / "deaf" / "config.yaml"))
    assert missing(examined / "deaf", config, "train") == {}


def test_rows_of_other_weights_are_missing(examined):
    folder = examined / "deaf"
    config = load_config(str(folder / "config.yaml"))
    path = RunFolder(folder).rows("train", "negation")
    rows = pd.read_parquet(path)
    rows.attrs["provenance"]["checkpoint"] = "of other weights"
    rows.to_parquet(path)
    assert missing(folder, config, "train") == {"train": ["negation"]}
    RunFolder(folder).rows("train").unlink()
    assert missing(folder, config, "train") == {"train": list(EXAM)}


def test_verify_sees_a_changed_page_and_table(examined, words):
    folder = examined / "deaf"
    main(["run=deaf", *words])  # without a model, of what was scored before
    page = folder / "exam.html"
    page.write_text(page.read_text().replace("too few", "yes"))
    table = folder / "tables" / "exam_card.csv"
    table.write_text(table.read_text().replace(",no,", ",yes,"))
    with pytest.raises(UserError) as error:
        verify_report(folder)
    assert "exam.html: was altered" in str(error.value) and "exam_card.csv" in str(error.value)


def test_several_models_on_one_card(examined, words):
    main(["runs=perfect,deaf", *words])
    output = examined / "exam-perfect-deaf"
    page = (output / "exam.html").read_text()
    card = pd.read_csv(output / "tables" / "exam_card.csv").set_index("Question")
    assert card.loc["Does it read at all?", "perfect"].startswith("yes: 100.0 → 0.0")
    assert card.loc["Does it read at all?", "deaf"].startswith("no: ")
    assert ["Does it tell left from right?", "yes", "no"] in sum(page_tables(page), [])
    full = pd.read_csv(output / "tables" / "exam.csv")
    assert list(dict.fromkeys(full.Run)) == ["perfect", "deaf"]
    assert "verified" in verify_report(output)


def test_what_cannot_be_compared_is_said(examined):
    with pytest.raises(UserError, match="two runs or more"):
        compare_exams(["deaf"], examined)
    with pytest.raises(UserError, match="each once"):
        compare_exams(["deaf", "deaf"], examined)
    frame = exam_table(read_results(examined / "deaf"))
    with pytest.raises(UserError, match="not scored on it, but on: train"):
        chosen_split(examined / "deaf", {"deaf": frame}, "testA")
    other = frame.assign(Split="val")
    with pytest.raises(UserError, match="no split that all"):
        chosen_split(examined / "deaf", {"deaf": frame, "other": other})


@pytest.mark.slow
def test_a_run_without_exam_says_how_to_score_it(
    tmp_path, monkeypatch, words, tiny_config, tiny_model
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no such run"):
        main(["run=nothing", *words])
    folder = tmp_path / "plain"
    evaluate_run(folder, tiny_config, ["val"], (), tiny_model)
    save_config(tiny_config, RunFolder(folder).config)
    with pytest.raises(UserError, match="no rows of the exam. Score it: dghin exam run=plain"):
        main(["run=plain", *words])
    write_report(folder)
    assert not (folder / "exam.html").exists()


@pytest.mark.slow
def test_dghin_is_examined_with_its_own_parser(tmp_path, monkeypatch, tiny_config, tiny_model):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dghin.report.run_report.write_mask_figures", lambda *_: None)
    folder = tmp_path / "tiny"
    tiny_model.save_pretrained(RunFolder(folder).best)
    save_config(tiny_config, RunFolder(folder).config)
    main(["run=tiny", "split=val", f"reports={tmp_path}"])
    frame = pd.read_csv(folder / "tables" / "exam.csv")
    scored = set(frame.Control)
    assert {"word-order", "negation", "without-colour", "without-size", "merged"} <= scored
    assert yaml.safe_load(RunFolder(folder).config.read_text()) == to_mapping(tiny_config)
    assert set(frame.Protocol) == {"strict"}
