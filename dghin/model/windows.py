"""Attention over the windows of a Swin, as its segmentation code has them, on real tokens only.

That code pads a map to whole windows, then rolls it by half a window (timm rolls first, which gives
other values where a map is no multiple of the window, as 104 is of 12). What is padded is zero, so
that its query, key and value are the bias: they are not computed, nor is the projection of what
padding gathers, which is cut off. At 416 half of the third stage's tokens are padding.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dghin.run.timm_import import timm

from .layers import product_type, without_autocast

SHORT = (torch.bfloat16, torch.float16)
SwinTransformerStage = timm.models.swin_transformer.SwinTransformerStage


class WindowBlock(nn.Module):
    """A block of a Swin with this attention: x += Attention(LN(x)); x += MLP(LN(x)).

    It takes over the parts of a timm block (or of another WindowBlock) under their names.
    """

    attn: Any  # timm's WindowAttention
    attn_mask: Tensor | None
    slots: Tensor
    places: Tensor

    def __init__(self, block: Any):
        super().__init__()
        self.window_size, self.shift_size = block.window_size, block.shift_size
        self.norm1, self.attn, self.drop_path1 = block.norm1, block.attn, block.drop_path1
        self.norm2, self.mlp, self.drop_path2 = block.norm2, block.mlp, block.drop_path2
        self.register_buffer("attn_mask", block.attn_mask, persistent=False)
        own = isinstance(block, WindowBlock)
        height, width = block.resolution if own else block.input_resolution
        self.resolution: tuple[int, int] = (height, width)
        slots, places = window_tables(height, width, self.window_size, self.shift_size)
        self.register_buffer("slots", slots, persistent=False)
        self.register_buffer("places", places, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H, W, C)."""
        x = x + self.drop_path1(self.over_windows(self.norm1(x)))
        rows = x.flatten(1, 2)  # (B, H·W, C)
        rows = rows + self.drop_path2(self.mlp(self.norm2(rows)))
        return rows.view_as(x)

    def over_windows(self, x: Tensor) -> Tensor:
        """Attention within every window: (B, H, W, C) → (B, H, W, C)."""
        if x.is_cuda or product_type(x) in SHORT:  # where moving costs as much as the products
            return self.over_gathered_windows(x)
        attention, shift = self.attn, tuple(self.shift_size)
        mask = self.attn_mask if any(shift) else None
        height, width = x.shape[1:3]
        x = F.linear(x, attention.qkv.weight)
        bottom, right = -height % self.window_size[0], -width % self.window_size[1]
        x = F.pad(x, (0, 0, 0, right, 0, bottom)) + attention.qkv.bias.to(x.dtype)
        # (B, H', W', 3·C)
        x = torch.roll(x, (-shift[0], -shift[1]), (1, 2)) if any(shift) else x
        grid = x.shape[1] // self.window_size[0], x.shape[2] // self.window_size[1]
        windows = attend(attention, windows_of(x, self.window_size), mask)
        x = map_of_windows(windows, self.window_size, grid)
        x = torch.roll(x, shift, (1, 2)) if any(shift) else x
        return attention.proj_drop(attention.proj(x[:, :height, :width]))

    def over_gathered_windows(self, x: Tensor) -> Tensor:
        """The same with one gather in the place of padding, rolling and cutting, and one back:
        each moves the map once, where the plain form does it four times."""
        attention, (height, width) = self.attn, x.shape[1:3]
        slots, places = self.slots, self.places
        if (height, width) != self.resolution:
            slots, places = window_tables(
                height, width, self.window_size, self.shift_size, x.device
            )
        tokens = self.window_size[0] * self.window_size[1]
        x = F.linear(x, attention.qkv.weight).flatten(1, 2)  # (B, H·W, 3·C)
        x = Moved.apply(x, slots, places) + attention.qkv.bias.to(x.dtype)
        mask = self.attn_mask if any(self.shift_size) else None
        x = attend(attention, x.unflatten(1, (-1, tokens)).flatten(0, 1), mask)
        x = x.unflatten(0, (-1, len(slots) // tokens)).flatten(1, 2)  # (B, slots, C)
        x = Moved.apply(x, places, slots).unflatten(1, (height, width))
        return attention.proj_drop(attention.proj(x))


class Moved(torch.autograd.Function):
    """Rows moved to other places: x (B, M, C), take (N,) → (B, N, C); row i is x[:, take[i]], or 0
    where take[i] is -1. back (M,) moves them back, for the gradient: no row is added to another,
    so that it is as exact and as fast as the way there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, take: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(take, back)
        return moved(x, take)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        take, back = ctx.saved_tensors
        return moved(gradient, back), None, None


def moved(x: Tensor, take: Tensor) -> Tensor:
    """x (B, M, C), take (N,) in -1..M-1 → (B, N, C)."""
    found = x.index_select(1, take.clamp(min=0))
    return found.masked_fill_((take < 0)[:, None], 0)


def window_tables(
    height: int,
    width: int,
    size: tuple[int, int],
    shift: tuple[int, int],
    device: torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """Where a map's places go when it is padded to whole windows, rolled by -shift and cut.

    → slots (windows · tokens,): the place (row by row) that each token of each window comes from,
    -1 for padding; places (height · width,): the slot that each place goes to.
    """
    above, beside = -(-height // size[0]) * size[0], -(-width // size[1]) * size[1]
    rows = torch.arange(above, device=device)[:, None]
    columns = torch.arange(beside, device=device)[None]
    row, column = (rows + shift[0]) % above, (columns + shift[1]) % beside
    place = torch.where((row < height) & (column < width), row * width + column, -1)
    slots = windows_of(place[None, :, :, None], size).flatten()
    numbers = torch.arange(above * beside, device=device).view(-1, size[0] * size[1], 1)
    grid = above // size[0], beside // size[1]
    numbers = map_of_windows(numbers, size, grid)[0, :, :, 0]  # the slot of every padded place
    numbers = torch.roll(numbers, tuple(shift), (0, 1))
    return slots, numbers[:height, :width].flatten()


def use_windows(swin: nn.Module, kind: type[WindowBlock] = WindowBlock) -> None:
    """Put a block of this kind in the place of every block of a timm Swin."""
    for stage in swin.modules():
        if isinstance(stage, SwinTransformerStage):
            stage.blocks = nn.Sequential(*(kind(block) for block in stage.blocks))


def windows_of(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H, W, C) → (B·windows, tokens of a window, C), row by row."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height // size[0], size[0], width // size[1], size[1], channels)
    return x.transpose(2, 3).reshape(-1, size[0] * size[1], channels)


def map_of_windows(windows: Tensor, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """The inverse of `windows_of`: grid windows down and right → (B, H, W, C)."""
    x = windows.view(-1, *grid, *size, windows.shape[-1]).transpose(2, 3)
    return x.reshape(-1, grid[0] * size[0], grid[1] * size[1], windows.shape[-1])


def attend(attention: Any, qkv: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q kᵀ / sqrt(C/heads) + position bias + mask) v in every window.

    attention: timm's WindowAttention. qkv (B·windows, N, 3·C), mask (windows, N, N) or None →
    (B·windows, N, C). Fused, but in training on a CPU, whose kernel gives the bias no gradient.
    """
    heads = attention.num_heads
    qkv = qkv.unflatten(-1, (3, heads, -1))  # (B·windows, N, 3, heads, C/heads)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    bias = attention._get_rel_pos_bias()  # (1, heads, N, N)
    if not (qkv.is_cuda or bias.requires_grad):
        bias = bias.to(qkv.dtype)  # before it is written once a window
    if mask is not None:
        bias = bias + mask[:, None].to(bias.dtype)  # (windows, heads, N, N)
    if qkv.is_cuda and qkv.dtype in SHORT:
        out = attend_plainly(query * attention.scale, key, value, bias)
    elif qkv.is_cuda or not bias.requires_grad:
        if len(bias) > 1:
            bias = bias.repeat(qkv.shape[0] // bias.shape[0], 1, 1, 1)  # the same for every image
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
    else:
        shares = (query * attention.scale) @ key.transpose(-2, -1)
        shares = (shares.unflatten(0, (-1, len(bias))) + bias).softmax(dim=-1)
        out = shares.flatten(0, 1).to(value.dtype) @ value
    return out.transpose(1, 2).flatten(2)


def attend_plainly(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """softmax(q kᵀ + bias) v as two products, all in the precision of the query: three tensors
    (B·windows, heads, N, C/heads), bias (1 or windows, heads, N, N), which is not repeated for
    every image → (B·windows, heads, N, C/heads). On a GPU it takes three fifths of the time that
    the fused kernel takes for windows (docs/gpu.md)."""
    with without_autocast(query.device):
        shares = query @ key.transpose(-2, -1)
        shares = shares.unflatten(0, (-1, len(bias))) + bias.to(shares.dtype)
        return shares.softmax(dim=-1).flatten(0, 1) @ value
