"""The dual graph: words along the edges of the parse, patches along a learnt soft adjacency."""

import contextlib
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


def mix(query: Tensor, nodes: Tensor) -> Tensor:
    """softmax_rows(Q Xᵀ) X: query (B, N, D), nodes X (B, N, D) → (B, N, D).

    On a CPU, and for very many nodes, it is one fused operator, so that the N×N matrix is never
    held in memory. One head of 512 channels is wider than flash attention's and cuDNN's kernels on
    CUDA take, and the one that is left is slow: two products with softmax between, all in the
    precision of the products, are four times as fast there (docs/gpu.md). SDPA's own plain form is
    never used: it computes a short precision in float32.
    """
    if not query.is_cuda or nodes.shape[1] > MOST_MIXED:
        # one head: (B, 1, N, D); the extra dimension lets every fused kernel take it
        query, nodes = query.unsqueeze(1), nodes.unsqueeze(1)
        with fused_only(query.device):
            mixed = F.scaled_dot_product_attention(query, nodes, nodes, scale=1.0)
        return mixed.squeeze(1)
    return mix_plainly(query, nodes)


def mix_plainly(query: Tensor, nodes: Tensor) -> Tensor:
    """The same as two products with softmax between, in the precision that products have here."""
    kind = product_type(query)
    with without_autocast(query.device):
        query, nodes = query.to(kind), nodes.to(kind)
        shares = torch.bmm(query, nodes.transpose(1, 2)).softmax(dim=-1)  # (B, N, N)
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
    G = softmax_rows((X W1)(X W2)ᵀ), without 1/sqrt(D): attention with scale 1 (`mix`).
    """

    def __init__(self, width: int):
        super().__init__()
        self.node = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.InstanceNorm2d(width, affine=True), nn.PReLU()
        )
        self.query = nn.Linear(width, width, bias=False)  # W1
        self.key = nn.Linear(width, width, bias=False)  # W2
        self.value = nn.Linear(width, width, bias=False)  # Wc
        self.activation = nn.PReLU()

    def nodes(self, visual: Tensor) -> Tensor:
        """The graph's nodes: (B, D, h, w) → X (B, N, D)."""
        parts: Any = self.node  # a Sequential's parts are Modules to a type checker
        convolution, norm, activation = parts
        rows = instance_norm(norm, pointwise(convolution, rows_of(visual)))
        return activation(rows)

    def asking(self, nodes: Tensor) -> Tensor:
        """X (W1 W2ᵀ), which is compared with X itself: one product takes the place of two."""
        return F.linear(nodes, self.key.weight.t() @ self.query.weight)

    def forward(self, visual: Tensor) -> Tensor:
        """visual (B, D, h, w) → (B, D, h, w)."""
        x = self.nodes(visual)
        mixed = mix(self.asking(x), x)  # G X
        mixed = map_of(self.activation(self.value(mixed)), visual)
        return F.normalize(mixed, dim=1) + visual

    def rows(self, visual: Tensor, patches: Tensor) -> Tensor:
        """The asked rows of G only: visual (B, D, h, w), patches (P,) → (B, P, h, w)."""
        x = self.nodes(visual)
        score = self.asking(x[:, patches]) @ x.transpose(1, 2)  # (B, P, N)
        return score.softmax(dim=-1).unflatten(-1, visual.shape[-2:])
