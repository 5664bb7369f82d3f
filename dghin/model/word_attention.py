"""Word-visual attention: every patch gathers the words that concern it."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import instance_norm, map_of, pointwise, rows_of, without_autocast


class Look(NamedTuple):
    """What patches bring to their meeting with words, before a word is read: two (B, D, h, w)."""

    query: Tensor  # IN(Wq v)
    visual: Tensor  # ReLU(Wp v)


class WordVisualAttention(nn.Module):
    """Words (B, L, D) and patches (B, D, h, w) → patches (B, D, h, w).

    a = softmax_words(IN(Wq v) · Wk w), over all L positions, scale 1;
    e = ReLU(IN(We Σ a Wv w));  out = PReLU(BN(Wo (ReLU(Wp v) ⊙ e))).
    Used at the entity level and, after both graphs, at the graph level.

    The image's side of it (`look`) is apart, so that many expressions share it. We and the norm
    around it are applied to the L words instead of the h·w patches (`normed_words`).
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Conv2d(width, width, 1)
        self.query_norm = nn.InstanceNorm2d(width, affine=True)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.attended = nn.Conv2d(width, width, 1)
        self.attended_norm = nn.InstanceNorm2d(width, affine=True)
        self.visual = nn.Conv2d(width, width, 1)
        self.out = nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.PReLU())

    def look(self, visual: Tensor) -> Look:
        """The image's side: v (B, D, h, w)."""
        rows = rows_of(visual)
        query = instance_norm(self.query_norm, pointwise(self.query, rows))
        return Look(map_of(query, visual), map_of(F.relu(pointwise(self.visual, rows)), visual))

    def attention(self, words: Tensor, query: Tensor) -> Tensor:
        """The share of every word in every patch: (B, L, N); over the words they sum to 1."""
        return (self.key(words) @ query.flatten(2)).softmax(dim=1)

    def forward(self, words: Tensor, query: Tensor, visual: Tensor) -> Tensor:
        """words (B, L, D); query and visual, of `look`, (B or 1, D, h, w)."""
        shares = self.attention(words, query)
        scale, shift = self.normed_words(words, shares)
        gathered = F.relu(torch.baddbmm(shift, shares.transpose(1, 2), scale))  # (B, N, D)
        parts: Any = self.out  # a Sequential's parts are Modules to a type checker
        convolution, norm, activation = parts
        out = pointwise(convolution, rows_of(visual) * gathered)
        return activation(norm(map_of(out, visual)))

    def normed_words(self, words: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """IN(We Σ a Wv w) = a · scale + shift: words (B, L, D), shares a (B, L, N) → scale
        (B, L, D), shift (B, 1, D).

        Every patch is a mean of the words We Wv w, weighted by its shares; so the mean over the
        patches is that of the mean shares, and the variance follows from the shares' covariance.
        """
        norm, value = self.attended_norm, self.value(words)
        kind = torch.float64 if words.dtype == torch.float64 else torch.float32
        with without_autocast(value.device):  # these are sums over all patches
            weight = self.attended.weight.flatten(1).to(kind)
            bias = self.attended.bias.to(kind)  # type: ignore[union-attr]  # it was made with one
            value, shares = F.linear(value.to(kind), weight, bias), shares.to(kind)
            mean = shares.mean(dim=2)[:, None]  # (B, 1, L)
            centred = shares - mean.transpose(1, 2)
            covariance = centred @ centred.transpose(1, 2) / shares.shape[2]  # (B, L, L)
            variance = (value * (covariance @ value)).sum(dim=1, keepdim=True)  # (B, 1, D)
            scale = value * (norm.weight * (variance.clamp(min=0) + norm.eps).rsqrt())
            return scale, norm.bias - mean @ scale
