"""Which expressions a step takes, and how samples become a batch."""

import numpy as np
import pytest
import torch

from dghin.data.batches import LANGUAGE, TrainingBatches, collate, language_of

IMAGES = [f"{i // 3}.jpg" for i in range(24)]


def pieces(**settings):
    return list(TrainingBatches(IMAGES, **settings))


@pytest.mark.parametrize("per_image", [1, 3])
def test_a_step_takes_the_same_whatever_the_number_of_ranks(per_image):
    common = {"seed": 4, "expressions_per_image": per_image, "end": 5}
    whole = pieces(piece=6, **common)
    ranks = [pieces(piece=3, rank=rank, world=2, **common) for rank in range(2)]
    accumulated = pieces(piece=2, accumulation=3, **common)
    for step, taken in enumerate(whole):
        assert taken == ranks[0][step] + ranks[1][step]
        assert taken == sum(accumulated[3 * step : 3 * step + 3], [])


def test_an_epoch_takes_everything_once_and_a_resumed_run_goes_on():
    taken = pieces(piece=6, end=8)
    assert sorted(sum(taken[:4], [])) == sorted(sum(taken[4:], [])) == list(range(24))
    assert taken[:4] != taken[4:]
    assert pieces(piece=6, start=3, end=8) == taken[3:]


def sample(index, image):
    words = {name: np.full(5, index, np.int64) for name in LANGUAGE}
    pixels = torch.full((3, 2, 2), int(image[0]), dtype=torch.uint8)
    return {"image": pixels, "image_name": image, "index": index, **words}


def test_a_shared_image_is_there_once():
    samples = [sample(i, f"{i // 2}.jpg") for i in range(4)]
    for each in samples:
        each["heads"] = np.zeros(5, np.int8)
    shared, apart = collate(samples, True), collate(samples, False)
    assert shared["image"].shape[0] == 2 and apart["image"].shape[0] == 4
    assert apart["image_index"] is None
    assert torch.equal(shared["image"][shared["image_index"]], apart["image"])
    assert shared["adjacency"].shape == (4, 5, 5) and shared["index"].tolist() == [0, 1, 2, 3]


def test_language_of_one_expression():
    from types import SimpleNamespace

    features = SimpleNamespace(**{name: np.arange(6).reshape(2, 3) for name in LANGUAGE})
    assert all((language_of(features, 1)[name] == [3, 4, 5]).all() for name in LANGUAGE)
