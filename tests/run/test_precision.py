"""Precision and seeds."""

import random

import numpy as np
import pytest
import torch

from dghin.run.precision import (
    autocast,
    flags,
    flags_of_scoring,
    seed_everything,
    set_deterministic,
    supported_precision,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("asked", ["float32", "bfloat16", "float16"])
def test_products_have_the_precision_that_was_asked_for(asked):
    x = torch.ones(4, 4)
    with autocast(asked, CPU):
        assert (x @ x).dtype == getattr(torch, asked)
    assert (x @ x).dtype == torch.float32
    assert supported_precision(asked, CPU) == asked


def test_a_seed_fixes_every_generator():
    def draw():
        return random.random(), np.random.rand(), torch.rand(2).tolist()

    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert draw() != first


def test_deterministic_is_switched_on_and_off():
    try:
        set_deterministic(True)
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    finally:
        set_deterministic(False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark


def test_float16_where_bfloat16_is_missing(monkeypatch):
    card = torch.device("cuda")
    for has in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has, **_: has)
        assert supported_precision("bfloat16", card) == ("bfloat16" if has else "float16")
        assert supported_precision("float32", card) == "float32"
    assert supported_precision("bfloat16", torch.device("cpu")) == "bfloat16"


@pytest.mark.parametrize("on", [False, True])
def test_scoring_has_flags_of_its_own_and_gives_back_those_of_before(on):
    try:
        set_deterministic(on)
        before = flags()
        assert before["cudnn_benchmark"] == before["flash"] == (not on)
        with pytest.raises(ZeroDivisionError), flags_of_scoring():
            inside = flags()
            raise ZeroDivisionError
        assert flags() == before
    finally:
        set_deterministic(False)
    assert inside == {
        "deterministic": False, "cudnn_benchmark": False, "matmul_precision": "highest",
        "flash": True, "memory_efficient": True, "cudnn_attention": True,
    }  # fmt: skip
