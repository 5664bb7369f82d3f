"""Channels-last weights: the strides that their gradients have, under two processes, too."""

import dataclasses
import functools

import pytest
import torch
from helpers.joint import together, warned_steps
from torch import nn

from dghin.training.device.layout import lay_out_channels_last

WARNING = "Grad strides do not match bucket view strides"
plainly_last = functools.partial(nn.Module.to, memory_format=torch.channels_last)


def test_every_convolution_is_channels_last_and_no_value_changes(tiny_model):
    before = {name: weight.clone() for name, weight in tiny_model.state_dict().items()}
    lay_out_channels_last(tiny_model)
    kernels = [weight for weight in tiny_model.parameters() if weight.dim() == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)
    level, width = tiny_model.levels[0], tiny_model.config.width
    assert level.entity_attention.query.weight.stride() == (width, 1, 1, 1)
    assert level.visual_graph.node[0].weight.stride() == (width, 1, 1, 1)
    for name, weight in tiny_model.state_dict().items():
        assert torch.equal(weight, before[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("joint_norm", ["off", "on"])
def test_two_processes_do_not_warn_of_strides(tiny_config, tmp_path, joint_norm):
    """No gradient has other strides than its weight, and the losses are the plain layout's."""
    model = dataclasses.replace(tiny_config.model, text_dropout=0.0, drop_path=0.0)
    train = dataclasses.replace(tiny_config.train, joint_norm=joint_norm)
    config = dataclasses.replace(tiny_config, model=model, train=train)
    for losses, warned in together(warned_steps, 2, tmp_path, config, 2, lay_out_channels_last):
        assert not [text for text in warned if WARNING in text]
        plain = losses
    others = together(warned_steps, 2, tmp_path, config, 2, plainly_last)
    assert any(WARNING in text for _, warned in others for text in warned)  # so the test can fail
    for mine, theirs in zip(plain, others[0][0], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-9)
