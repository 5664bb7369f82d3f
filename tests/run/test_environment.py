"""What is noted of a machine: versions, command, commit."""

import dataclasses
import json

from data_preprocess.base.files import sha256_file
from dghin.run.config import load_config
from dghin.run.environment import (
    command,
    environment,
    git_state,
    read_environment,
    record_environment,
    start_digest,
)
from dghin.run.folder import RunFolder


def test_stages_stand_side_by_side(tmp_path):
    config = load_config("demo", [f"data.root={tmp_path}", "train.seed=3"])
    record_environment(tmp_path, config, "train")
    entry = record_environment(tmp_path, config, "evaluate")
    assert {*read_environment(tmp_path)} == {"train", "evaluate"}
    assert entry["seeds"]["training"] == 3 and entry["data"] == {}
    assert {"python", "torch", "dghin"} <= entry["versions"].keys()


def test_a_damaged_record_counts_as_none(tmp_path):
    RunFolder(tmp_path).environment.write_text('{"train": ')
    assert read_environment(tmp_path) == {}
    RunFolder(tmp_path).environment.write_text(json.dumps({"train": {}}))
    assert read_environment(tmp_path) == {"train": {}}


def test_the_command_is_as_one_types_it(monkeypatch):
    monkeypatch.delenv("DGHIN_COMMAND", raising=False)
    for program in ("/env/bin/dghin", "/checkout/dghin/__main__.py"):
        monkeypatch.setattr("sys.argv", [program, "train", "run=a b"])
        assert command() == "dghin train 'run=a b'"
    monkeypatch.setenv("DGHIN_COMMAND", "dghin reproduce run=demo")
    assert command() == "dghin reproduce run=demo"


def test_without_git_there_is_no_commit(tmp_path):
    assert git_state(tmp_path) == {"commit": None, "changed files": None}


def test_the_weights_that_a_training_starts_from_are_recorded(tmp_path, tiny_config):
    best = tmp_path / "run" / "train" / "best"
    best.mkdir(parents=True)
    (best / "model.safetensors").write_bytes(b"weights")
    weights = dataclasses.replace(tiny_config.weights, network=str(tmp_path / "run"))
    config = dataclasses.replace(tiny_config, weights=weights)
    assert (
        environment(config)["start"]
        == start_digest(config)
        == sha256_file(best / "model.safetensors")
    )
    assert "start" not in environment(tiny_config)
