"""Batches from worker processes: in order, exact, and honest about a bad sample."""

import random

import numpy as np
import pytest
import torch

from data_preprocess.base.errors import UserError
from dghin.data.dataset import open_split
from dghin.data.loading import load_batches

BATCHES = [[0, 1], [2, 3], [4, 5], [6, 7]]


class Drawing:
    """Samples that draw from every generator, as an augmentation would."""

    def name(self, index):
        return f"sample {index}"

    def __getitem__(self, index):
        draws = random.random(), float(np.random.rand()), float(torch.rand(()))
        return torch.tensor([index, *draws], dtype=torch.float64)


class Failing(Drawing):
    def __getitem__(self, index):
        if index == 3:
            raise UserError("photo.jpg: not readable as an image. Fetch it again.")
        if index == 5:
            raise ZeroDivisionError("not expected")
        return super().__getitem__(index)


def drawn(batches=BATCHES, first=0, samples=None, **values):
    return list(load_batches(samples or Drawing(), batches, torch.stack, first=first, **values))


def equal(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_draws_depend_on_the_seed_and_the_place_only():
    alone = drawn()
    assert [b[:, 0].tolist() for b in alone] == BATCHES
    assert len({x for b in alone for x in b[:, 1].tolist()}) == 8  # every sample its own
    assert equal(alone, drawn(workers=1)) and equal(alone, drawn(workers=2))
    assert not equal(alone, drawn(seed=(1,)))


@pytest.mark.parametrize("workers", [0, 2])
def test_draws_go_on_after_a_resume(workers):
    assert equal(drawn()[2:], drawn(BATCHES[2:], first=2, workers=workers))


def test_loading_leaves_the_generators_of_the_main_process():
    def draw():
        return random.random(), np.random.rand(), float(torch.rand(()))

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    drawn()
    after = draw()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    assert draw() == after


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_sample_is_named(workers):
    with pytest.raises(UserError, match="^sample 3: photo.jpg: not readable") as found:
        drawn(samples=Failing(), workers=workers)
    assert "Traceback" not in str(found.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unexpected_error_is_named_and_traced(workers):
    with pytest.raises(RuntimeError, match="^sample 5:(?s:.*)ZeroDivisionError: not expected"):
        drawn(BATCHES[2:], samples=Failing(), workers=workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_names_expression_and_file(tiny_config, workers, monkeypatch):
    """Id, words and file of the sample, from inside a worker."""
    dataset = open_split(tiny_config, "train")
    expression = dataset.expressions[2]

    def broken(name):
        raise UserError(f"{name}: not readable as an image")

    monkeypatch.setattr(dataset, "resized_image", broken)
    with pytest.raises(UserError) as found:
        list(load_batches(dataset, [[2]], list, workers))
    for part in (expression.segment_id, expression.sentence, expression.image):
        assert part in str(found.value)
