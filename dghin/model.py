"""DGHIN: encoders → dual-graph levels → decoder.

Letters in shape comments: B images, E expressions (E = B unless expressions share images),
L words, T text width, D level width, S image size.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig
from .encoders import Context, LinearNormPReLU, VisualPyramid, text_encoder
from .graphs import TextGraph, VisualGraph
from .hub import HubMixin
from .interaction import WordVisualAttention

POS_CLASSES = 7  # none, noun, adjective, verb, adposition, adverb, other
COORDINATES = 8
# With two or four channels the last convolution, which has no bias, is stuck on the background once
# all its weights point there: 8 of 21 trainings of width 32 never marked a pixel. The paper has 32.
LEAST_CHANNELS = 8


class Output(NamedTuple):
    """mask (E, 2, S, S) logits; scales: four logits (E, 2, S/4..S/32), for the auxiliary losses
    (none where the config leaves the auxiliary heads out)."""

    mask: Tensor
    scales: tuple[Tensor, ...]


class Image(NamedTuple):
    """What the network knows of images before a word is read (B images)."""

    shallow: Tensor  # L2(v0), (B, C0, S/4, S/4)
    patches: tuple[Tensor, ...]  # u of levels 1..3, (B, D, S/8..S/32, S/8..S/32)
    graphs: tuple[Tensor, ...]  # u' of levels 1..3, the same shapes

    def select(self, index: Tensor | None) -> "Image":
        """Image rows for every expression: index (E,) into B; None: one expression an image."""
        if index is None:
            return self
        pick = tuple(x[index] for x in self.patches), tuple(x[index] for x in self.graphs)
        return Image(self.shallow[index], *pick)


class Sentence(NamedTuple):
    """What the network knows of expressions before an image is seen (E expressions)."""

    words: Tensor  # f, (E, L, D)
    context: Tensor  # (E, C0)


class ConvNormPReLU(nn.Sequential):
    """3×3 convolution without bias, BatchNorm2d, PReLU."""

    def __init__(self, inputs: int, outputs: int):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.PReLU())


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
    """One of levels 1..3: entity level and graph level, merged.

    What the config leaves out is not there: a graph that is off passes its nodes on as they are,
    and one level of interaction alone is all that is merged.
    """

    def __init__(self, channels: int, config: ModelConfig):
        super().__init__()
        width, interaction = config.width, config.interaction
        entity, graph = interaction != "graph", interaction != "entity"
        self.patch = ConvNormPReLU(channels + COORDINATES, width)
        self.visual_graph = VisualGraph(width) if graph and config.visual_graph else None
        self.text_graph = TextGraph(width) if graph and config.text_graph else None
        self.entity_attention = WordVisualAttention(width) if entity else None
        self.graph_attention = WordVisualAttention(width) if graph else None
        self.merge = ConvNormPReLU((entity + graph) * width, width)

    def see(self, visual: Tensor) -> tuple[Tensor, Tensor]:
        """The image side: v (B, C, h, w) → u and u', both (B, D, h, w)."""
        patches = F.normalize(self.patch(with_coordinates(F.normalize(visual, dim=1))), dim=1)
        return patches, self.visual_graph(patches) if self.visual_graph else patches

    def forward(self, patches: Tensor, graph: Tensor, words: Tensor, adjacency: Tensor) -> Tensor:
        met = []
        if self.entity_attention:
            met.append(self.entity_attention(words, patches))
        if self.graph_attention:
            nodes = self.text_graph(words, adjacency) if self.text_graph else words
            met.append(self.graph_attention(nodes, graph))
        return self.merge(torch.cat(met, dim=1))


class Decoder(nn.Module):
    """From the coarsest level to the finest: four maps vt0..vt3 → (E, D, S/4, S/4)."""

    def __init__(self, width: int):
        super().__init__()
        self.merge = nn.ModuleList(ConvNormPReLU(2 * width, width) for _ in range(3))

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = F.normalize(levels[3], dim=1)
        for i in (2, 1, 0):
            x = F.interpolate(x, levels[i].shape[-2:], mode="bilinear", align_corners=False)
            x = self.merge[i](torch.cat([x, F.normalize(levels[i], dim=1)], dim=1))
        return x


class DGHIN(nn.Module, HubMixin):
    """The Dual-Graph Hierarchical Interaction Network (Displays 80, 2023).

    `DGHIN(ModelConfig())` is the paper's network with random weights; nothing is downloaded.
    """

    def __init__(self, config: ModelConfig = ModelConfig()):
        super().__init__()
        self.config = config
        width, text_width = config.width, config.text_width
        self.image_norm = nn.BatchNorm2d(3)
        self.visual_encoder = VisualPyramid(config)
        self.text_encoder = text_encoder(config)
        shallow, *deep = self.visual_encoder.channels
        self.context = Context(text_width)
        self.context_projection = LinearNormPReLU(text_width, shallow)
        self.embedding = WordEmbedding(text_width, width, config.part_of_speech)
        self.shallow_level = ConvNormPReLU(2 * shallow + COORDINATES, width)
        self.levels = nn.ModuleList(Level(channels, config) for channels in deep)
        self.decoder = Decoder(width)
        self.head = Head(width)
        heads = 4 if config.auxiliary_heads else 0
        self.auxiliary_heads = nn.ModuleList(Head(width) for _ in range(heads))

    @property
    def has_visual_graph(self) -> bool:
        """Whether patches pass through a graph: the config may leave it out."""
        return all(level.visual_graph is not None for level in self.levels)

    def encode_image(self, image: Tensor) -> Image:
        """image (B, 3, S, S), RGB 0..255: everything no word enters."""
        maps = self.visual_encoder(self.image_norm(image.to(self.image_norm.weight.dtype)))
        patches, graphs = zip(
            *(level.see(v) for level, v in zip(self.levels, maps[1:], strict=True)), strict=True
        )
        return Image(F.normalize(maps[0], dim=1), patches, graphs)

    def encode_words(self, word_ids: Tensor, attention_mask: Tensor, pos: Tensor) -> Sentence:
        """Three (E, L) tensors: everything no pixel enters."""
        encoded = self.text_encoder(
            input_ids=word_ids.long(), attention_mask=attention_mask.long()
        ).last_hidden_state  # (E, L, T)
        context = self.context_projection(self.context(encoded))
        return Sentence(self.embedding(encoded, pos), context)

    def interact(self, image: Image, sentence: Sentence, adjacency: Tensor) -> Output:
        """Words meet patches, and the decoder draws: image with E rows, E sentences."""
        tile = F.normalize(sentence.context, dim=1)[:, :, None, None]
        tile = tile.expand(-1, -1, *image.shallow.shape[-2:])
        levels = [self.shallow_level(with_coordinates(torch.cat([image.shallow, tile], dim=1)))]
        for level, patches, graph in zip(self.levels, image.patches, image.graphs, strict=True):
            levels.append(level(patches, graph, sentence.words, adjacency))
        scales = tuple(head(x) for head, x in zip(self.auxiliary_heads, levels, strict=False))
        mask = self.head(self.decoder(levels))
        mask = F.interpolate(mask, scale_factor=4, mode="bilinear", align_corners=False)
        return Output(mask, scales)

    def forward(
        self,
        image: Tensor,
        word_ids: Tensor,
        attention_mask: Tensor,
        pos: Tensor,
        adjacency: Tensor,
        image_index: Tensor | None = None,
    ) -> Output:
        """image (B, 3, S, S) RGB 0..255; word_ids, attention_mask, pos in 0..6: (E, L); adjacency
        (E, L, L) with [child, head] = 1; image_index (E,): the image of every expression, where
        several expressions share one (default: E = B, one each)."""
        sentence = self.encode_words(word_ids, attention_mask, pos)
        return self.interact(self.encode_image(image).select(image_index), sentence, adjacency)


def with_coordinates(x: Tensor) -> Tensor:
    """(B, C, h, w) → (B, C + 8, h, w): where every patch lies, in [-1, 1].

    Channels x_min, y_min, x_max, y_max, x_centre, y_centre, 1/h, 1/w. As in the original "x" runs
    down the rows, scaled by the width, and "y" along the columns, scaled by the height.
    """
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device, dtype=torch.float32)[:, None].expand(-1, width)
    columns = torch.arange(width, device=x.device, dtype=torch.float32)[None].expand(height, -1)
    x_min, x_max = rows / width * 2 - 1, (rows + 1) / width * 2 - 1
    y_min, y_max = columns / height * 2 - 1, (columns + 1) / height * 2 - 1
    one = torch.ones_like(rows)
    centres = (x_min + x_max) / 2, (y_min + y_max) / 2
    channels = torch.stack([x_min, y_min, x_max, y_max, *centres, one / height, one / width])
    return torch.cat([x, channels.to(x.dtype).expand(x.shape[0], -1, -1, -1)], dim=1)
