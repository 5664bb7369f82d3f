"""One process alone behaves as the main one of many."""

import os

import pytest
import torch
from helpers.joint import given_by_main, together

from data_preprocess.base.errors import UserError
from data_preprocess.base.workers import cores
from dghin.run.processes import (
    Place,
    find_device,
    from_main,
    gather,
    mean_over_all,
    on_any,
    threads,
)

ALONE = Place(0, 1, torch.device("cpu"))


def test_alone():
    assert ALONE.is_main and not Place(1, 2, ALONE.device).is_main
    assert gather("mine", ALONE) == ["mine"]
    flags, numbers = on_any([True, torch.tensor(False)], ALONE, [torch.tensor(2.5)])
    assert (flags, numbers) == ([True, False], [2.5])
    values = {"loss": torch.tensor(2.0)}
    assert mean_over_all(values, ALONE) is values


def test_a_state_of_the_main_rank_is_on_all(tmp_path):
    state = {
        "model": {"w": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)},
        "random": [(3, (1, 2), None), torch.arange(5, dtype=torch.uint8)],
        "step": torch.tensor(4.0), "name": "run", "none": torch.empty(0, 7), "flag": True,
    }  # fmt: skip
    assert from_main(state, ALONE) is state
    for mine, nothing in together(given_by_main, 2, tmp_path, state, None):
        assert nothing is None
        assert mine.keys() == state.keys()
        assert mine["random"][0] == state["random"][0] and mine["name"] == "run" and mine["flag"]
        pairs = [(mine["model"]["w"], state["model"]["w"]), (mine["random"][1], state["random"][1])]
        pairs += [(mine[name], state[name]) for name in ("step", "none")]
        for one, other in pairs:
            assert torch.equal(one, other) and one.dtype == other.dtype


def test_where_a_process_stands_is_torchruns_to_say(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Place.here() == Place(3, 4, torch.device("cpu"))


def test_threads_are_the_cores_of_a_process(monkeypatch):
    assert threads(3) == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(2 * cores()))
    assert threads(0) == 1
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert threads(0) == cores() <= (os.cpu_count() or 1)


def test_devices_that_are_not_here_are_named():
    assert find_device("cpu").type == "cpu"
    for name in ("gpu", "cuda:99", "meta", "", "cpu:1", "xla", "cuda,0"):
        with pytest.raises(UserError, match=f"device={name}: no such device here.*cpu"):
            find_device(name)
