"""The dual graph: words along the edges of the parse, patches along a learnt soft adjacency."""

import contextlib
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import DenseGCNConv

from .encoders import LinearNormPReLU
from .layers import (
    instance_norm,
    map_of,
    pointwise,
    product_type,
    rows_of,
    without_autocast,
)


class TextGraph(nn.Module):
    """Words passed along the dependency edges, child → head.

    f' = L2(PReLU(GCN(h))) + f with h = PReLU(BN(Linear(f))), where
    GCN(h)_i = b + Σ_j Â_ij W h_j / sqrt(d_i d_j) over j = i and the children j of i, and d_i is the
    number of those. torch_geometric's `DenseGCNConv` on the transposed adjacency.
    """

    def __init__(self, width: int):
        super().__init__()
        self.node = LinearNormPReLU(width, width)
        self.convolution = DenseGCNConv(width, width)
        self.activation = nn.PReLU()

    def forward(self, words: Tensor, adjacency: Tensor) -> Tensor:
        """words (B, L, D), adjacency (B, L, L) with [child, head] = 1 → (B, L, D)."""
        links = adjacency.transpose(1, 2).to(words.dtype)
        # the convolution would write the diagonal by index, for which the host waits
        itself = torch.eye(links.shape[-1], dtype=torch.bool, device=links.device)
        links = links.masked_fill(itself, 1)
        nodes = self.convolution(self.node(words), links, add_loop=False)
        return F.normalize(self.activation(nodes), dim=-1) + words


def edge_weights(adjacency: Tensor) -> Tensor:
    """Â_ij / sqrt(d_i d_j) of `TextGraph`: how much of word j word i takes up.

    adjacency (B, L, L) with [child, head] = 1 → (B, L, L), [head, child]; in float32.
    """
    links = adjacency.transpose(1, 2).float().clone()
    links.diagonal(dim1=1, dim2=2).fill_(1)
    scale = links.sum(dim=-1).clamp(min=1).rsqrt()
    return scale[:, :, None] * links * scale[:, None, :]


MOST_MIXED = 4096  # nodes: with more, the two N×N matrices of an image take over 64 MB in bfloat16


def mix(query: Tensor, nodes: Tensor, keys: Tensor | None = None) -> Tensor:
    """softmax_rows(Q Kᵀ) X: query (B, N, D), nodes X (B, N, D) → (B, N, D). keys K: X, if None.

    On a CPU, and for very many nodes, it is one fused operator, so that the N×N matrix is never
    held in memory. One head of 512 channels is wider than flash attention's and cuDNN's kernels on
    CUDA take, and the one that is left is slow: two products with softmax between, all in the
    precision of the products, are four times as fast there (docs/gpu.md). SDPA's own plain form is
    never used: it computes a short precision in float32.
    """
    if not query.is_cuda or nodes.shape[1] > MOST_MIXED:
        # one head: (B, 1, N, D); the extra dimension lets every fused kernel take it
        query, nodes = query.unsqueeze(1), nodes.unsqueeze(1)
        keys = nodes if keys is None else keys.unsqueeze(1)
        with fused_only(query.device):
            mixed = F.scaled_dot_product_attention(query, keys, nodes, scale=1.0)
        return mixed.squeeze(1)
    return mix_plainly(query, nodes, keys)


def mix_plainly(query: Tensor, nodes: Tensor, keys: Tensor | None = None) -> Tensor:
    """The same as two products with softmax between, in the precision that products have here."""
    kind = product_type(query)
    with without_autocast(query.device):
        query, nodes = query.to(kind), nodes.to(kind)
        keys = nodes if keys is None else keys.to(kind)
        shares = torch.bmm(query, keys.transpose(1, 2)).softmax(dim=-1)  # (B, N, N)
        return torch.bmm(shares, nodes)


def fused_only(device: torch.device) -> contextlib.AbstractContextManager:
    """A context without SDPA's plain form on CUDA, unless only that is deterministic."""
    if device.type != "cuda" or torch.are_deterministic_algorithms_enabled():
        return contextlib.nullcontext()
    kinds = torch.nn.attention.SDPBackend
    return torch.nn.attention.sdpa_kernel(
        [kinds.FLASH_ATTENTION, kinds.CUDNN_ATTENTION, kinds.EFFICIENT_ATTENTION]
    )


class VisualGraph(nn.Module):
    """Every patch linked to every other with a learnt weight.

    u' = L2(PReLU(G X Wc)) + u with X = PReLU(InstanceNorm(Conv1x1(u))) as N = h·w nodes and
    G = softmax_rows(S), Q = X W1 W2ᵀ. scale says how nodes are compared:

    paper       S = Q Xᵀ, without 1/sqrt(D): attention with scale 1 (`mix`)
    scaled      S = Q Xᵀ / sqrt(D), as attention usually is (Vaswani et al. 2017)
    normalised  S = sqrt(D) cos(Q, X): rows of both sides have length 1, so that no weight can grow
                without bound (query-key normalisation, Henry et al. 2020)
    """

    def __init__(self, width: int, scale: str = "paper"):
        super().__init__()
        self.node = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.InstanceNorm2d(width, affine=True), nn.PReLU()
        )
        self.query = nn.Linear(width, width, bias=False)  # W1
        self.key = nn.Linear(width, width, bias=False)  # W2
        self.value = nn.Linear(width, width, bias=False)  # Wc
        self.activation = nn.PReLU()
        self.scale = scale

    def nodes(self, visual: Tensor) -> Tensor:
        """The graph's nodes: (B, D, h, w) → X (B, N, D)."""
        parts: Any = self.node  # a Sequential's parts are Modules to a type checker
        convolution, norm, activation = parts
        rows = instance_norm(norm, pointwise(convolution, rows_of(visual)))
        return activation(rows)

    def asking(self, nodes: Tensor) -> Tensor:
        """X (W1 W2ᵀ) by its scale, (B, N, D), which is compared with `asked` of X: one product
        takes the place of two."""
        weight = self.key.weight.t() @ self.query.weight
        root = math.sqrt(nodes.shape[-1])
        if self.scale == "normalised":
            return F.normalize(F.linear(nodes, weight), dim=-1) * root
        return F.linear(nodes, weight / root if self.scale == "scaled" else weight)

    def asked(self, nodes: Tensor) -> Tensor:
        """What `asking` is compared with: X, or its rows at length 1; (B, N, D)."""
        return F.normalize(nodes, dim=-1) if self.scale == "normalised" else nodes

    def forward(self, visual: Tensor) -> Tensor:
        """visual (B, D, h, w) → (B, D, h, w)."""
        x = self.nodes(visual)
        keys = self.asked(x) if self.scale == "normalised" else None
        mixed = mix(self.asking(x), x, keys)  # G X
        mixed = map_of(self.activation(self.value(mixed)), visual)
        return F.normalize(mixed, dim=1) + visual

    def rows(self, visual: Tensor, patches: Tensor) -> Tensor:
        """The asked rows of G only: visual (B, D, h, w), patches (P,) → (B, P, h, w)."""
        x = self.nodes(visual)
        score = self.asking(x[:, patches]) @ self.asked(x).transpose(1, 2)  # (B, P, N)
        return score.softmax(dim=-1).unflatten(-1, visual.shape[-2:])

    @torch.no_grad()
    def spread(self, visual: Tensor) -> tuple[float, float]:
        """On how many patches the graph rests: of one image, visual (1, D, h, w).

        Two numbers from 1 to N, each e to the power of an entropy: that of a patch's own row (the
        mean over rows), and that of the mean row. Both are N where every patch looks at all alike.
        The first is 1 where each looks at a single patch; the second, where all look at the same.
        """
        count = visual.shape[-2] * visual.shape[-1]
        rows = self.rows(visual.float(), torch.arange(count, device=visual.device))
        rows = rows[0].flatten(1).double()  # (N, N)
        own = torch.special.entr(rows).sum(-1).exp().mean()
        return float(own), float(torch.special.entr(rows.mean(0)).sum().exp())
