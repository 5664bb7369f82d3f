"""Batch norms over all processes: equal to nn.BatchNorm on the joined batch."""

import dataclasses

import pytest
import torch
from helpers.joint import pass_through, small_network, steps_of, together

from dghin.run.processes import Place
from dghin.run.timm_import import timm
from dghin.training.device.joint_norm import JointNorm, use_joint_norms

ALONE = Place(0, 1, torch.device("cpu"))


@pytest.mark.parametrize(
    ("world", "compiled"),
    [(2, False), *(pytest.param(*x, marks=pytest.mark.slow) for x in [(3, False), (2, True)])],
)
def test_several_processes_are_one_on_the_joined_batch(tmp_path, world, compiled):
    """Far from zero, too, where plain sums of squares lose their digits."""
    x = torch.randn(6, 3, 5, 5, dtype=torch.float64) * 3 + 1000
    weight = torch.randn(6, 5, dtype=torch.float64)
    found = together(pass_through, world, tmp_path, x, weight, compiled)
    network, joined = small_network(), x.clone().requires_grad_()
    out = network(joined)
    (out * weight).sum().backward()
    close = {"rtol": 1e-8, "atol": 1e-8}
    torch.testing.assert_close(torch.cat([one["out"] for one in found]), out, **close)
    torch.testing.assert_close(torch.cat([one["x"] for one in found]), joined.grad, **close)
    for one in found:
        for mine, theirs in zip(one["gradients"], network.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs.grad, rtol=1e-6, atol=1e-7)
        for mine, theirs in zip(one["buffers"], network.buffers(), strict=True):
            torch.testing.assert_close(mine, theirs, **close)


@pytest.mark.slow
def test_two_processes_train_as_one_on_the_joined_batch(tiny_config, tmp_path):
    """The whole network: losses of three steps within 1e-5."""
    model = dataclasses.replace(tiny_config.model, text_dropout=0.0, drop_path=0.0)
    train = dataclasses.replace(
        tiny_config.train,
        batch=6,
        batch_per_process=6,
        expressions_per_image=1,
        joint_norm="on",
        referent_weight=0.9,
    )
    config = dataclasses.replace(tiny_config, model=model, train=train)
    first, second = together(steps_of, 2, tmp_path, config, 3)
    (alone,) = together(steps_of, 1, tmp_path, config, 3)
    assert first == second
    for mine, theirs in zip(first, alone, strict=True):
        for name, value in theirs.items():
            assert mine[name] == pytest.approx(value, abs=1e-5), name
    apart = dataclasses.replace(config, train=dataclasses.replace(train, joint_norm="off"))
    other, _ = together(steps_of, 2, tmp_path, apart, 3)
    assert abs(other[0]["total"] - alone[0]["total"]) > 1e-4  # so the test can fail


def test_names_activations_and_values_stay(tiny_model):
    image = torch.rand(2, 3, 64, 64)
    encoder = tiny_model.visual_encoder.eval()
    before, names = encoder(image), [*encoder.state_dict()]
    assert any(isinstance(m, timm.layers.BatchNormAct2d) for m in encoder.modules())
    use_joint_norms(encoder)
    norms = [part for part in encoder.modules() if isinstance(part, JointNorm)]
    assert norms and [*encoder.state_dict()] == names
    for one, other in zip(encoder(image), before, strict=True):
        torch.testing.assert_close(one, other)


def test_alone_it_is_a_batch_norm():
    x = torch.randn(4, 3, 5)
    norm = torch.nn.BatchNorm1d(3)
    joint = JointNorm(torch.nn.BatchNorm1d(3))
    assert torch.equal(joint(x), norm(x)) and torch.equal(joint.running_var, norm.running_var)
