"""A run that is stopped, killed or cut off goes on as if nothing had been, to the last bit."""

import dataclasses
import json
import logging
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
import torch
from helpers.killing import ended, start
from safetensors.torch import load_file

from data_preprocess.base.errors import UserError
from dghin.run.processes import Place
from dghin.run.stopping import Interrupted
from dghin.training.checkpoint import checkpoints
from dghin.training.trainer import Trainer, train

ALONE = Place(0, 1, torch.device("cpu"))


def with_train(config, **values):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **values))


@pytest.fixture
def config(tiny_config):
    """Dropout, accumulation, validation and checkpoints between validations."""
    return with_train(
        tiny_config, iterations=6, batch_per_process=3, validate_every=3, save_every=1
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the run that nothing disturbs is kept for the module's tests."""
    return tmp_path_factory.mktemp("kept") / "whole"


@pytest.fixture
def whole(config, kept, tmp_path):
    """The run that nothing disturbs, in a folder that a test may go on in."""
    if not (kept / "train/best/model.safetensors").exists():
        train(config, kept)
    return Path(shutil.copytree(kept, tmp_path / "whole"))


def lines(folder, kind):
    """The lines of a run's log, without what depends on the clock or on the number of lives."""
    found = [json.loads(x) for x in (folder / "train/log.jsonl").read_text().splitlines()]
    clock = ("elapsed", "expressions_per_second", "time", "seconds", "loader_share", "peak_memory")
    return [{k: v for k, v in x.items() if k not in clock} for x in found if x["kind"] == kind]


def newest(folder):
    return torch.load(checkpoints(folder / "train")[0], weights_only=True)


def assert_equal(whole, other):
    """Final weights, optimizer, generators, best weights and scores: the same bits."""
    ours, theirs = newest(whole), newest(other)
    for key in ("iteration", "best", "validated", "skipped"):
        assert ours[key] == theirs[key], key
    for name, value in ours["model"].items():
        assert torch.equal(value, theirs["model"][name]), name
    own, other_own = (x["optimizer"].get("optimizers", [x["optimizer"]]) for x in (ours, theirs))
    for one, two in zip(own, other_own, strict=True):  # several: Muon and AdamW
        assert one["state"].keys() == two["state"].keys()
        for number, values in one["state"].items():
            for name, value in values.items():
                assert torch.equal(value, two["state"][number][name]), name
    for one, two in zip(ours["random"], theirs["random"], strict=True):
        assert torch.equal(one["torch"], two["torch"]) and one["python"] == two["python"]
    best, other_best = (load_file(x / "train/best/model.safetensors") for x in (whole, other))
    assert all(torch.equal(value, other_best[name]) for name, value in best.items())
    assert lines(whole, "val") == lines(other, "val")
    assert lines(whole, "train") == lines(other, "train")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_two_halves_are_one_whole_with_mirrored_photos_and_a_trained_start(
    config, tiny_model, tmp_path, workers
):
    """Even where the weights that it started from are gone."""
    tiny_model.save_pretrained(tmp_path / "start")
    weights = dataclasses.replace(config.weights, network=str(tmp_path / "start"))
    config = with_train(dataclasses.replace(config, weights=weights), flip=0.5, referent_weight=4.0)
    config = with_train(config, text_learning_rate_scale=0.0, backbone_learning_rate_scale=0.0)
    train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(with_train(config, stop_at=4, workers=workers), tmp_path / "halves")
    shutil.rmtree(tmp_path / "start")
    train(with_train(config, workers=workers), tmp_path / "halves")
    assert_equal(tmp_path / "whole", tmp_path / "halves")


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_two_halves_are_one_whole(config, whole, tmp_path, workers):
    halves = tmp_path / "halves"
    for stop_at in (3, 0):  # at 3 it ends before the validation that is due there
        ends = pytest.raises(Interrupted) if stop_at else _nothing()
        with ends:
            train(with_train(config, stop_at=stop_at, workers=workers), halves)
    assert_equal(whole, halves)


def test_two_halves_by_the_demos_recipe_are_one_whole(config, tmp_path):
    """Muon beside AdamW, channels last, a clipped gradient; stopped twice."""
    demo = {"optimizer": "muon", "channels_last": True, "clip_gradient": 1.0, "head_start": 0.03}
    demo |= {"text_learning_rate_scale": 0.0, "backbone_learning_rate_scale": 0.0}
    config = with_train(config, **demo)
    train(config, tmp_path / "whole")
    for stop_at in (2, 5, 0):
        with pytest.raises(Interrupted) if stop_at else _nothing():
            train(with_train(config, stop_at=stop_at), tmp_path / "halves")
    assert_equal(tmp_path / "whole", tmp_path / "halves")


def contents(folder):
    """Every file of a run's folder but the trainers' lock."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): path.read_bytes() for path in paths}


def test_who_only_looks_at_a_finished_run_leaves_its_records(config, whole, monkeypatch, caplog):
    """On another machine, by another command; a validation that is due is made, and noted."""
    caplog.set_level(logging.INFO)
    before = contents(whole)
    monkeypatch.setenv("DGHIN_COMMAND", "another")
    monkeypatch.setattr("dghin.run.environment.processor", lambda: "another")
    train(with_train(config, workers=1), whole)
    assert contents(whole) == before
    assert "all 6 iterations are taken" in caplog.text
    state = newest(whole)
    torch.save(state | {"validated": 3}, checkpoints(whole / "train")[0])
    train(config, whole)
    assert json.loads((whole / "environment.json").read_text())["train"]["command"] == "another"
    assert len(lines(whole, "start")) == 2 and len(lines(whole, "val")) == 2


@pytest.mark.slow
def test_who_dies_in_the_first_step_leaves_the_records(config, whole, monkeypatch):
    checkpoints(whole / "train")[0].unlink()
    before = contents(whole)
    monkeypatch.setenv("DGHIN_COMMAND", "another")
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr("dghin.training.step.Stepper.step", _no_memory)
        train(config, whole)
    assert contents(whole) == before
    train(config, whole)
    assert json.loads((whole / "environment.json").read_text())["train"]["command"] == "another"


def _no_memory(*_):
    raise MemoryError


def test_a_frozen_encoder_is_the_trained_one_after_a_stop(config, tmp_path):
    """Its sentences are looked up, and must be looked up of the restored weights."""
    config = with_train(config, text_learning_rate_scale=0.0)
    first = Trainer(config, tmp_path, ALONE)
    with torch.no_grad():  # as pretrained: other weights than the seed's
        for parameter in first.model.text_encoder.parameters():
            parameter.mul_(1.5)
    first.save()
    again = Trainer(config, tmp_path, ALONE)
    (batch, *_) = next(again.steps())
    words = batch["word_ids"], batch["attention_mask"]
    computed = again.model.text_encoder(*words).last_hidden_state
    assert again.model.look_up(words[0]) is not None
    torch.testing.assert_close(again.model.encode_text(*words), computed)


def test_a_run_that_is_past_its_end_is_refused(config, whole):
    shorter = with_train(config, iterations=4, resume_changed=True)
    with pytest.raises(UserError, match=r"at iteration 6, past the end of this run \(4\)"):
        train(shorter, whole)


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_ends_with_a_message(
    config, whole, tmp_path, monkeypatch, caplog, number
):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "parts"
    trainer = Trainer(config, folder, ALONE)
    step = trainer.stepper.step

    def signalled(*arguments):
        if trainer.progress.iteration == 2:
            os.kill(os.getpid(), number)
        return step(*arguments)

    monkeypatch.setattr(trainer.stepper, "step", signalled)
    from dghin.training.trainer import run

    with pytest.raises(Interrupted) as ending:
        run(trainer)
    assert ending.value.code == 128 + number
    assert f"stopped by {number.name}: saved after iteration 3 of 6" in caplog.text
    assert newest(folder)["iteration"] == 3
    assert lines(folder, "stopped")[-1]["reason"] == number.name
    train(config, folder)
    assert_equal(whole, folder)


@pytest.mark.slow
def test_a_signal_during_validation_loses_nothing(config, whole, tmp_path, monkeypatch):
    folder = tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(
            "dghin.training.trainer.evaluate_split",
            lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM),
        )
        with pytest.raises(Interrupted):
            train(config, folder)
    assert newest(folder)["iteration"] == 3 and newest(folder)["validated"] == 0
    assert not lines(folder, "val")
    train(config, folder)
    assert_equal(whole, folder)


def kill_at_random(config, folder, whole, kills, seed):
    """Kill a training over and over; whenever it got to its end, begin anew. → rounds ended."""
    moments, rounds, killed = random.Random(seed), 0, 0
    while killed < kills:
        with ended(start(config, folder)) as child:
            child.join(moments.uniform(0.0, 2.5))
            if child.exitcode is None:
                killed += 1
                continue
        assert child.exitcode == 0
        assert_equal(whole, folder)
        shutil.rmtree(folder)
        rounds += 1
    with ended(start(config, folder)) as child:
        child.join()
    assert child.exitcode == 0
    assert_equal(whole, folder)
    return rounds + 1


@pytest.mark.slow
def test_killed_at_random_moments(config, whole, tmp_path):
    kill_at_random(config, tmp_path / "killed", whole, 6, seed=0)


@pytest.mark.slow
def test_killed_dozens_of_times(config, whole, tmp_path):
    kill_at_random(config, tmp_path / "killed", whole, 60, seed=1)


def kill_while_writing(config, whole, folder, moments):
    """Kill a training at those of its steps of writing files; → how many times it died."""
    died = 0
    for moment in moments:
        with ended(start(config, folder, die_at=moment)) as child:
            child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        died += 1
        train(config, folder)
        assert not list((folder / "train").glob(".checkpoint-*"))  # no half-written file stays
        assert_equal(whole, folder)
        shutil.rmtree(folder)
    return died


@pytest.fixture
def short(config, tmp_path):
    """A run of two steps that nothing disturbs, and its config."""
    config = with_train(config, iterations=2, validate_every=1)
    train(config, tmp_path / "short")
    return config, tmp_path / "short"


@pytest.mark.slow
def test_killed_while_it_writes(short, tmp_path):
    """Before a sync, a rename, a removal, and in the middle of a checkpoint."""
    moments = (2, 10, 18, 26)
    assert kill_while_writing(*short, tmp_path / "killed", moments) == 4


@pytest.mark.slow
def test_killed_at_every_other_step_of_writing(short, tmp_path):
    """Those of one parity; the moments above are of the other."""
    assert kill_while_writing(*short, tmp_path / "killed", range(1, 500, 2)) >= 14


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "overwritten", "empty"])
def test_a_damaged_newest_checkpoint_is_named_and_skipped(config, whole, tmp_path, caplog, damage):
    folder = tmp_path / "parts"
    with pytest.raises(Interrupted):
        train(with_train(config, stop_at=5), folder)
    path = checkpoints(folder / "train")[0]
    content = bytearray(path.read_bytes())
    if damage == "overwritten":
        middle = len(content) // 2
        for place in range(middle, middle + 200):  # zeros would leave zeros as they are
            content[place] ^= 0xFF
    path.write_bytes(content if damage == "overwritten" else content[: 900 * (damage != "empty")])
    train(config, folder)
    assert f"{path}: damaged" in caplog.text
    assert_equal(whole, folder)


def test_other_data_is_refused_with_the_difference(config, whole, shapes, tmp_path):
    prepared = tmp_path / "prepared"
    shutil.copytree(shapes / "data_v3", prepared)
    manifest = prepared / "anns/refcoco/manifest.json"
    values = json.loads(manifest.read_text())
    values["splits"]["train"]["annotations_sha256"] = "0" * 64
    values["images_folder"] = os.path.relpath(shapes / "images/train2014", prepared)
    manifest.write_text(json.dumps(values))
    other = dataclasses.replace(
        config, data=dataclasses.replace(config.data, prepared=str(prepared))
    )
    with pytest.raises(UserError, match=r"digests.train.annotations_sha256.*000.*resume_changed"):
        train(other, whole)


@pytest.mark.slow
def test_told_to_it_goes_on_under_other_settings(config, whole, caplog):
    longer = with_train(config, iterations=10, learning_rate=1e-4)
    with pytest.raises(UserError, match=r"train.iterations': \(6, 10\).*resume_changed=true"):
        train(longer, whole)
    train(with_train(longer, resume_changed=True), whole)
    assert newest(whole)["iteration"] == 10
    changed = lines(whole, "changed")[-1]["changed"]
    assert changed["train.iterations"] == [6, 10] and "train.learning_rate" in changed
    assert "under other conditions" in caplog.text
