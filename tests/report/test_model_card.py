"""The model card's folder: what stands beside the weights and is uploaded with them."""

from pathlib import Path

import pytest
import yaml
from helpers.ablation_folders import scored_rows
from huggingface_hub import HfApi, ModelCard, parse_eval_result_entries

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from dghin.evaluation.segmenters.about import write_about
from dghin.model.hub import WEIGHTS
from dghin.report.model_card import push_with_card, save_with_card, write_card
from dghin.run.config import load_config, save_config
from dghin.run.folder import RunFolder

FILE = ".eval_results/refcoco.yaml"


@pytest.fixture
def run(predictor, tmp_path):
    """A run of RefCOCO whose rows were scored with the predictor's weights."""
    folder = RunFolder(tmp_path / "refcoco")
    predictor.model.save_pretrained(tmp_path / "weights")
    save_config(load_config("refcoco"), folder.config)
    folder.all_rows.mkdir()
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


def test_a_readme_that_is_no_card_is_not_written_over(tmp_path):
    (tmp_path / "README.md").write_text("# My project\n")
    with pytest.raises(UserError, match="README.md: no model card .it has no header"):
        write_card(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# My project\n"
