"""Convolution with fewer multiplications gives what torch's gives, and its gradients."""

import pytest
import torch
import torch.nn.functional as F

from dghin.model import winograd as module
from dghin.model.dghin import ConvNormPReLU
from dghin.model.layers import LARGE, WIDE, convolve
from dghin.model.winograd import winograd
from dghin.training.recompute import PRODUCTS, recomputed

SIDE = 24  # 576 places


def tensors(images, inputs, outputs, height, width, dtype=torch.float64):
    torch.manual_seed(0)
    x = torch.randn(images, inputs, height, width, dtype=dtype)
    return x, torch.randn(outputs, inputs, 3, 3, dtype=dtype)


def wide(dtype=torch.float32):
    return tensors(1, WIDE, WIDE, SIDE, SIDE, dtype)


@pytest.mark.parametrize("tiles", [1, 5, 512])  # a row of windows a strip, several, all
@pytest.mark.parametrize("size", [(6, 8), (7, 6), (5, 9), (1, 1), (2, 1)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_output_and_gradients_are_those_of_torch(monkeypatch, tiles, size, channels_last):
    monkeypatch.setattr(module, "TILES", tiles)
    x, weight = tensors(2, 3, 5, *size)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    inputs = x.requires_grad_(), weight.requires_grad_()
    expected, found = F.conv2d(x, weight, padding=1), winograd(x, weight)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, upstream),
        torch.autograd.grad(expected, inputs, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_only_the_gradients_that_are_asked_for():
    x, weight = tensors(1, 3, 4, 6, 6)
    expected = torch.autograd.grad(F.conv2d(x, weight.requires_grad_(), padding=1).sum(), weight)
    found = torch.autograd.grad(winograd(x, weight).sum(), weight)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_float32_is_nearer_to_the_exact_than_torchs():
    x, weight = tensors(1, 512, 64, 26, 26)
    exact = F.conv2d(x, weight, padding=1)
    x, weight = x.float(), weight.float()
    ours, theirs = (
        (way - exact).abs().mean() for way in (winograd(x, weight), F.conv2d(x, weight, padding=1))
    )
    assert ours < 1.5 * theirs  # here a fifth of it; how torch adds depends on the processor
    assert ours < 1e-5 * exact.std()


def test_the_operators_keep_torchs_rules():
    x, weight = tensors(2, 3, 4, 5, 6)
    torch.library.opcheck(winograd, (x.requires_grad_(), weight.requires_grad_()))
    torch.library.opcheck(module.winograd_weight, (x.detach(), torch.randn(2, 4, 5, 6).double()))


@pytest.fixture
def calls(monkeypatch):
    """How many times `winograd` is computed while something is called."""

    def count(call):
        made, real = [], module.kernel_of
        with monkeypatch.context() as patch:
            patch.setattr(module, "kernel_of", lambda weight: made.append(1) or real(weight))
            call()
        return len(made)

    return count


def test_wide_and_large_maps_are_convolved_so(calls):
    assert SIDE**2 >= LARGE
    x, weight = wide(torch.float64)
    assert calls(lambda: convolve(x, weight)) == 1
    torch.testing.assert_close(convolve(x, weight), F.conv2d(x, weight, padding=1))
    small, narrow = x[:, :, :8, :8], (x[:, :8], weight[:, :8])
    assert calls(lambda: convolve(small, weight)) == calls(lambda: convolve(*narrow)) == 0


def test_autocast_keeps_torchs_convolution(calls):
    x, weight = wide()
    with torch.autocast("cpu", torch.bfloat16):
        found = convolve(x, weight)
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, F.conv2d(x, weight, padding=1))
        assert calls(lambda: convolve(x, weight)) == 0


def test_exported_graphs_keep_torchs_convolution():
    layer, (x, _) = ConvNormPReLU(WIDE, WIDE).eval(), wide()
    with torch.no_grad():
        exported = torch.export.export(layer, (x,))
        torch.testing.assert_close(exported.module()(x), layer(x))
    used = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert not [name for name in used if name.startswith("dghin")]
    assert [name for name in used if "conv2d" in name]


def test_what_recomputes_the_cheap_keeps_its_result(calls):
    layer, (x, _) = ConvNormPReLU(WIDE, WIDE), wide()
    x.requires_grad_()
    plain = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    found = []

    def passes():
        out = recomputed(PRODUCTS, layer, x)
        found.extend(torch.autograd.grad(out.square().sum(), [x, *layer.parameters()]))

    assert calls(passes) == 2  # forward, and the gradient of x; nothing a second time
    for ours, expected in zip(found, plain, strict=True):
        assert torch.equal(ours, expected)
