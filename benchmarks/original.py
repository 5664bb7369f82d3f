"""The original's way of computing the same network, to measure ours against.

Written anew from the description of what the original computes: attention over windows and the
visual graph with their matrices in full, a graph object for every sentence and a batch of them
built in Python at each of three levels, every product taken where the formula has it, auxiliary
heads always. The weights are ours, so that both give the same masks (tests/model/test_formulas.py).
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv

from dghin.model.dghin import DGHIN, Output
from dghin.model.graphs import TextGraph, VisualGraph
from dghin.model.levels import Level, with_coordinates
from dghin.model.windows import WindowBlock, use_windows
from dghin.model.word_attention import WordVisualAttention
from dghin.run.timm_import import timm

swin = timm.models.swin_transformer


class Original(nn.Module):
    """The network as the original computes it, with a copy of `model`'s weights."""

    def __init__(self, model: DGHIN):
        super().__init__()
        self.model = copy.deepcopy(model)
        use_windows(self.model.visual_encoder.body, Block)

    def forward(
        self, image: Tensor, word_ids: Tensor, attention_mask: Tensor, pos: Tensor,
        adjacency: Tensor, image_index: None = None, sentence_row: None = None,
    ) -> Output:  # fmt: skip
        """As DGHIN.forward; every expression has an image of its own."""
        model = self.model
        maps = model.visual_encoder(model.image_norm(image.to(model.image_norm.weight.dtype)))
        words, context = model.encode_words(word_ids, attention_mask, pos)
        levels = [shallow_level(model, maps[0], context)]
        for level, visual in zip(model.levels, maps[1:], strict=True):
            levels.append(deep_level(level, visual, words, adjacency))
        scales = tuple(head(x) for head, x in zip(model.auxiliary_heads, levels, strict=True))
        x = F.normalize(levels[3], dim=1)
        for i in (2, 1, 0):
            x = F.interpolate(x, levels[i].shape[-2:], mode="bilinear", align_corners=False)
            merge = model.decoder.merge[i]
            x = nn.Sequential.forward(merge, torch.cat([x, F.normalize(levels[i], dim=1)], dim=1))
        mask = F.interpolate(model.head(x), scale_factor=4, mode="bilinear", align_corners=False)
        return Output(mask, scales)


class Block(WindowBlock):
    """A Swin's block that pads its map to whole windows, then rolls it; attention is timm's, with
    its matrices."""

    def __init__(self, block: WindowBlock):
        super().__init__(block)
        self.attn.fused_attn = False

    def over_windows(self, x: Tensor) -> Tensor:  # (B, H, W, C)
        _, height, width, channels = x.shape
        bottom, right = (-n % w for n, w in zip((height, width), self.window_size, strict=True))
        down, across = self.shift_size
        x = F.pad(x, (0, 0, 0, right, 0, bottom)).roll((-down, -across), (1, 2))
        windows = swin.window_partition(x, self.window_size).flatten(1, 2)
        windows = self.attn(windows, mask=self.attn_mask).view(-1, *self.window_size, channels)
        x = swin.window_reverse(windows, self.window_size, height + bottom, width + right)
        return x.roll((down, across), (1, 2))[:, :height, :width].contiguous()


def shallow_level(model: DGHIN, visual: Tensor, context: Tensor) -> Tensor:
    """Level 0, with the context laid on every place."""
    tile = F.normalize(context, dim=1)[:, :, None, None].expand(-1, -1, *visual.shape[-2:])
    x = with_coordinates(torch.cat([F.normalize(visual, dim=1), tile], dim=1))
    return nn.Sequential.forward(model.shallow_level, x)


def deep_level(level: Level, visual: Tensor, words: Tensor, adjacency: Tensor) -> Tensor:
    """One of levels 1..3, both stages."""
    patches = F.normalize(level.patch(with_coordinates(F.normalize(visual, dim=1))), dim=1)
    entity = word_visual_attention(level.entity_attention, words, patches)
    words = text_graph(level.text_graph, words, adjacency)
    graph = word_visual_attention(
        level.graph_attention, words, visual_graph(level.visual_graph, patches)
    )
    return level.merge(torch.cat([entity, graph], dim=1))


def visual_graph(graph: VisualGraph, visual: Tensor) -> Tensor:
    """u' = L2(PReLU(G X Wc)) + u, with the N×N matrix G."""
    x = graph.node(visual).flatten(2).transpose(1, 2)  # (B, N, D)
    weights = (graph.query(x) @ graph.key(x).transpose(1, 2)).softmax(dim=-1)  # (B, N, N)
    x = graph.activation(graph.value(weights @ x)).transpose(1, 2).reshape(visual.shape)
    return F.normalize(x, dim=1) + visual


def text_graph(graph: TextGraph, words: Tensor, adjacency: Tensor) -> Tensor:
    """f' = L2(PReLU(GCN(h))) + f, with one graph object a sentence and a batch of them."""
    if not hasattr(graph, "sparse"):
        width = graph.convolution.bias.shape[0]
        sparse = GCNConv(width, width)
        sparse.lin.weight, sparse.bias = graph.convolution.lin.weight, graph.convolution.bias
        graph.sparse = [sparse]  # in a list: no part of the module
    x = along_edges(graph.sparse[0], graph.node(words), adjacency)
    return F.normalize(graph.activation(x), dim=-1) + words


def along_edges(convolution: GCNConv, words: Tensor, adjacency: Tensor) -> Tensor:
    """The graph convolution of sentences: words (B, L, D), adjacency (B, L, L)."""
    graphs = [
        Data(x=x, edge_index=matrix.nonzero().t())  # [child, head]: messages go to the head
        for x, matrix in zip(words, adjacency, strict=True)
    ]
    batch = Batch.from_data_list(graphs)
    return convolution(batch.x, batch.edge_index).view_as(words)


def word_visual_attention(attention: WordVisualAttention, words: Tensor, visual: Tensor) -> Tensor:
    """Every patch's query, its words, and what it gathered, each in full."""
    query = attention.query_norm(attention.query(visual)).flatten(2).transpose(1, 2)
    shares = (query @ attention.key(words).transpose(1, 2)).softmax(dim=-1)  # (B, N, L)
    gathered = (shares @ attention.value(words)).transpose(1, 2).reshape(visual.shape)
    gathered = F.relu(attention.attended_norm(attention.attended(gathered)))
    return attention.out(F.relu(attention.visual(visual)) * gathered)
