"""Lines of the speed table: the two graphs, alone."""

from collections.abc import Callable

import original
import torch
from harness import MIB, Result, figure, peak_memory, take_turns
from torch import Tensor
from torch.nn.functional import normalize
from torch_geometric.nn import GCNConv

from dghin.model.graphs import TextGraph, VisualGraph, edge_weights
from dghin.model.layers import map_of
from dghin.run.config import Config

CPU = torch.device("cpu")


def visual_graph(
    config: Config, turns: int, model: str, device: torch.device = CPU, batch: int = 2
) -> list[Result]:
    """The visual graph layer at stride 8, forward and backward: time, and memory at the peak; of
    that, too, what comes on top of the layer without its matrix, which both ways need."""
    torch.manual_seed(0)
    side, width = config.model.image_size // 8, config.model.width
    graph = VisualGraph(width).to(device)
    visual = normalize(torch.randn(batch, width, side, side, device=device), dim=1)
    visual.requires_grad_()
    upstream = torch.randn_like(visual)

    def passes(forward: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def call() -> None:
            forward(visual).backward(upstream)
            visual.grad = None
            graph.zero_grad()

        return call

    ways = passes(lambda x: original.visual_graph(graph, x)), passes(graph)
    baseline, ours = take_turns(*ways, max(turns, 5))
    memory = [peak_memory(way, device) / MIB for way in ways]
    both = peak_memory(passes(lambda x: without_matrix(graph, x)), device) / MIB
    alone = [[max(peak - both, 0.0)] for peak in memory]
    what = f"visual graph, {side * side} nodes, batch {batch}, forward and backward"
    return [
        Result(f"{what}: time", "s", baseline, ours, "less", 0.7),
        Result(f"{what}: memory", "MiB", *([peak] for peak in memory), "less", 0.125),
        Result(
            f"{what}: memory for its matrix", "MiB", *alone, "less", 0.125,
            f"above the {figure(both)} MiB of the layer without it: nodes, queries, gradients",
        ),
    ]  # fmt: skip


def without_matrix(graph: VisualGraph, visual: Tensor) -> Tensor:
    """The layer with every tensor of nodes that it needs, but with no comparison between nodes:
    the least that any way of comparing them holds."""
    nodes = graph.nodes(visual)
    mixed = map_of(graph.activation(graph.value(graph.asking(nodes) * nodes)), visual)
    return normalize(mixed, dim=1) + visual


def text_graph(config: Config, turns: int, model: str) -> list[Result]:
    """The text graphs of three levels for 8 sentences, forward: along the edges alone, and with
    the products with weights around that, which both ways have."""
    torch.manual_seed(0)
    count, length, width = 8, config.model.words, config.model.width
    layers = [TextGraph(width).eval() for _ in range(3)]
    bare = GCNConv(width, width, bias=False)
    bare.lin = torch.nn.Identity()
    words = torch.randn(count, length, width)
    heads = torch.stack([torch.randint(0, max(i, 1), (count,)) for i in range(length)], dim=1)
    adjacency = torch.nn.functional.one_hot(heads, length).float()

    def three(call):
        @torch.inference_mode()
        def levels():
            for layer in layers:
                call(layer)

        return levels

    turns = max(10 * turns, 5)
    edges = take_turns(
        three(lambda _: original.along_edges(bare, words, adjacency)),
        three(lambda _: torch.bmm(edge_weights(adjacency), words)),
        turns, warm=3,
    )  # fmt: skip
    whole = take_turns(
        three(lambda layer: original.text_graph(layer, words, adjacency)),
        three(lambda layer: layer(words, adjacency)),
        turns, warm=3,
    )  # fmt: skip
    what = f"text graph, three levels, batch {count}"
    note = "both ways have the same products with weights"
    return [
        Result(what, "ms", *milliseconds(edges), "more", 10.0),
        Result(f"{what}, layers around it", "ms", *milliseconds(whole), "more", 1.0, note),
    ]


def milliseconds(ways: tuple[list[float], list[float]]) -> list[list[float]]:
    return [[1000 * seconds for seconds in way] for way in ways]
