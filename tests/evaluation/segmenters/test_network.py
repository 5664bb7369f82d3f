"""One pass over several expressions of an image equals a pass for each."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from data_preprocess.language.features import Features
from dghin.data.dataset import open_split
from dghin.evaluation.segmenters.network import Network, segment, with_short_weights
from dghin.run.precision import flags, set_deterministic


def test_expressions_together_and_alone(tiny_model, tiny_config):
    dataset = open_split(tiny_config, "val")
    features: Features = dataset.features[0:3]
    image = tiny_model.encode_image(dataset.resized_image(dataset.expressions[0].image)[None])
    with torch.inference_mode():
        together = segment(tiny_model, image, features)
        alone = [segment(tiny_model, image, dataset.features[i : i + 1]) for i in range(3)]
    assert together.shape == (3, 2, 64, 64)
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


@pytest.fixture
def asked(tiny_config):
    """A photo and three expressions."""
    dataset = open_split(tiny_config, "val")
    return dataset.resized_image(dataset.expressions[0].image), dataset.features[0:3]


def logits_of(network, asked):
    photo, features = asked
    seen, inputs = network.look(photo), SimpleNamespace(features=features)
    answers = network.answer(seen, inputs, np.arange(len(features)), "")
    return torch.stack([answer.values for answer in answers])


def test_float32_is_the_plain_pass_to_the_last_bit(tiny_model, asked):
    photo, features = asked
    with torch.inference_mode():
        plain = segment(tiny_model, tiny_model.encode_image(photo[None]), features)
    assert torch.equal(logits_of(Network(tiny_model), asked), plain)


def test_bfloat16_casts_the_weights_once_and_leaves_the_model(tiny_model, asked):
    before = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    network = Network(tiny_model, "bfloat16")
    short = logits_of(network, asked).float()
    after = tiny_model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(value.dtype == before[name].dtype for name, value in after.items())
    full = logits_of(Network(tiny_model), asked)
    assert not torch.equal(short, full)
    assert (short - full).abs().max() < 0.1 * full.std() + 0.02 * full.abs().max()
    assert (short.argmax(1) == full.argmax(1)).float().mean() > 0.97


def test_short_weights_are_those_of_products_and_nothing_else(tiny_model):
    short = with_short_weights(tiny_model, torch.bfloat16)
    parts = zip(tiny_model.modules(), short.modules(), strict=True)
    for own, copied in parts:
        is_product = isinstance(own, nn.Linear | nn.Conv2d)
        own_all, copied_all = own.parameters(recurse=False), copied.parameters(recurse=False)
        for mine, theirs in zip(own_all, copied_all, strict=True):
            assert (theirs.dtype == torch.bfloat16) is is_product
            assert is_product or theirs is mine
            assert theirs.dim() != 4 or theirs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("on", [True, False])
def test_a_training_and_an_evaluation_score_under_the_same_flags(
    tiny_model, asked, monkeypatch, on
):
    seen, look = [], tiny_model.encode_image
    monkeypatch.setattr(tiny_model, "encode_image", lambda x: seen.append(flags()) or look(x))
    network = Network(tiny_model)
    alone = logits_of(network, asked)
    try:
        set_deterministic(on)  # as a training does
        torch.set_float32_matmul_precision("medium")
        inside = flags()
        during = logits_of(network, asked)
        assert flags() == inside
    finally:
        set_deterministic(False)
        torch.set_float32_matmul_precision("highest")
    assert seen[0] == seen[1] != inside
    assert torch.equal(alone, during)
