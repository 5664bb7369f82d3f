"""A map of patches (B, D, h, w) as rows (B, N, D), and the layers that work on rows.

In channels-last memory both are views of each other. A 1×1 convolution is then one matrix product,
and an instance norm a scale and a shift of every row.
"""

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def rows_of(visual: Tensor) -> Tensor:
    """(B, D, h, w) → (B, N, D) with N = h·w, row by row of the map; a view."""
    return visual.flatten(2).transpose(1, 2)


def map_of(rows: Tensor, like: Tensor) -> Tensor:
    """(B, N, D) → (B, D, h, w), with the height and width of `like`; a view."""
    return rows.transpose(1, 2).unflatten(-1, like.shape[-2:])


def pointwise(convolution: nn.Conv2d, rows: Tensor) -> Tensor:
    """A 1×1 convolution: (B, N, C) → (B, N, D)."""
    return F.linear(rows, convolution.weight.flatten(1), convolution.bias)


def instance_norm(norm: nn.InstanceNorm2d, rows: Tensor) -> Tensor:
    """`norm` of the map that these rows are: (B, N, D) → (B, N, D).

    It is computed in float32 at least, as torch's own norms are: what is far from zero and varies
    little drowns in a shorter one.
    """
    exact = rows if rows.dtype == torch.float64 else rows.float()
    variance, mean = torch.var_mean(exact, dim=1, keepdim=True, correction=0)  # (B, 1, D)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    shift = norm.bias - mean * scale
    if scale.dtype == rows.dtype:
        return torch.addcmul(shift, rows, scale)
    return (rows * scale + shift).to(rows.dtype)


def product_type(like: Tensor) -> torch.dtype:
    """The precision in which a product of this tensor is computed here: autocast's, or its own."""
    kind = like.device.type
    if torch.is_autocast_enabled(kind) and like.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return like.dtype


def without_autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """A context in which autocast shortens nothing; where it is off, none, for exported graphs."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()
