"""What the network looked at, out of one ordinary forward pass.

    with observe(model) as seen:
        model(**inputs)
    seen.word_attention(level=1)             # (E, L, h, w), at the entity level
    seen.visual_rows(level=1, patches=[0])   # rows of the soft visual adjacency, (B, P, h, w)
    seen.edges(language)                     # the dependency edges with their weights

Hooks keep the inputs of the modules in question; nothing in the network changes, and the maps
are computed from those inputs when they are asked for. `Predictor.predict(..., inspect=True)`
gives the same of one expression.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from data_preprocess.base.errors import UserError
from dghin.model.dghin import DGHIN, EncodedImage
from dghin.model.graphs import edge_weights
from dghin.model.levels import Level

LEVELS = (1, 2, 3)  # strides 8, 16, 32
ATTENTION = {False: "entity_attention", True: "graph_attention"}  # by whether after both graphs
STAGES = {"entity level": False, "graph level": True}  # what people call the two
Point = tuple[float, float]  # (down, right), fractions of the photo


class Edge(NamedTuple):
    """A dependency edge as the text graph adds it up: `head` takes up `weight` times `child`.

    Positions of L; a word's link to itself has child == head, and so has the root.
    """

    child: int
    head: int
    weight: float


def stages_of(model: DGHIN) -> list[str]:
    """Of STAGES, those where words and patches meet in this network."""
    level = model.levels[0]
    return [name for name, graph in STAGES.items() if getattr(level, ATTENTION[graph]) is not None]


def patch_of(point: Point, grid: Sequence[int]) -> tuple[int, int]:
    """The (row, column) of the patch that holds a place; grid (h, w)."""
    return tuple(min(int(part * count), count - 1) for part, count in zip(point, grid, strict=True))


class Observation:
    """The inputs of every level's attention and graph modules in the last forward pass."""

    def __init__(self, model: DGHIN):
        self.model = model
        self.inputs: dict[tuple[int, str], tuple[Tensor, ...]] = {}

    def of(self, expression: int, image: EncodedImage | None = None) -> Self:
        """What was seen of one expression of the pass.

        image: the one image that all were about, where it was encoded before the pass.
        """
        one = type(self)(self.model)
        for (level, name), inputs in self.inputs.items():
            one.inputs[level, name] = tuple(
                x if len(x) == 1 else x[expression : expression + 1] for x in inputs
            )
        if image is not None and self.model.has_visual_graph:
            one.inputs |= {
                (level, "visual_graph"): (image.levels[level - 1].patches,) for level in LEVELS
            }
        return one

    def _level(self, level: int) -> Level:
        if level not in LEVELS:
            raise ValueError(f"level {level}: levels with graphs are {LEVELS}")
        return self.model.levels[level - 1]

    @torch.no_grad()
    def word_attention(self, level: int, graph: bool = False) -> Tensor:
        """Every word's share in every patch: (E, L, h, w); over the words it sums to 1.

        graph: at the graph level, after both graphs, instead of the entity level.
        """
        name = ATTENTION[graph]
        words, query, _ = self._inputs(level, name)
        shares = getattr(self._level(level), name).attention(words, query)  # (E, L, N)
        return shares.unflatten(-1, query.shape[-2:])

    @torch.no_grad()
    def visual_rows(self, level: int, patches: Sequence[int]) -> Tensor:
        """Rows of the soft visual adjacency: (B, P, h, w), each row sums to 1.

        patches: flat positions row · w + column on the level's grid; only these rows are computed.
        """
        (visual,) = self._inputs(level, "visual_graph")
        count = visual.shape[-2] * visual.shape[-1]
        if wrong := [patch for patch in patches if not 0 <= patch < count]:
            raise ValueError(f"patches {wrong}: level {level} has {count}, from 0 to {count - 1}")
        graph = self._level(level).visual_graph
        return graph.rows(visual, torch.as_tensor(patches, device=visual.device))

    def rows_at(self, level: int, points: Sequence[Point]) -> np.ndarray:
        """`visual_rows` of the patches that hold these places, of one image: (P, h, w)."""
        grid = self.grid(level)
        cells = [patch_of(point, grid) for point in points]
        rows = self.visual_rows(level, [row * grid[1] + column for row, column in cells])
        return rows[0].float().cpu().numpy()

    def labelled_shares(
        self, level: int, pieces: Sequence[str], graph: bool = False
    ) -> tuple[list[str], np.ndarray]:
        """`word_attention` of one expression with its labels: N names, (N, h, w).

        pieces: its word pieces, without [CLS]. Padding takes part, too: its positions are added up
        under one label.
        """
        shares = self.word_attention(level, graph)[0].float().cpu().numpy()  # (L, h, w)
        labels = ["[CLS]", *pieces, "[SEP]"][: len(shares)]
        if (used := len(labels)) == len(shares):
            return labels, shares
        padding = shares[used:].sum(axis=0, keepdims=True)
        return [*labels, "padding"], np.concatenate([shares[:used], padding])

    def edges(self, adjacency: np.ndarray | Tensor) -> list[Edge]:
        """The text graph's links of one expression with their normalised weights.

        adjacency (L, L) with [child, head] = 1. Empty where the network has no text graph.
        """
        if not self.has(1, "text_graph"):
            return []
        weights = edge_weights(torch.as_tensor(adjacency)[None])[0]
        heads, children = weights.nonzero(as_tuple=True)
        values = weights[heads, children].tolist()
        return [Edge(*edge) for edge in zip(children.tolist(), heads.tolist(), values, strict=True)]

    def grid(self, level: int) -> tuple[int, int]:
        """The level's patch grid (h, w)."""
        return tuple(self._inputs(level, "visual_graph")[0].shape[-2:])

    def has(self, level: int, name: str) -> bool:
        """Whether the network was built with a part: entity_attention, visual_graph, ..."""
        return getattr(self._level(level), name) is not None

    def _inputs(self, level: int, name: str) -> tuple[Tensor, ...]:
        """What a module was given; a network without it is an error that says so."""
        if getattr(self._level(level), name) is None:
            raise UserError(
                f"{name}, level {level}: this network was built without it (model.text_graph, "
                "model.visual_graph, model.interaction). Look at another part."
            )
        return self.inputs[level, name]


@contextmanager
def observe(model: DGHIN) -> Iterator[Observation]:
    """Keep what the attention and graph modules are given while the block runs."""
    seen, handles = Observation(model), []
    for number in LEVELS:
        for name in (*ATTENTION.values(), "visual_graph"):
            module = getattr(model.levels[number - 1], name)
            if module is None:  # left out by the config
                continue

            def keep(_module, inputs, key=(number, name)):
                seen.inputs[key] = tuple(x.detach() for x in inputs)

            handles.append(module.register_forward_pre_hook(keep))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
