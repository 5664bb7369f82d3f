"""Which expressions a step takes, and how samples become a batch."""

import numpy as np
import pytest
import torch

from dghin.data.batches import LANGUAGE, TrainingBatches, collate, language_of
from dghin.data.dataset import open_split

IMAGES = [f"{i // 3}.jpg" for i in range(32)]


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


def test_language_of_one_expression():
    from types import SimpleNamespace

    features = SimpleNamespace(**{name: np.arange(6).reshape(2, 3) for name in LANGUAGE})
    assert all((language_of(features, 1)[name] == [3, 4, 5]).all() for name in LANGUAGE)


@pytest.mark.parametrize("per_image", [1, 2, 3])
def test_batches_cover_an_epoch_once_whatever_the_ranks(per_image):
    def of(world, rank, start=0):
        return list(TrainingBatches(IMAGES, 8 // world, rank, world, 5, per_image, start, 8))

    alone, two = of(1, 0), [of(2, 0), of(2, 1)]
    assert len(alone) == 8
    assert sorted(sum(alone[:4], [])) == list(range(32))
    assert sorted(sum(alone[4:], [])) == list(range(32)) and alone[:4] != alone[4:]
    assert [a + b for a, b in zip(*two, strict=True)] == alone
    assert of(1, 0, start=3) == alone[3:]  # going on from the middle of an epoch


def test_expressions_of_an_image_stand_together():
    order = TrainingBatches(IMAGES, 8, expressions_per_image=3).order(0)
    images = [IMAGES[i] for i in order]
    changes = sum(a != b for a, b in zip(images, images[1:], strict=False))
    assert changes == len(set(IMAGES)) - 1


def test_collate_shares_images(tiny_config):
    dataset = open_split(tiny_config, "train")
    samples = [dataset[i] for i in range(6)]
    plain = collate(samples, share_images=False)
    shared = collate(samples, share_images=True)
    assert plain["image"].shape[0] == 6 and plain["image_index"] is None
    assert shared["image"].shape[0] == len({s["image_name"] for s in samples})
    assert torch.equal(shared["image"][shared["image_index"]], plain["image"])
    assert shared["index"].tolist() == list(range(6))
    heads = torch.from_numpy(np.stack([s["heads"] for s in samples])).long()
    for i in range(6):
        for child, head in enumerate(heads[i].tolist()):
            expected = torch.zeros(17)
            if head >= 0:
                expected[head] = 1
            assert torch.equal(plain["adjacency"][i, child], expected)


@pytest.mark.parametrize("per_image", [1, 3])
def test_an_epoch_takes_mirror_images_of_some_photos_that_may_be(per_image):
    possible = np.arange(32) % 5 > 0
    common = {"seed": 4, "expressions_per_image": per_image, "end": 8}
    plain = pieces(piece=8, **common)
    flipped = pieces(piece=8, flip=0.5, possible=possible, **common)
    added = np.concatenate([np.subtract(a, b) for a, b in zip(flipped, plain, strict=True)])
    assert set(added) == {0, 32}  # the same expressions in the same order
    taken = np.concatenate(plain)
    assert not added[~possible[taken]].any()
    epochs = added[:32], added[32:]
    for order, epoch in zip((taken[:32], taken[32:]), epochs, strict=True):
        by_image = {}
        for index, mirrored in zip(order, epoch, strict=True):
            if possible[index]:
                by_image.setdefault(IMAGES[index], set()).add(mirrored)
        assert all(len(found) == 1 for found in by_image.values())  # an image's share it
    drawn = [dict(zip(taken[s], e, strict=True)) for s, e in zip((slice(32), slice(32, 64)), epochs,
             strict=True)]  # fmt: skip
    assert drawn[0] != drawn[1]  # an epoch draws anew


def test_mirror_images_are_the_same_whatever_the_ranks_and_after_a_stop():
    common = {"seed": 4, "flip": 0.5, "possible": np.ones(32, bool), "end": 8}
    whole = pieces(piece=8, **common)
    ranks = [pieces(piece=4, rank=rank, world=2, **common) for rank in range(2)]
    assert whole == [a + b for a, b in zip(*ranks, strict=True)]
    assert pieces(piece=8, start=5, **common) == whole[5:]
    always = pieces(piece=8, **(common | {"flip": 1.0}))
    assert min(map(min, always)) >= 32
