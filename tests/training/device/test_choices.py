"""What `auto` comes to: on a CPU what was there before, on a GPU by its memory."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from dghin.run.config import Config, TrainConfig, load_config, settings_with_effect
from dghin.training.device.choices import (
    NAMES,
    ON_CPU,
    choose,
    largest_piece,
    without_choice,
)
from dghin.training.recipe import differences, kept_choices

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def card(monkeypatch):
    """A GPU of so many GiB; its name."""

    def put(memory):
        found = SimpleNamespace(name="NVIDIA H100", total_memory=memory * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)

    return put


def test_on_a_cpu_nothing_changes():
    settings, reasons = choose(TrainConfig(), CPU)
    assert {name: getattr(settings, name) for name in NAMES} == ON_CPU
    assert ON_CPU == {"precision": "float32", "compile": False, "channels_last": False,
                      "recompute": True, "batch_per_process": 6}  # fmt: skip
    assert set(reasons) == set(NAMES)


@pytest.mark.parametrize(
    ("memory", "piece", "recompute"), [(80, 24, False), (32, 24, False), (24, 12, False),
                                       (12, 6, True)]
)  # fmt: skip
def test_on_a_gpu_by_its_memory(card, memory, piece, recompute):
    card(memory)
    settings, reasons = choose(TrainConfig(), CUDA)
    assert settings.precision == "bfloat16" and settings.compile and settings.channels_last
    assert (settings.batch_per_process, settings.recompute) == (piece, recompute)
    assert f"NVIDIA H100 has {memory} GiB" in reasons["batch_per_process"]


def test_what_is_set_stays_and_has_no_reason(card):
    card(80)
    given = TrainConfig(precision="float32", compile=False, batch_per_process=3)
    settings, reasons = choose(given, CUDA)
    assert (settings.precision, settings.compile, settings.batch_per_process) == (
        "float32", False, 3)  # fmt: skip
    assert set(reasons) == {"channels_last", "recompute"}


def test_float32_halves_the_piece_and_exact_runs_are_not_compiled(card):
    card(80)
    assert choose(TrainConfig(precision="float32"), CUDA)[0].batch_per_process == 12
    assert choose(TrainConfig(deterministic=True), CUDA)[0].compile is False
    assert choose(TrainConfig(checkpoint_activations=True), CUDA)[0].compile is False


def test_a_resumed_run_keeps_the_choices_of_its_checkpoint(card):
    card(80)
    chosen = dataclasses.replace(Config(), train=choose(TrainConfig(), CUDA)[0])
    kept = kept_choices(settings_with_effect(chosen))
    settings, reasons = choose(TrainConfig(), CPU, kept)
    assert settings.precision == "bfloat16" and settings.batch_per_process == 24
    assert {reasons[name] for name in kept} == {"as the checkpoint has it"}
    assert set(reasons) - set(kept) == {"recompute"}  # without effect on the result


def test_a_checkpoint_of_before_there_was_auto_is_the_same_run():
    """On a CPU the choices are the old defaults, which an older checkpoint holds or leaves out."""
    here = settings_with_effect(dataclasses.replace(Config(), train=choose(TrainConfig(), CPU)[0]))
    assert settings_with_effect(without_choice(Config())) == here
    for missing in (f"train.{name}" for name in NAMES):
        assert differences({k: v for k, v in here.items() if k != missing}, here) == {}


def test_the_largest_piece_that_divides_and_fits():
    assert largest_piece(24, 24, lambda piece: True) == 24
    assert largest_piece(24, 24, lambda piece: piece <= 10) == 8
    assert largest_piece(5, 24, lambda piece: True) == 4
    assert largest_piece(24, 24, lambda piece: False) == 1


def test_words_and_files_set_them():
    assert load_config("refcoco", ["train.compile=true"]).train.compile is True
    assert load_config("refcoco", ["train.recompute=auto"]).train.recompute == "auto"
    assert load_config("demo").train.channels_last is True
