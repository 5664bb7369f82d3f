"""The optimizer's groups, and how copies of tensors are made."""

import copy
import dataclasses

import pytest
import torch

from dghin.model.dghin import DGHIN
from dghin.run.processes import Place
from dghin.training.optimizer.groups import make_optimizer
from dghin.training.recipe import derive
from dghin.training.step import Stepper, copy_all


def test_a_part_with_scale_zero_is_frozen_and_has_no_group(tiny_model, tiny_config):
    settings = dataclasses.replace(
        tiny_config.train, backbone_learning_rate_scale=0.0, text_learning_rate_scale=0.5
    )
    groups = make_optimizer(tiny_model, settings).param_groups
    assert [group["scale"] for group in groups] == [0.5, 1.0]
    assert not any(p.requires_grad for p in tiny_model.visual_encoder.parameters())
    trained = {id(p) for group in groups for p in group["params"]}
    assert trained == {id(p) for p in tiny_model.parameters() if p.requires_grad}


def test_tensors_are_copied_into_place():
    source, target = [torch.ones(2), torch.zeros(3)], [torch.empty(2), torch.ones(3)]
    places = [t.data_ptr() for t in target]
    copy_all(source, target)
    assert [t.tolist() for t in target] == [[1, 1], [0, 0, 0]]
    assert [t.data_ptr() for t in target] == places


def test_a_frozen_part_gets_no_gradient(tiny_config):
    model = DGHIN(tiny_config.model)
    settings = dataclasses.replace(tiny_config.train, text_learning_rate_scale=0.0)
    groups = make_optimizer(model, settings).param_groups
    trained = {id(p) for group in groups for p in group["params"]}
    assert not any(id(p) in trained or p.requires_grad for p in model.text_encoder.parameters())
    assert len(trained) + len(list(model.text_encoder.parameters())) == len(
        list(model.parameters())
    )


@pytest.mark.parametrize("there", [False, True])
def test_moments_take_their_weights_layout_on_loading(tiny_config, there):
    """A checkpoint of the other memory layout: the next update is that of an undisturbed run."""
    place, device = Place(0, 1, torch.device("cpu")), torch.device("cpu")
    config, recipe = tiny_config, derive(tiny_config, 1, device)

    def stepper(last):
        torch.manual_seed(0)
        model = DGHIN(config.model)
        model.to(memory_format=torch.channels_last if last else torch.contiguous_format)
        return Stepper(model, config, recipe, place)

    def update(one):
        torch.manual_seed(1)
        for parameter in one.trained:
            noise = torch.randn(parameter.shape)
            parameter.grad = torch.empty_like(parameter).copy_(noise)  # laid out as autograd does
        for group in one.optimizer.param_groups:
            group["lr"] = 1e-2
        one.optimizer.step()

    first = stepper(there)
    update(first)
    saved = copy.deepcopy(first.state_dict())
    update(first)
    again = stepper(not there)
    again.load_state_dict(saved)
    update(again)
    kernels = 0
    for (name, one), other in zip(
        first.model.named_parameters(), again.model.parameters(), strict=True
    ):
        torch.testing.assert_close(other, one, atol=1e-6, rtol=1e-5, msg=name)
        state = again.optimizer.state[other]
        assert all(state[key].stride() == other.stride() for key in ("exp_avg", "exp_avg_sq"))
        kernels += one.stride() != other.stride()
    assert kernels > 5  # convolutions, whose layouts do differ
