"""One pass over several expressions of an image equals a pass for each."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from data_preprocess.language.features import Features
from dghin.data.dataset import open_split
from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.segmenters import network
from dghin.evaluation.segmenters.network import (
    Network,
    graph_spread,
    segment,
    with_short_weights,
)
from dghin.model.dghin import DGHIN
from dghin.run.precision import autocast, flags, set_deterministic
from dghin.run.processes import Place
from dghin.training.trainer import train

ALONE = Place(0, 1, torch.device("cpu"))


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


def test_a_looked_up_table_of_sentences_is_not_copied(tiny_model):
    class Table:
        def __call__(self, word_ids, rows=None):
            return None

    tiny_model.look_up = Table()
    assert with_short_weights(tiny_model, torch.bfloat16).look_up is tiny_model.look_up


@pytest.mark.parametrize("deterministic", [False, True])
def test_validation_and_evaluation_have_the_same_flags(
    tiny_model, tiny_config, tmp_path, monkeypatch, deterministic
):
    """Recorded at every pass; without a GPU, the flags can still be read."""
    seen = []

    def recorded(*inputs):
        seen.append(flags())
        return autocast(*inputs)

    monkeypatch.setattr(network, "autocast", recorded)
    evaluate_run(tmp_path, tiny_config, ["val"], model=tiny_model, place=ALONE)
    evaluated, seen[:] = list(seen), []
    settings = dataclasses.replace(
        tiny_config.train,
        deterministic=deterministic, matmul_precision="high", iterations=1, validate_every=1,
    )  # fmt: skip
    try:
        train(dataclasses.replace(tiny_config, train=settings), tmp_path / "run")
        training = flags()  # as they are again after the validation
    finally:
        set_deterministic(False)
        torch.backends.cudnn.benchmark = False
        torch.set_float32_matmul_precision("highest")
    assert len(seen) > len(evaluated) > 1  # more: on how many patches the graphs rest
    assert all(one == evaluated[0] for one in [*evaluated, *seen])
    assert training["matmul_precision"] == "high" and training["deterministic"] == deterministic
    assert training["cudnn_benchmark"] != deterministic
    assert not evaluated[0]["cudnn_benchmark"] and not evaluated[0]["deterministic"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_how_many_patches_the_graphs_rest(tiny_model, tiny_config, precision):
    dataset = open_split(tiny_config, "val")
    found = graph_spread(Network(tiny_model, precision), dataset, photos=2)
    names = [f"graph_{what}_{level}" for what in ("rows", "all") for level in (1, 2, 3)]
    assert list(found) == names
    for level, patches in enumerate((64, 16, 4), 1):  # at 64 pixels
        assert 1 <= found[f"graph_rows_{level}"] <= patches
        assert 1 <= found[f"graph_all_{level}"] <= patches
    two = list(dict.fromkeys(expression.image for expression in dataset.expressions))[:2]
    image = torch.stack([dataset.resized_image(name) for name in two])
    with torch.inference_mode():
        patches = tiny_model.encode_image(image).levels[2].patches
        rows = tiny_model.levels[2].visual_graph.rows(patches, torch.arange(4)).flatten(2)
    own = torch.special.entr(rows).sum(-1).exp().mean()
    assert found["graph_rows_3"] == pytest.approx(float(own), abs=0.05)


def test_a_network_without_visual_graph_has_no_spread(tiny_config):
    model = DGHIN(dataclasses.replace(tiny_config.model, visual_graph=False))
    assert graph_spread(Network(model), open_split(tiny_config, "val")) == {}
