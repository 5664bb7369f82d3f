"""The parts between encoders and mask: word embedding, levels, decoder, heads.

Letters in shape comments: B images, E expressions (E = B unless expressions share images),
L words, T text width, D level width, S image size.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_preprocess.language.parts_of_speech import NAMES
from dghin.run.config import ModelConfig

from .encoders import LinearNormPReLU
from .graphs import TextGraph, VisualGraph
from .layers import map_of, rows_of
from .word_attention import Look, WordVisualAttention

POS_CLASSES = len(NAMES)
COORDINATES = 8
# With two or four channels the last convolution, which has no bias, is stuck on the background once
# all its weights point there: 8 of 21 trainings of width 32 never marked a pixel. The paper has 32.
LEAST_CHANNELS = 8


class LevelImage(NamedTuple):
    """A level's side of B images: its patches, and what they bring to each stage of the config."""

    patches: Tensor  # u, (B, D, h, w)
    entity: Look | None
    graph: Look | None  # of u'

    def select(self, index: Tensor) -> "LevelImage":
        entity, graph = (look and Look(*(x[index] for x in look)) for look in self[1:])
        return LevelImage(self.patches, entity, graph)


class ConvNormPReLU(nn.Sequential):
    """3×3 convolution without bias, BatchNorm2d, PReLU: (B, C, h, w) → (B, D, h, w)."""

    def __init__(self, inputs: int, outputs: int):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.PReLU())


class ShallowLevel(ConvNormPReLU):
    """Level 0: vt0 = ConvNormPReLU(cat[L2(v0), tile(L2(context)), coordinates]).

    Convolution is linear: the image's share is computed once an image. A tiled vector gives the
    same value wherever the window lies inside, so that its share needs no convolution at all.
    """

    coordinates: Tensor

    def __init__(self, channels: int, width: int, side: int = 0):
        super().__init__(2 * channels + COORDINATES, width)
        self.channels = channels
        self.register_buffer("coordinates", coordinates(side, side), persistent=False)

    def see(self, visual: Tensor) -> Tensor:
        """The image's share: v0 (B, C, h, w) → (B, D, h, w)."""
        words = slice(self.channels, 2 * self.channels)
        weight: Any = self[0].weight
        weight = torch.cat([weight[:, : words.start], weight[:, words.stop :]], dim=1)
        visual = with_coordinates(F.normalize(visual, dim=1), self.coordinates)
        return F.conv2d(visual, weight, padding=1)

    def forward(  # type: ignore[override]  # of two inputs
        self, seen: Tensor, context: Tensor
    ) -> Tensor:
        """seen, of `see`, (E or 1, D, h, w); context (E, C) → (E, D, h, w)."""
        parts: Any = self
        convolution, norm, activation = parts
        weight = convolution.weight[:, self.channels : 2 * self.channels]  # (D, C, 3, 3)
        share = F.linear(F.normalize(context, dim=1), weight.permute(2, 3, 0, 1).flatten(0, 2))
        inside = window_inside(seen)  # (N, 9)
        rows = torch.matmul(inside, share.unflatten(1, (9, -1)))  # (E, N, D)
        return activation(norm(seen + map_of(rows, seen)))


def window_inside(x: Tensor) -> Tensor:
    """Which of a 3×3 window's nine places lie on the map, around every place: (h·w, 9), 0 or 1."""
    down, right = (F.pad(x.new_ones(n), (1, 1)).unfold(0, 3, 1) for n in x.shape[-2:])  # (n, 3)
    return (down[:, None, :, None] * right[None, :, None, :]).flatten(2).flatten(0, 1)


class Head(nn.Sequential):
    """(E, D, h, w) → two-class logits (E, 2, h, w).

    Hidden channels D/4 and D/16, as the original's; of the latter at least LEAST_CHANNELS.
    """

    def __init__(self, width: int):
        quarter, sixteenth = width // 4, max(width // 16, LEAST_CHANNELS)
        super().__init__(
            ConvNormPReLU(width, quarter),
            ConvNormPReLU(quarter, sixteenth),
            nn.Conv2d(sixteenth, 2, 1, bias=False),
        )

    def start_at(self, share: float) -> None:
        """Set the last norm and convolution so that an untrained head gives every pixel about this
        probability of being the referent's.

        The last convolution has no bias. As it is drawn, it starts at a half, and the many pixels
        of the background push all of its weights one way, where some trainings stay. Here half of
        its channels speak for the background, and are on; the others speak for the referent, and
        are off.
        """
        parts: Any = self
        _, (_, norm, activation), last = parts
        channels = last.in_channels
        sign = torch.where(torch.arange(channels) < channels // 2, 1.0, -1.0)
        with torch.no_grad():
            norm.bias.copy_(sign)
            evidence = (sign * F.prelu(norm.bias, activation.weight)).sum()
            rows = sign * math.log((1 - share) / share) / (2 * evidence)
            last.weight.mul_(0.25).add_(torch.stack([rows, -rows])[:, :, None, None])


class WordEmbedding(nn.Module):
    """Words and their part of speech: f = L2(PReLU(BN(Linear(w ⊙ p)))) + w.

    Without part of speech: f = L2(PReLU(BN(Linear(w)))) + w.
    """

    def __init__(self, text_width: int, width: int, part_of_speech: bool = True):
        super().__init__()
        self.word = LinearNormPReLU(text_width, width)
        self.pos = None
        if part_of_speech:
            self.pos = nn.Sequential(
                LinearNormPReLU(POS_CLASSES, 2 * width), LinearNormPReLU(2 * width, width)
            )
        self.fuse = LinearNormPReLU(width, width)

    def forward(self, words: Tensor, pos: Tensor) -> Tensor:
        """words (E, L, T), pos (E, L) in 0..6 → (E, L, D)."""
        word = F.normalize(self.word(words), dim=-1)
        if self.pos is None:
            return F.normalize(self.fuse(word), dim=-1) + word
        one_hot = F.one_hot(pos.long(), POS_CLASSES).to(words.dtype)
        part = F.normalize(self.pos(one_hot), dim=-1)
        return F.normalize(self.fuse(word * part), dim=-1) + word


class Level(nn.Module):
    """One of levels 1..3: entity level and graph level, merged. side: of its map, as is usual.

    What the config leaves out is not there: a graph that is off passes its nodes on as they are,
    and one level of interaction alone is all that is merged.
    """

    coordinates: Tensor

    def __init__(self, channels: int, config: ModelConfig, side: int = 0):
        super().__init__()
        self.register_buffer("coordinates", coordinates(side, side), persistent=False)
        width, interaction = config.width, config.interaction
        entity, graph = interaction != "graph", interaction != "entity"
        self.patch = ConvNormPReLU(channels + COORDINATES, width)
        self.visual_graph = None
        if graph and config.visual_graph:
            self.visual_graph = VisualGraph(width, config.visual_graph_scale)
        self.text_graph = TextGraph(width) if graph and config.text_graph else None
        self.entity_attention = WordVisualAttention(width) if entity else None
        self.graph_attention = WordVisualAttention(width) if graph else None
        self.merge = ConvNormPReLU((entity + graph) * width, width)

    def see(self, visual: Tensor) -> LevelImage:
        """The image's side: v (B, C, h, w)."""
        visual = with_coordinates(F.normalize(visual, dim=1), self.coordinates)
        patches = F.normalize(self.patch(visual), dim=1)
        entity = graph = None
        if self.entity_attention:
            entity = self.entity_attention.look(patches)
        if self.graph_attention:
            nodes = self.visual_graph(patches) if self.visual_graph else patches
            graph = self.graph_attention.look(nodes)
        return LevelImage(patches, entity, graph)

    def forward(
        self, entity: Look | None, graph: Look | None, words: Tensor, adjacency: Tensor
    ) -> Tensor:
        met = []
        if self.entity_attention and entity is not None:
            met.append(self.entity_attention(words, *entity))
        if self.graph_attention and graph is not None:
            nodes = self.text_graph(words, adjacency) if self.text_graph else words
            met.append(self.graph_attention(nodes, *graph))
        return self.merge(torch.cat(met, dim=1))


class Merge(ConvNormPReLU):
    """ConvNormPReLU(cat[bilinear(coarse → size of fine), fine]), without enlarging `coarse`.

    Enlarging is linear, and so is the convolution: its nine 1×1 products are taken on the coarse
    map, and their sum, shifted and enlarged, is two products with a matrix of its sides. Twice the
    size costs a third of the arithmetic, and the enlarged map is never held in memory.

    sides: of the coarse and of the fine map, as is usual.
    """

    table: Tensor

    def __init__(self, width: int, sides: tuple[int, int] = (1, 1)):
        super().__init__(2 * width, width)
        self.register_buffer("table", enlarging_window(*sides), persistent=False)

    def forward(  # type: ignore[override]  # of two inputs
        self, coarse: Tensor, fine: Tensor
    ) -> Tensor:
        """coarse (E, D, h, w), fine (E, D, H, W) → (E, D, H, W)."""
        parts: Any = self
        convolution, norm, activation = parts
        width = fine.shape[1]
        enlarged, own = convolution.weight.split(width, dim=1)
        x = F.conv2d(fine, own, padding=1)
        x = x + convolve_enlarged(coarse, enlarged, fine.shape[-2:], self.table)
        return activation(norm(x))


def convolve_enlarged(
    x: Tensor, weight: Tensor, size: Sequence[int], table: Tensor | None = None
) -> Tensor:
    """conv2d(interpolate(x, size, mode="bilinear"), weight, padding=1): x (E, C, h, w), weight
    (D, C, 3, 3), size (H, W) → (E, D, H, W), in channels-last memory. table: `enlarging_window` of
    the sides that are usual."""
    height, width = x.shape[-2:]
    # (3, C, 3·D): of every row of the window, its three products side by side
    weights = weight.permute(2, 1, 3, 0).flatten(2)
    x = torch.matmul(rows_of(x)[:, None], weights)  # (E, 3, h·w, 3·D)
    down, right = (
        aligned(_table(table, n, size[i], x).movedim(0, i + 1).flatten(1))
        for i, n in enumerate((height, width))
    )  # (H, 3·h), (W, w·3)
    x = x.unflatten(2, (height, width)).unflatten(-1, (3, -1)).flatten(3, 4)  # (E, 3, h, w·3, D)
    x = torch.matmul(right, x)  # (E, 3, h, W, D)
    x = torch.matmul(down, x.flatten(1, 2).flatten(2))  # (E, H, W·D)
    return x.unflatten(-1, (size[1], -1)).permute(0, 3, 1, 2)


def enlarging_window(length: int, longer: int, device: torch.device | None = None) -> Tensor:
    """Along one side, what each place of a map of `length` gives to the three places of a window
    on the bilinearly enlarged one: (3, longer, length); outside of it, nothing."""
    eye = torch.eye(length, device=device)[None]
    enlarged = F.interpolate(eye, longer, mode="linear", align_corners=False)[0].t()
    padded = F.pad(enlarged, (0, 0, 1, 1))  # (longer + 2, length)
    return torch.stack([padded[i : i + longer] for i in range(3)])


def _table(known: Tensor | None, length: int, longer: int, like: Tensor) -> Tensor:
    """The known table where it is of these sides, else one that is made now."""
    if known is None or known.shape[1:] != (longer, length):
        known = enlarging_window(length, longer, like.device)
    return known.to(like.dtype)


def aligned(matrix: Tensor) -> Tensor:
    """On a GPU: the same matrix (M, K), with rows that begin at multiples of eight numbers; else
    its products fall back to kernels of an older card. (It has 156 columns at 416 pixels.)"""
    columns = matrix.shape[1]
    if not matrix.is_cuda or columns % 8 == 0:
        return matrix
    return F.pad(matrix, (0, -columns % 8))[:, :columns]


class Decoder(nn.Module):
    """From the coarsest level to the finest: four maps vt0..vt3 → (E, D, S/4, S/4). sides: of the
    four maps, as is usual."""

    def __init__(self, width: int, sides: Sequence[int] = (1, 1, 1, 1)):
        super().__init__()
        pairs = ((sides[i + 1], sides[i]) for i in range(3))
        self.merge = nn.ModuleList(Merge(width, pair) for pair in pairs)

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = F.normalize(levels[3], dim=1)
        for i in (2, 1, 0):
            x = self.merge[i](x, F.normalize(levels[i], dim=1))
        return x


def with_coordinates(x: Tensor, known: Tensor | None = None) -> Tensor:
    """(B, C, h, w) → (B, C + 8, h, w): where every patch lies, in [-1, 1]. known: `coordinates` of
    the sides that are usual."""
    if known is None or known.shape[-2:] != x.shape[-2:]:
        height, width = x.shape[-2:]
        known = coordinates(height, width, x.device)
    return torch.cat([x, known.to(x.dtype).expand(x.shape[0], -1, -1, -1)], dim=1)


def coordinates(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Where every patch lies: (8, h, w).

    Channels x_min, y_min, x_max, y_max, x_centre, y_centre, 1/h, 1/w. As in the original "x" runs
    down the rows, scaled by the width, and "y" along the columns, scaled by the height.
    """
    rows = torch.arange(height, device=device, dtype=torch.float32)[:, None].expand(-1, width)
    columns = torch.arange(width, device=device, dtype=torch.float32)[None].expand(height, -1)
    x_min, x_max = rows / width * 2 - 1, (rows + 1) / width * 2 - 1
    y_min, y_max = columns / height * 2 - 1, (columns + 1) / height * 2 - 1
    one = torch.ones_like(rows)
    centres = (x_min + x_max) / 2, (y_min + y_max) / 2
    return torch.stack([x_min, y_min, x_max, y_max, *centres, one / height, one / width])
