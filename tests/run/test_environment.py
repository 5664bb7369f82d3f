"""What is noted of a machine: versions, command, commit."""

import dataclasses
import json
import subprocess

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


def test_only_code_counts_as_changed(tmp_path):
    """What commands write beside it does not, nor what git is told to ignore."""
    for name in ("dghin/run", "data_preprocess", "docs"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("README.md", "dghin/run/a.py", "data_preprocess/b.py"):
        (tmp_path / name).write_text("1")
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    for name in ("out.ipynb", "mask.png", "model.onnx", "docs/new.md"):
        (tmp_path / name).write_text("2")
    (tmp_path / "dghin/__pycache__").mkdir()
    (tmp_path / "dghin/__pycache__/a.pyc").write_text("2")
    assert git_state(tmp_path)["changed files"] == 0
    (tmp_path / "dghin/run/new").mkdir()
    for name in ("c.py", "d.py"):
        (tmp_path / "dghin/run/new" / name).write_text("2")
    assert git_state(tmp_path)["changed files"] == 2
    (tmp_path / "README.md").write_text("2")
    (tmp_path / "data_preprocess/b.py").unlink()
    assert git_state(tmp_path)["changed files"] == 4
    assert len(git_state(tmp_path)["commit"]) == 40


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
