"""The model card's folder: what stands beside the weights and is uploaded with them."""

import shutil
from pathlib import Path

import pytest
import yaml
from helpers.ablation_folders import scored_rows
from huggingface_hub import HfApi, ModelCard, parse_eval_result_entries
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from dghin.evaluation.provenance import read_rows
from dghin.evaluation.segmenters.about import write_about
from dghin.model.hub import WEIGHTS
from dghin.report.model_card import answer_facts, push_with_card, save_with_card, write_card
from dghin.report.tables.scores import read_results
from dghin.run.config import load_config, save_config
from dghin.run.folder import RunFolder

FILE = ".eval_results/refcoco.yaml"


@pytest.fixture
def run(predictor, tmp_path):
    """A run of RefCOCO that trained the predictor's weights, and whose rows they answered."""
    folder = RunFolder(tmp_path / "refcoco")
    predictor.model.save_pretrained(folder.best)
    predictor.model.save_pretrained(tmp_path / "weights")
    save_config(load_config("refcoco"), folder.config)
    folder.all_rows.mkdir(exist_ok=True)
    rows = scored_rows("testA", 0.61)
    rows.attrs["provenance"] = {
        "commit": "abc", "changed files": 0, "command": "dghin evaluate run=refcoco",
        "checkpoint": sha256_file(tmp_path / "weights" / WEIGHTS),
    }  # fmt: skip
    rows.to_parquet(folder.rows("testA"))
    return folder.path


def test_the_hubs_newer_form_says_what_the_card_says(predictor, run, tmp_path):
    save_with_card(predictor, tmp_path / "saved", run)
    entries = parse_eval_result_entries(yaml.safe_load((tmp_path / "saved" / FILE).read_text()))
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert {entry.task_id: entry.value for entry in entries} == {
        f"{result.dataset_split}_{result.metric_type}": result.metric_value
        for result in card.data.eval_results
    }
    assert {entry.value for entry in entries} == {61.0}


def test_a_card_without_a_run_leaves_no_scores_of_an_earlier_one(predictor, run, tmp_path):
    save_with_card(predictor, tmp_path / "saved", run)
    assert (tmp_path / "saved" / FILE).is_file()
    write_card(tmp_path / "saved")
    assert not (tmp_path / "saved" / FILE).exists()


def test_the_scores_are_uploaded_with_the_weights(predictor, run, monkeypatch):
    uploaded = []

    def upload(api, *, folder_path, **_):
        files = Path(folder_path).rglob("*.yaml")
        uploaded.extend(path.relative_to(folder_path).as_posix() for path in files)

    monkeypatch.setattr(HfApi, "create_repo", lambda *_, **__: "https://hub/owner/name")
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    push_with_card(predictor, "owner/name", run)
    assert uploaded == [FILE]


def test_the_card_of_a_model_of_others_has_its_scores_and_facts(run, tmp_path):
    write_about(run, {"name": "LAVT", "backbone": "Swin-B", "licence": "gpl-3.0"})
    write_card(tmp_path / "theirs", run)
    card = ModelCard.load(tmp_path / "theirs" / "README.md")
    assert card.data.model_name == "LAVT" and card.data.license == "gpl-3.0"
    assert {result.metric_value for result in card.data.eval_results} == {61.0}
    assert "# LAVT, refcoco" in card.content and "| backbone | Swin-B |" in card.content
    assert "DGHIN" not in card.content and "Dual-Graph" not in card.content
    assert (tmp_path / "theirs" / FILE).is_file()


@pytest.fixture
def drawn(run):
    """The same rows as of the drawn scenes; two of twenty masks are empty, of no other control."""
    run = run.rename(run.with_name("demo"))
    save_config(load_config("demo"), run / "config.yaml")
    rows = read_rows(run / "rows" / "testA.parquet")
    rows.loc[:1, "strict_intersection"], rows.loc[:1, "strict_union"] = 0, rows["area"]
    rows.to_parquet(run / "rows" / "testA.parquet")
    (run / "rows" / "shuffled").mkdir()
    scored_rows("testA", 0.2).to_parquet(run / "rows" / "shuffled" / "testA.parquet")
    return run


def test_a_card_of_drawn_scenes_claims_nothing_of_photos(predictor, drawn, tmp_path):
    (drawn / "figures").mkdir()
    Image.new("RGB", (1500, 300), "white").save(drawn / "figures" / "masks_median.png")
    save_with_card(predictor, tmp_path / "saved", drawn)
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert "knows drawn shapes only" in card.text and "2,000 scenes" in card.text
    assert "On `shapes` (drawn scenes, not to be compared" in card.text
    said = (tmp_path / "saved" / "README.md").read_text().lower().replace("run=refcoco", "")
    assert said.count("refcoco") == 1 and "neither of refcoco" in said
    assert {(r.dataset_type, r.dataset_name) for r in card.data.eval_results} == {
        ("shapes", "shapes (scenes that dghin draws)")
    }
    assert "](dghin_examples.webp)" in card.text
    assert Image.open(tmp_path / "saved" / "dghin_examples.webp").size == (960, 192)
    write_card(tmp_path / "saved")  # without its run
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert "is not said here" in card.text and "webp" not in card.text
    assert not (tmp_path / "saved" / "dghin_examples.webp").exists()


def test_what_is_said_of_empty_masks_is_what_the_rows_hold(predictor, drawn, tmp_path):
    save_with_card(predictor, tmp_path / "saved", drawn)
    text = (tmp_path / "saved" / "README.md").read_text()
    assert "though something is meant: testA 10.0 % of 20 expressions." in text
    assert "(`shuffled`), it still marks something: testA 100.0 % of 20" in text
    rows = read_results(drawn)[""]["testA"]
    of_none = rows.assign(area=0, strict_union=[1000, 0] * 10, strict_intersection=0)
    (line,) = answer_facts({"": {"val": of_none}})
    assert line == "Where nothing is meant, it still marks something: val 50.0 % of 20 expressions."
    (line,) = answer_facts({"": {"val": rows.iloc[2:]}})
    assert line.startswith("No answer was an empty mask") and answer_facts({}) == []


def test_a_run_that_scored_weights_and_did_not_train_them_says_nothing_of_training(
    predictor, drawn, tmp_path
):
    save_with_card(predictor, tmp_path / "saved", drawn)
    text = (tmp_path / "saved" / "README.md").read_text()
    assert "Trained with these settings" in text and "| train.learning_rate |" in text
    shutil.rmtree(drawn / "train")
    write_card(tmp_path / "saved", drawn)
    text = (tmp_path / "saved" / "README.md").read_text()
    assert "scored these weights and did not train them" in text and "Scored on `shapes`" in text
    assert "was scored on drawn shapes only" in text and "testA" in text
    for claim in ("Trained with", "train.", "It has learnt", "This training"):
        assert claim not in text.replace("train.py", ""), claim


def test_a_readme_that_is_no_card_is_not_written_over(tmp_path):
    (tmp_path / "README.md").write_text("# My project\n")
    with pytest.raises(UserError, match="README.md: no model card .it has no header"):
        write_card(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# My project\n"
