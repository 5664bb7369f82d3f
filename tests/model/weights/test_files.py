"""Files of weights: every form that people have, and what stands where one should be."""

import json

import pytest
import torch
from safetensors.torch import save_file

from data_preprocess.base.errors import UserError
from dghin.model.weights.files import has_weights, read_weights

STATE = {"a.weight": torch.ones(2), "b.bias": torch.zeros(1)}


def assert_same(found):
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], value) for name, value in STATE.items())


@pytest.mark.parametrize("key", ["", "model", "state_dict", "model_state_dict", "module"])
def test_pickles_of_tensors_nested_or_not(tmp_path, key):
    torch.save({key: STATE, "epoch": 3} if key else STATE, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth", ""))


def test_folders_whole_and_in_parts(tmp_path):
    assert not has_weights(tmp_path)
    with pytest.raises(UserError, match="neither model.safetensors nor pytorch_model.bin in it"):
        read_weights(tmp_path, "")
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    assert has_weights(tmp_path)
    assert_same(read_weights(tmp_path, ""))
    parts = tmp_path / "parts"
    parts.mkdir()
    names = {name: f"{number}.safetensors" for number, name in enumerate(STATE)}
    for name, file in names.items():
        save_file({name: STATE[name]}, parts / file)
    index = parts / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": names}))
    assert has_weights(parts)
    assert_same(read_weights(parts, ""))
    (parts / "1.safetensors").unlink()
    with pytest.raises(UserError, match="1.safetensors: no such file"):
        read_weights(parts, "")
    index.write_text("[]")
    with pytest.raises(UserError, match="index.json: no list of files"):
        read_weights(parts, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, not weights by name"),
        (torch.ones(2), "holds a Tensor, not weights by name"),
        ({"epoch": 3}, r'no weights in it \(it has \["epoch"\]\)'),
        ({}, "no weights in it"),
        ({1: torch.ones(1)}, "no weights in it"),
    ],
)
def test_what_is_no_state_dict(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"w.pth: {message}.*Give another"):
        read_weights(tmp_path / "w.pth", "Give another.")


@pytest.mark.parametrize("ending", ["pth", "bin", "safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (b"<!doctype html><html>", "a web page"),
        (b"half of a file", "(cannot be read|not readable as PyTorch weights)"),
        ((10**9).to_bytes(8, "little") + b"{}", "(cannot be read|not readable as PyTorch weights)"),
    ],
)
def test_damaged_files(tmp_path, ending, content, message):
    path = tmp_path / f"w.{ending}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"w.{ending}: {message}.*Copy it again") as raised:
        read_weights(path, "Copy it again.")
    assert "\n" not in str(raised.value)


def test_a_file_that_was_cut_off(tmp_path):
    for name, save in (("w.pth", torch.save), ("w.safetensors", save_file)):
        save({"a": torch.ones(1000)}, tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match=f"{name}: (cannot be read|not readable)"):
            read_weights(tmp_path / name, "")
