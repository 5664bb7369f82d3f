"""Both graphs against their plain formulas."""

import original
import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import GCNConv

from dghin.model.graphs import TextGraph, VisualGraph, mix, mix_plainly


def random_tree(words: int, seed: int) -> torch.Tensor:
    """A (L, L) adjacency: every word points at a random head, the first at itself."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.zeros(words, words)
    for child in range(words):
        head = 0 if child == 0 else int(torch.randint(0, child, (1,), generator=generator))
        matrix[child, head] = 1
    return matrix


def batch_of_trees() -> torch.Tensor:
    trees = torch.stack([random_tree(9, seed) for seed in range(4)])
    trees[3, 5:] = 0  # positions without an edge, as padding has
    return trees


def test_text_graph_is_a_sparse_gcn_of_every_sentence():
    torch.manual_seed(0)
    graph = TextGraph(12).eval()
    words, adjacency = torch.randn(4, 9, 12), batch_of_trees()
    sparse = GCNConv(12, 12)
    sparse.lin.weight, sparse.bias = graph.convolution.lin.weight, graph.convolution.bias
    nodes = graph.node(words)
    out = graph(words, adjacency)
    for i in range(4):
        edges = adjacency[i].nonzero().t()  # child, head: messages run from the child to the head
        expected = F.normalize(graph.activation(sparse(nodes[i], edges)), dim=-1) + words[i]
        torch.testing.assert_close(out[i], expected, atol=1e-6, rtol=1e-5)


def test_text_graph_is_the_plain_formula():
    torch.manual_seed(1)
    graph = TextGraph(8).eval()
    words, adjacency = torch.randn(4, 9, 8), batch_of_trees()
    links = adjacency.transpose(1, 2).clone()  # [head, child]
    links[:, range(9), range(9)] = 1
    scale = links.sum(-1).rsqrt()
    h = graph.node(words) @ graph.convolution.lin.weight.t()
    mixed = scale[..., None] * (links @ (scale[..., None] * h)) + graph.convolution.bias
    expected = F.normalize(graph.activation(mixed), dim=-1) + words
    torch.testing.assert_close(graph(words, adjacency), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 16, 5, 7), (1, 32, 13, 13)])
def test_visual_graph_is_the_plain_formula(shape):
    torch.manual_seed(0)
    graph, visual = VisualGraph(shape[1]).eval(), torch.randn(shape)
    visual.requires_grad_()
    out, expected = graph(visual), original.visual_graph(graph, visual)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)
    grads = [torch.autograd.grad(y.square().sum(), visual)[0] for y in (out, expected)]
    torch.testing.assert_close(*grads, atol=1e-4, rtol=1e-3)


def test_visual_graph_rows_are_rows_of_the_matrix():
    torch.manual_seed(0)
    graph, visual = VisualGraph(16).eval(), torch.randn(2, 16, 4, 6)
    x = graph.nodes(visual)
    full = (graph.query(x) @ graph.key(x).transpose(1, 2)).softmax(-1)  # W1, W2 apart
    rows = graph.rows(visual, torch.tensor([3, 20]))
    torch.testing.assert_close(rows.flatten(2), full[:, [3, 20]])
    torch.testing.assert_close(rows.sum((-1, -2)), torch.ones(2, 2))


def test_mixing_by_two_products_is_the_fused_form():
    query, nodes = torch.randn(2, 2, 30, 8, dtype=torch.float64)
    torch.testing.assert_close(mix_plainly(query, nodes), mix(query, nodes))
    assert torch.equal(mix_plainly(query, nodes), (query @ nodes.mT).softmax(-1) @ nodes)


def test_two_products_keep_the_precision_of_products():
    query, nodes = torch.randn(2, 2, 30, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert mix_plainly(query, nodes).dtype == torch.bfloat16
    assert mix_plainly(query, nodes).dtype == torch.float32


def compared(graph: VisualGraph, x: torch.Tensor) -> torch.Tensor:
    """What the softmax over rows is taken of, by its formula: x (B, N, D) → (B, N, N)."""
    query, root = graph.query(x) @ graph.key.weight, x.shape[-1] ** 0.5
    if graph.scale == "normalised":
        query, x = (y / y.square().sum(-1, keepdim=True).sqrt() for y in (query, x))
        return root * query @ x.transpose(1, 2)
    return query @ x.transpose(1, 2) / (root if graph.scale == "scaled" else 1)


@pytest.mark.parametrize("scale", ["paper", "scaled", "normalised"])
def test_every_scale_is_its_formula(scale):
    torch.manual_seed(0)
    graph, visual = VisualGraph(16, scale).double().eval(), torch.randn(2, 16, 4, 6).double()
    x = graph.nodes(visual)
    full = compared(graph, x).softmax(-1)
    torch.testing.assert_close(graph.rows(visual, torch.arange(24)).flatten(2), full)
    mixed = graph.activation(graph.value(full @ x)).transpose(1, 2).reshape(visual.shape)
    torch.testing.assert_close(graph(visual), F.normalize(mixed, dim=1) + visual)


def test_a_cosine_bounds_what_a_row_can_weigh():
    torch.manual_seed(0)
    visual = torch.randn(1, 16, 4, 6)
    graphs = {scale: VisualGraph(16, scale).eval() for scale in ("paper", "scaled", "normalised")}
    for graph in graphs.values():
        graph.load_state_dict(graphs["paper"].state_dict())
        graph.query.weight.data *= 1000  # as a training may push it
    own = {scale: graph.spread(visual)[0] for scale, graph in graphs.items()}
    assert own["paper"] < 1.2 and own["scaled"] < 1.5
    assert own["normalised"] > 1.5


def test_spread_counts_patches():
    graph, visual = VisualGraph(8).eval(), torch.randn(1, 8, 3, 4)
    graph.query.weight.data.zero_()
    assert graph.spread(visual) == pytest.approx((12, 12))  # every patch looks at all alike
    alike = torch.zeros(12, 12)
    alike[:, 5] = 1  # all look at one patch
    graph.rows = lambda visual, patches: alike.view(1, 12, 3, 4)
    assert graph.spread(visual) == pytest.approx((1, 1))
    graph.rows = lambda visual, patches: torch.eye(12).view(1, 12, 3, 4)  # each at itself
    assert graph.spread(visual) == pytest.approx((1, 12))
