"""Layers on rows of patches are the usual ones on maps."""

import torch
from torch import nn

from dghin.model.layers import instance_norm, map_of, pointwise, rows_of


def test_rows_are_a_view_in_either_layout():
    visual = torch.randn(2, 8, 3, 5)
    for layout in (torch.contiguous_format, torch.channels_last):
        given = visual.contiguous(memory_format=layout)
        rows = rows_of(given)
        assert rows.shape == (2, 15, 8) and rows.data_ptr() == given.data_ptr()
        assert torch.equal(rows[1, 7], visual[1, :, 1, 2])
        assert torch.equal(map_of(rows, given), visual)


def test_a_1x1_convolution_is_a_product():
    torch.manual_seed(0)
    layer, visual = nn.Conv2d(8, 6, 1), torch.randn(2, 8, 3, 5)
    found = map_of(pointwise(layer, rows_of(visual)), visual)
    torch.testing.assert_close(found, layer(visual), atol=1e-6, rtol=1e-5)


def test_instance_norm_is_torchs():
    torch.manual_seed(0)
    norm = nn.InstanceNorm2d(8, affine=True)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    visual = 3 + 2 * torch.randn(2, 8, 3, 5)
    found = map_of(instance_norm(norm, rows_of(visual)), visual)
    torch.testing.assert_close(found, norm(visual), atol=1e-5, rtol=1e-5)


def test_half_precision_rows_are_normed_in_float32():
    """Values far from zero: their variance drowns in bfloat16."""
    torch.manual_seed(0)
    norm = nn.InstanceNorm2d(8, affine=True)
    rows = (50 + torch.randn(2, 400, 8)).bfloat16()
    found = instance_norm(norm, rows)
    assert found.dtype == torch.bfloat16
    expected = torch.nn.functional.instance_norm(rows.float().transpose(1, 2)).transpose(1, 2)
    assert (found.float() - expected).abs().max() < 0.02
