"""What a run writes down: each line once, also after stops; times; TensorBoard."""

import dataclasses
import importlib.util
import json
import logging
import math
import time

import pytest
import torch

from dghin.run.processes import Place
from dghin.run.stopping import Interrupted
from dghin.training.logbook import Clock, finite, generalized_line
from dghin.training.trainer import Trainer, train

ALONE = Place(0, 1, torch.device("cpu"))


def with_train(config, **values):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **values))


def lines(folder, kind=""):
    found = [json.loads(x) for x in (folder / "train/log.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"].startswith(kind)]


@pytest.mark.slow
def test_means_are_over_all_steps_since_the_line_before_also_after_a_stop(tiny_config, tmp_path):
    """A stop in the middle of a line's steps changes nothing."""
    config = with_train(tiny_config, iterations=6)
    train(config, tmp_path / "single")
    config = with_train(config, log_every=3)
    train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(with_train(config, stop_at=2), tmp_path / "parts")
    train(config, tmp_path / "parts")
    single, whole, parts = (lines(tmp_path / x, "train") for x in ("single", "whole", "parts"))
    for number, line in enumerate(whole):
        own = single[3 * number : 3 * number + 3]
        for name in ("loss", "seg", "gradient_norm"):
            assert line[name] == pytest.approx(sum(x[name] for x in own) / 3)
            assert line[name] == parts[number][name]
    assert [line["iteration"] for line in parts] == [3, 6]


def test_lines_past_the_checkpoint_are_dropped_and_starts_kept(tiny_config, tmp_path):
    config = with_train(tiny_config, save_every=1, validate_every=2, keep_checkpoints=9)
    train(config, tmp_path)
    log = tmp_path / "train/log.jsonl"
    log.write_text(log.read_text() + '{"kind": "tra')  # by a kill
    for path in (tmp_path / "train").glob("checkpoint-*[34].pt"):
        path.unlink()
    before, before_bytes = lines_up_to(tmp_path, 2), log.read_bytes()
    trainer = Trainer(config, tmp_path, ALONE)
    trainer.progress.validated = 0  # as killed between writing the score's line and the checkpoint
    with trainer.report as report:
        assert (tmp_path / "train/log.jsonl").read_bytes() == before_bytes, "no step was taken"
        report.begin()
        report.begin()  # once
    kept = lines(tmp_path)
    assert [x for x in kept[:-1]] == [x for x in before if x["kind"] != "val"]
    assert kept[-1]["kind"] == "start" and kept[-1]["iteration"] == 2


def lines_up_to(folder, iteration):
    text = (folder / "train/log.jsonl").read_text().splitlines()[:-1]
    return [x for x in map(json.loads, text) if x["iteration"] <= iteration]


def test_elapsed_goes_on_after_a_stop(tiny_config, tmp_path, monkeypatch):
    now = time.monotonic
    with pytest.raises(Interrupted):
        train(with_train(tiny_config, stop_at=2), tmp_path)
    (first,) = lines(tmp_path, "train")[-1:]
    state = torch.load(tmp_path / "train/checkpoint-0000002.pt", weights_only=True)
    assert state["report"]["elapsed"] >= first["elapsed"]
    monkeypatch.setattr("time.monotonic", lambda: now() + 1000)
    train(tiny_config, tmp_path)
    elapsed = [line["elapsed"] for line in lines(tmp_path, "train")]
    assert elapsed == sorted(elapsed) and elapsed[-1] < 500  # the pause does not count


def test_a_start_says_what_runs(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    (start,) = lines(tmp_path, "start")
    assert start["iterations"] == 4 and start["world"] == 1 and start["parameters"] > 1000
    assert start["time"].endswith("+00:00")


def test_numbers_that_are_not_finite_are_null():
    values = {"a": math.nan, "b": math.inf, "c": 1.5, "d": 3, "e": "nan"}
    assert finite(values) == {"a": None, "b": None, "c": 1.5, "d": 3, "e": "nan"}


def test_the_clock_keeps_training_apart(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    clock = Clock()
    for seconds in (2.0, 4.0):
        now[0] += seconds
        clock.steps += 1
        with clock.aside("validation"):
            now[0] += 10 * seconds
        now[0] += 1.0
    assert clock.mean("training") == 4.0 and clock.mean("validation") == 30.0
    assert clock.mean("saving") == 0 and clock.total() == 68.0
    assert clock.lap() == 8.0 and clock.lap() == 0.0


def test_time_left_counts_validations(tiny_config, tmp_path):
    config = with_train(tiny_config, iterations=10, validate_every=5, save_every=2)
    trainer = Trainer(config, tmp_path, ALONE)
    trainer.report.clock.mean = {"training": 1.0, "validation": 100.0, "saving": 10.0}.get
    assert trainer.report.time_left() == 10 + 2 * 100 + 5 * 10


def test_the_screen_shows_progress_and_time_left(tiny_config, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(tiny_config, tmp_path)
    assert "iteration 4/4  loss" in caplog.text and "0:00 left" in caplog.text


def test_tensorboard_shows_the_curves_once_also_after_a_stop(tiny_config, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = with_train(tiny_config, tensorboard=True, save_every=1, keep_checkpoints=9)
    with pytest.raises(Interrupted):
        train(with_train(config, stop_at=3), tmp_path)
    (tmp_path / "train/checkpoint-0000003.pt").unlink()  # as killed before it was written
    train(config, tmp_path)
    board = EventAccumulator(str(tmp_path / "train/tensorboard"))
    board.Reload()
    assert {"train/loss", "train/lr", "train/gradient_norm", "val/oiou"} <= set(
        board.Tags()["scalars"]
    )
    points = [(point.step, point.value) for point in board.Scalars("train/loss")]
    expected = [(line["iteration"], line["loss"]) for line in lines(tmp_path, "train")]
    assert [step for step, _ in points] == [step for step, _ in expected] == [1, 2, 3, 4]
    assert [value for _, value in points] == pytest.approx([value for _, value in expected])


def test_without_tensorboard_the_log_is_all(tiny_config, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "tensorboard" else find(name)
    )
    train(with_train(tiny_config, tensorboard=True), tmp_path)
    assert not (tmp_path / "train/tensorboard").exists() and len(lines(tmp_path, "train")) == 4


def test_validations_with_expressions_without_a_target_have_their_own_words():
    score = {"score": 0.0, "giou": 0.4, "ciou": 0.0, "n_acc": 1.0, "t_acc": 0.0, "count": 10,
             "empty": 4}  # fmt: skip
    line = generalized_line(7, "strict", score)
    assert "mean IoU" not in line and "score 0.0000" in line and "gIoU 0.4000" in line
    assert "N-acc 1.0000, T-acc 0.0000" in line and "10 expressions, 4 without a target" in line
    assert "every answer to one with a target is empty" in line
    assert "is empty" not in generalized_line(7, "strict", score | {"t_acc": 0.1})
    alone = {name: value for name, value in score.items() if name != "t_acc"}
    assert "a network that marks nothing is right everywhere" in generalized_line(7, "paper", alone)
