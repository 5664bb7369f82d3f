"""Attention over the windows of a Swin, as its segmentation code has them, on real tokens only.

That code pads a map to whole windows, then rolls it by half a window (timm rolls first, which gives
other values where a map is no multiple of the window, as 104 is of 12). What is padded is zero, so
that its query, key and value are the bias: they are not computed, nor is the projection of what
padding gathers, which is cut off. At 416 half of the third stage's tokens are padding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dghin.run.timm_import import timm

SwinTransformerStage = timm.models.swin_transformer.SwinTransformerStage


class WindowBlock(nn.Module):
    """A block of a Swin with this attention: x += Attention(LN(x)); x += MLP(LN(x)).

    It takes over the parts of a timm block (or of another WindowBlock) under their names.
    """

    def __init__(self, block: nn.Module):
        super().__init__()
        self.window_size, self.shift_size = block.window_size, block.shift_size
        self.norm1, self.attn, self.drop_path1 = block.norm1, block.attn, block.drop_path1
        self.norm2, self.mlp, self.drop_path2 = block.norm2, block.mlp, block.drop_path2
        self.register_buffer("attn_mask", block.attn_mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H, W, C)."""
        x = x + self.drop_path1(self.over_windows(self.norm1(x)))
        rows = x.flatten(1, 2)  # (B, H·W, C)
        rows = rows + self.drop_path2(self.mlp(self.norm2(rows)))
        return rows.view_as(x)

    def over_windows(self, x: Tensor) -> Tensor:
        """Attention within every window: (B, H, W, C) → (B, H, W, C)."""
        attention, shift = self.attn, tuple(self.shift_size)
        mask = self.attn_mask if any(shift) else None
        height, width = x.shape[1:3]
        x = F.linear(x, attention.qkv.weight)
        bottom, right = -height % self.window_size[0], -width % self.window_size[1]
        x = F.pad(x, (0, 0, 0, right, 0, bottom)) + attention.qkv.bias  # (B, H', W', 3·C)
        x = torch.roll(x, (-shift[0], -shift[1]), (1, 2)) if any(shift) else x
        grid = x.shape[1] // self.window_size[0], x.shape[2] // self.window_size[1]
        windows = attend(attention, windows_of(x, self.window_size), mask)
        x = map_of_windows(windows, self.window_size, grid)
        x = torch.roll(x, shift, (1, 2)) if any(shift) else x
        return attention.proj_drop(attention.proj(x[:, :height, :width]))


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


def attend(attention: nn.Module, qkv: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q kᵀ / sqrt(C/heads) + position bias + mask) v in every window.

    attention: timm's WindowAttention. qkv (B·windows, N, 3·C), mask (windows, N, N) or None →
    (B·windows, N, C). Fused, but in training on a CPU, whose kernel gives the bias no gradient.
    """
    heads = attention.num_heads
    qkv = qkv.unflatten(-1, (3, heads, -1))  # (B·windows, N, 3, heads, C/heads)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    bias = attention._get_rel_pos_bias()  # (1, heads, N, N)
    if mask is not None:
        bias = bias + mask[:, None].to(bias.dtype)  # (windows, heads, N, N)
    if qkv.is_cuda or not bias.requires_grad:
        if len(bias) > 1:
            bias = bias.repeat(qkv.shape[0] // bias.shape[0], 1, 1, 1)  # the same for every image
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
    else:
        shares = (query * attention.scale) @ key.transpose(-2, -1)
        shares = (shares.unflatten(0, (-1, len(bias))) + bias).softmax(dim=-1)
        out = shares.flatten(0, 1).to(value.dtype) @ value
    return out.transpose(1, 2).flatten(2)
