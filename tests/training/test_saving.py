"""Checkpoints written beside the training: of the moment they were asked for, errors not lost."""

import dataclasses
import logging
import threading
import time

import pytest
import torch
from helpers.killing import ended, start

from data_preprocess.base.errors import UserError
from dghin.run.processes import Place
from dghin.training.checkpoint import checkpoints
from dghin.training.saving import Saver
from dghin.training.trainer import Trainer, train

ALONE = Place(0, 1, torch.device("cpu"))


def with_train(config, **values):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **values))


class Slow:
    """Takes what is written when it is let go."""

    def __init__(self):
        self.go, self.written = threading.Event(), []

    def __call__(self, state):
        assert self.go.wait(60)
        self.written.append({name: value.clone() for name, value in state.items()})


def test_the_copy_is_of_the_moment_it_was_asked_for():
    write, weight = Slow(), torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    expected = weight.clone()
    with Saver(write) as saver:
        saver.save({"weight": weight}, beside=True)
        weight.zero_()  # the training goes on
        assert not write.written
        write.go.set()
    (state,) = write.written
    assert torch.equal(state["weight"], expected)
    assert state["weight"].stride() == expected.stride()


def test_the_room_of_a_copy_is_used_again_where_it_fits():
    written = []
    saver = Saver(lambda state: written.append({k: v.data_ptr() for k, v in state.items()}))
    for shape in ((3, 2), (3, 2), (4, 2)):
        saver.save({"a": torch.ones(5), "b": torch.ones(shape)}, beside=True)
        saver.wait()
    assert written[0] == written[1] and written[0]["a"] == written[2]["a"]
    assert [room.shape for room in saver.room] == [(5,), (4, 2)]


def test_a_second_one_waits_for_the_first():
    write = Slow()
    with Saver(write) as saver:
        saver.save({"x": torch.tensor(1)}, beside=True)
        threading.Timer(0.2, write.go.set).start()
        saver.save({"x": torch.tensor(2)})
        assert [int(state["x"]) for state in write.written] == [1, 2]


def test_an_error_of_the_thread_is_raised_by_the_next_call():
    def fail(state):
        raise UserError("disk: full")

    saver = Saver(fail)
    saver.save({}, beside=True)
    saver.thread.join()
    with pytest.raises(UserError, match="disk: full"):
        saver.check()
    saver.check()  # once is enough
    with pytest.raises(UserError), Saver(fail) as saver:
        saver.save({}, beside=True)


def test_beside_another_error_it_is_logged(caplog):
    def fail(state):
        raise UserError("disk: full")

    with pytest.raises(KeyError), Saver(fail) as saver:
        saver.save({}, beside=True)
        raise KeyError
    assert "disk: full" in caplog.text


def test_due_by_the_clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    saver = Saver(lambda state: None)
    assert not saver.is_due(10)
    now[0] += 600
    assert saver.is_due(10) and not saver.is_due(11) and not saver.is_due(0)
    saver.save({})
    assert not saver.is_due(10)


def test_a_training_saves_by_time(tiny_config, tmp_path):
    """So often that each step is late: as many checkpoints as steps."""
    config = with_train(
        tiny_config, iterations=4, validate_every=4, save_minutes=1e-9, keep_checkpoints=9
    )
    train(config, tmp_path)
    assert len(checkpoints(tmp_path / "train")) == 4
    hours = with_train(config, save_minutes=600)
    train(hours, tmp_path / "rare")
    assert len(checkpoints(tmp_path / "rare/train")) == 1


def test_a_full_disk_ends_the_training_and_leaves_the_older_ones(
    tiny_config, tmp_path, monkeypatch
):
    config = with_train(tiny_config, iterations=6, validate_every=6, save_every=1)
    trainer, save = Trainer(config, tmp_path, ALONE), torch.save

    def full(state, path):
        if state["iteration"] == 3:
            raise OSError(28, "No space left on device")
        save(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="0003.pt: not written .*No space left.*older checkpoints"):
        trainer.run()
    names = [path.stem for path in checkpoints(tmp_path / "train")]
    assert names == ["checkpoint-0000002", "checkpoint-0000001"]


@pytest.mark.slow
def test_killed_while_the_thread_writes(tiny_config, tmp_path, caplog):
    """In the middle of a checkpoint, before its sync, its rename, the removal of an older one."""
    caplog.set_level(logging.INFO)
    config = with_train(tiny_config, iterations=4, validate_every=4, save_every=1)
    train(config, tmp_path / "whole")
    whole = torch.load(checkpoints(tmp_path / "whole/train")[0], weights_only=True)
    for moment in (10, 13):
        folder = tmp_path / f"killed{moment}"
        with ended(start(config, folder, die_at=moment)) as child:
            child.join()
        assert child.exitcode == -9
        train(config, folder)
        other = torch.load(checkpoints(folder / "train")[0], weights_only=True)
        for name, value in whole["model"].items():
            assert torch.equal(value, other["model"][name]), (moment, name)
