"""Attention over windows: cutting and joining are inverse; padding changes nothing."""

import pytest
import torch
import torch.nn.functional as F

from dghin.model.windows import (
    Moved,
    WindowBlock,
    attend_plainly,
    map_of_windows,
    use_windows,
    window_tables,
    windows_of,
)
from dghin.run.timm_import import timm


def test_windows_are_cut_and_joined():
    x = torch.randn(2, 4, 6, 3)
    windows = windows_of(x, (2, 3))
    assert windows.shape[0] == 2 * 2 * 2
    assert torch.equal(map_of_windows(windows, (2, 3), (2, 2)).reshape(x.shape), x)


def small_swin():
    torch.manual_seed(0)
    return timm.create_model(
        "swin_tiny_patch4_window7_224", features_only=True, img_size=56, window_size=7,
        embed_dim=12, depths=(2, 2), num_heads=(2, 2), out_indices=(0, 1),
    ).eval()  # fmt: skip


def test_where_windows_fit_the_values_are_timms_and_so_are_the_names():
    swin = small_swin()
    x = torch.randn(1, 3, 56, 56)
    names, plain = [*swin.state_dict()], swin(x)
    use_windows(swin)
    assert any(isinstance(module, WindowBlock) for module in swin.modules())
    assert [*swin.state_dict()] == names
    for one, other in zip(swin(x), plain, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("size", [(12, 12), (13, 10), (5, 16)])
@pytest.mark.parametrize("shift", [(0, 0), (2, 2), (2, 0)])
def test_one_gather_is_padding_rolling_and_cutting(size, shift):
    """Both ways, and the gradients of both."""
    window = (4, 4)
    slots, places = window_tables(*size, window, shift)
    x = torch.randn(2, *size, 3, dtype=torch.float64, requires_grad=True)
    bottom, right = -size[0] % 4, -size[1] % 4
    plain = F.pad(x, (0, 0, 0, right, 0, bottom)).roll((-shift[0], -shift[1]), (1, 2))
    plain = windows_of(plain, window).view(2, -1, 3)
    found = Moved.apply(x.flatten(1, 2), slots, places)
    assert torch.equal(found, plain)
    assert torch.equal(Moved.apply(found, places, slots), x.flatten(1, 2))
    weight = torch.randn_like(plain)
    (wanted,) = torch.autograd.grad((plain * weight).sum(), x)
    (gradient,) = torch.autograd.grad((found * weight).sum(), x)
    assert torch.equal(gradient, wanted)
    torch.autograd.gradcheck(
        lambda y: Moved.apply(y, places, slots), found.detach().requires_grad_()
    )


@pytest.mark.parametrize("size", [56, 40])  # of the resolution it was made for, and of another
def test_the_gathered_form_is_the_plain_one(size):
    swin = small_swin().double()
    use_windows(swin)
    blocks = [module for module in swin.modules() if isinstance(module, WindowBlock)]
    assert any(any(block.shift_size) for block in blocks)
    for block in blocks[:2]:
        width = block.norm1.normalized_shape[0]
        x = torch.randn(2, size // 4, size // 4, width, dtype=torch.float64)
        plain, gathered = block.over_windows(x), block.over_gathered_windows(x)
        torch.testing.assert_close(gathered, plain, atol=1e-12, rtol=0)


def test_plain_attention_is_the_fused_one():
    query, key, value = torch.randn(3, 6, 2, 5, 4, dtype=torch.float64)
    bias = torch.randn(3, 2, 5, 5, dtype=torch.float64)
    fused = F.scaled_dot_product_attention(query, key, value, bias.repeat(2, 1, 1, 1), scale=1.0)
    torch.testing.assert_close(attend_plainly(query, key, value, bias), fused)


def test_in_bfloat16_a_block_gathers_and_float32_stays_as_it_is(monkeypatch):
    swin = small_swin()
    use_windows(swin)
    block = next(module for module in swin.modules() if isinstance(module, WindowBlock))
    gathered = []
    plainly = WindowBlock.over_gathered_windows
    monkeypatch.setattr(
        WindowBlock, "over_gathered_windows", lambda *given: gathered.append(1) or plainly(*given)
    )
    x = torch.randn(1, 14, 14, block.norm1.normalized_shape[0])
    with torch.no_grad():
        exact = block.over_windows(x)
        assert exact.dtype == torch.float32 and not gathered
        with torch.autocast("cpu", torch.bfloat16):
            short = block.over_windows(x)
    assert short.dtype == torch.bfloat16 and len(gathered) == 1
    torch.testing.assert_close(short.float(), exact, atol=0.02, rtol=0.02)
