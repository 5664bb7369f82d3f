"""Which parameters learn by which rule, and the state of both rules."""

import copy
from dataclasses import replace

import pytest
import torch

from dghin.training.optimizer.groups import NARROWEST, Together, make_optimizer
from dghin.training.optimizer.muon import Muon

SCALES = {"backbone_learning_rate_scale": 0.5, "text_learning_rate_scale": 0.0}


@pytest.fixture
def settings(tiny_config):
    return replace(tiny_config.train, optimizer="muon", **SCALES)


def test_every_parameter_that_learns_has_one_rule(tiny_model, settings):
    optimizer = make_optimizer(tiny_model, settings)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    learning = {id(p) for p in tiny_model.parameters() if p.requires_grad}
    assert len(parameters) == len(learning) and {id(p) for p in parameters} == learning
    assert not any(p.requires_grad for p in tiny_model.text_encoder.parameters())
    _, muon = optimizer.optimizers
    assert isinstance(muon, Muon)
    moved = [p for group in muon.param_groups for p in group["params"]]
    assert moved and all(min(p.flatten(1).shape) >= NARROWEST for p in moved)
    scales = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    assert {scales[id(p)] for p in tiny_model.visual_encoder.parameters()} == {0.5}


def stepped(model, settings, count, state=None):
    optimizer = make_optimizer(model, settings)
    if state:
        optimizer.load_state_dict(state)
    random = torch.Generator().manual_seed(count)
    for group in optimizer.param_groups:
        group["lr"] = 1e-2
        for parameter in group["params"]:
            parameter.grad = torch.randn(parameter.shape, generator=random)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


def test_the_state_goes_on_to_the_bit(tiny_model, settings):
    first = stepped(tiny_model, settings, 0)
    state = copy.deepcopy(first.state_dict())
    assert len(first.state) == len([p for g in first.param_groups for p in g["params"]])
    weights = {name: x.clone() for name, x in tiny_model.state_dict().items()}
    ends = []
    for given in (state, state, None):
        tiny_model.load_state_dict(weights)
        stepped(tiny_model, settings, 1, copy.deepcopy(given))
        ends.append({name: x.clone() for name, x in tiny_model.state_dict().items()})
    assert all(torch.equal(ends[1][name], x) for name, x in ends[0].items())
    assert any(not torch.equal(ends[2][name], x) for name, x in ends[0].items())


def test_another_optimizers_state_is_refused(tiny_model, settings):
    muon = make_optimizer(tiny_model, settings)
    adamw = make_optimizer(tiny_model, replace(settings, optimizer="adamw"))
    assert isinstance(muon, Together)
    with pytest.raises(ValueError):
        muon.load_state_dict(adamw.state_dict())
    with pytest.raises((ValueError, KeyError)):
        adamw.load_state_dict(muon.state_dict())
