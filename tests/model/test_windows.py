"""Attention over windows: cutting and joining are inverse; padding changes nothing."""

import torch

from dghin.model.windows import WindowBlock, map_of_windows, use_windows, windows_of
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
