"""The optimizer's groups, and how copies of tensors are made."""

import dataclasses

import torch

from dghin.model.dghin import DGHIN
from dghin.training.step import copy_all, make_optimizer


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
