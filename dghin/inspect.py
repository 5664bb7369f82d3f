"""What the network looked at, out of one ordinary forward pass.

    with observe(model) as seen:
        model(**inputs)
    seen.word_attention(level=1)             # (E, L, h, w), at the entity level
    seen.visual_rows(level=1, patches=[0])   # rows of the soft visual adjacency, (B, P, h, w)

Hooks keep the inputs of the modules in question; nothing in the network changes, and the maps
are computed from those inputs when they are asked for.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from data_preprocess.common import UserError

from .model import DGHIN, Level

LEVELS = (1, 2, 3)  # strides 8, 16, 32


class Observation:
    """The inputs of every level's attention and graph modules in the last forward pass."""

    def __init__(self, model: DGHIN):
        self.model = model
        self.inputs: dict[tuple[int, str], tuple[Tensor, ...]] = {}

    def _level(self, level: int) -> Level:
        if level not in LEVELS:
            raise ValueError(f"level {level}: levels with graphs are {LEVELS}")
        return self.model.levels[level - 1]

    @torch.no_grad()
    def word_attention(self, level: int, graph: bool = False) -> Tensor:
        """Every word's share in every patch: (E, L, h, w); over the words it sums to 1.

        graph: at the graph level, after both graphs, instead of the entity level.
        """
        name = "graph_attention" if graph else "entity_attention"
        words, visual = self._inputs(level, name)
        shares = getattr(self._level(level), name).attention(words, visual)  # (E, N, L)
        return shares.transpose(1, 2).unflatten(-1, visual.shape[-2:])

    @torch.no_grad()
    def visual_rows(self, level: int, patches: Sequence[int]) -> Tensor:
        """Rows of the soft visual adjacency: (B, P, h, w), each row sums to 1.

        patches: flat positions row · w + column on the level's grid; only these rows are computed.
        """
        (visual,) = self._inputs(level, "visual_graph")
        graph = self._level(level).visual_graph
        return graph.rows(visual, torch.as_tensor(patches, device=visual.device))

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
        for name in ("entity_attention", "graph_attention", "visual_graph"):
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
