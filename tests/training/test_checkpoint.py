"""Checkpoints: whole or not at all, damaged ones skipped, generators restored."""

import random

import numpy as np
import pytest
import torch

from data_preprocess.base.errors import UserError
from dghin.training.checkpoint import (
    checkpoints,
    load_newest,
    random_state,
    save_checkpoint,
    set_random_state,
)


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_random_state_survives_the_disk(tmp_path):
    save_checkpoint(tmp_path, {"iteration": 1, "random": random_state()})
    expected = draw()
    draw()
    set_random_state(load_newest(tmp_path)["random"])
    assert draw() == expected


def test_the_newest_are_kept(tmp_path):
    for iteration in (5, 10, 15, 20):
        save_checkpoint(tmp_path, {"iteration": iteration}, keep=2)
    assert [path.stem for path in checkpoints(tmp_path)] == [
        "checkpoint-0000020",
        "checkpoint-0000015",
    ]
    assert load_newest(tmp_path)["iteration"] == 20


def test_a_damaged_newest_is_named_and_skipped(tmp_path, caplog):
    save_checkpoint(tmp_path, {"iteration": 1, "x": torch.zeros(100)})
    newest = save_checkpoint(tmp_path, {"iteration": 2, "x": torch.zeros(100)})
    newest.write_bytes(newest.read_bytes()[:500])
    assert load_newest(tmp_path)["iteration"] == 1
    assert str(newest) in caplog.text


def test_a_failing_save_leaves_the_old_one_and_no_rest(tmp_path):
    save_checkpoint(tmp_path, {"iteration": 1})
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(tmp_path, {"iteration": 2, "x": lambda: 0})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-0000001.pt"]


def test_with_all_damaged_nothing_starts_anew_by_itself(tmp_path):
    path = save_checkpoint(tmp_path, {"iteration": 1, "x": torch.zeros(100)})
    path.write_bytes(b"torn")
    with pytest.raises(UserError, match="0001.damaged: damaged, and so is every other"):
        load_newest(tmp_path)


def test_nothing_there(tmp_path):
    assert load_newest(tmp_path) is None


def test_another_format_is_refused(tmp_path):
    torch.save({"format": 0, "iteration": 3}, tmp_path / "checkpoint-0000003.pt")
    with pytest.raises(UserError, match="checkpoint-0000003.pt: checkpoint format 0"):
        load_newest(tmp_path)


def test_random_state_travels_between_processes():
    """all_gather_object pickles; torch cannot read a pickled uint32 tensor back."""
    import pickle

    state = pickle.loads(pickle.dumps(random_state()))
    expected = np.random.rand()
    set_random_state(state)
    assert np.random.rand() == expected
