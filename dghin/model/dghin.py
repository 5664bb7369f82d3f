"""DGHIN: encoders → dual-graph levels → decoder.

Letters in shape comments: B images, E expressions (E = B unless expressions share images),
L words, T text width, D level width, S image size.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from dghin.model.levels import Decoder, Head, Level, LevelImage, ShallowLevel, WordEmbedding
from dghin.run.config import ModelConfig

from .encoders import STRIDES, Context, LinearNormPReLU, VisualPyramid, text_encoder
from .hub import HubMixin


class Output(NamedTuple):
    """mask (E, 2, S, S) logits; scales: four logits (E, 2, S/4..S/32), for the auxiliary losses
    (none where the config leaves the auxiliary heads out)."""

    mask: Tensor
    scales: tuple[Tensor, ...]

    def __repr__(self) -> str:
        """Shapes: nobody reads the numbers."""
        scales = ", ".join(str(tuple(scale.shape)) for scale in self.scales)
        return f"Output(mask {tuple(self.mask.shape)}, scales [{scales}])"


class EncodedImage(NamedTuple):
    """What the network knows of images before a word is read (B images)."""

    shallow: Tensor  # level 0 without its words, (B, D, S/4, S/4)
    levels: tuple[LevelImage, ...]  # of levels 1..3

    def select(self, index: Tensor | None) -> "EncodedImage":
        """Image rows for every expression: index (E,) into B; None: one expression an image.

        The levels' patches, which words never meet, stay those of the images.
        """
        if index is None:
            return self
        return EncodedImage(
            self.shallow[index], tuple(level.select(index) for level in self.levels)
        )


class Sentence(NamedTuple):
    """What the network knows of expressions before an image is seen (E expressions)."""

    words: Tensor  # f, (E, L, D)
    context: Tensor  # (E, C0)


def run_plainly(part: Any, *inputs: Any) -> Any:
    """How the network calls its parts, unless `training/device/recompute` computes them twice."""
    return part(*inputs)


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
        sides = [-(-config.image_size // stride) for stride in STRIDES]
        self.shallow_level = ShallowLevel(shallow, width, sides[0])
        pairs = zip(deep, sides[1:], strict=True)
        self.levels = nn.ModuleList(Level(channels, config, side) for channels, side in pairs)
        self.decoder = Decoder(width, sides)
        self.head = Head(width)
        heads = 4 if config.auxiliary_heads else 0
        self.auxiliary_heads = nn.ModuleList(Head(width) for _ in range(heads))
        self.run_level = self.run_part = run_plainly  # the levels 1..3; level 0 and the decoder
        # word ids (E, L) → (E, L, T), or None if not all are known: `dghin.training.frozen`'s
        # (and the rows (E,) that they have there, where the loader knows them)
        self.look_up: Callable[[Tensor, Tensor | None], Tensor | None] | None = None

    def start_heads_at(self, share: float) -> None:
        """Set all heads to begin with this share of referent's pixels (`Head.start_at`)."""
        for head in (self.head, *self.auxiliary_heads):
            head.start_at(share)

    @property
    def has_visual_graph(self) -> bool:
        """Whether patches pass through a graph: the config may leave it out."""
        return all(level.visual_graph is not None for level in self.levels)

    def look(self, image: Tensor) -> list[Tensor]:
        """image (B, 3, S, S), RGB 0..255 → the pyramid's maps, each (B, C_i, S/s, S/s)."""
        return self.visual_encoder(self.image_norm(image.to(self.image_norm.weight.dtype)))

    def encode_image(self, image: Tensor | Sequence[Tensor]) -> EncodedImage:
        """image (B, 3, S, S), RGB 0..255, or its maps by `look`: everything no word enters."""
        maps = self.look(image) if isinstance(image, Tensor) else image
        pairs = zip(self.levels, maps[1:], strict=True)
        levels = tuple(self.run_level(level.see, visual) for level, visual in pairs)
        return EncodedImage(self.shallow_level.see(maps[0]), levels)

    def encode_words(
        self,
        word_ids: Tensor,
        attention_mask: Tensor,
        pos: Tensor,
        sentence_row: Tensor | None = None,
    ) -> Sentence:
        """Three (E, L) tensors: everything no pixel enters. sentence_row: see `encode_text`."""
        encoded = self.encode_text(word_ids.long(), attention_mask.long(), sentence_row)
        context = self.context_projection(self.context(encoded))
        return Sentence(self.embedding(encoded, pos), context)

    def encode_text(
        self, word_ids: Tensor, attention_mask: Tensor, sentence_row: Tensor | None = None
    ) -> Tensor:
        """What the text encoder gives, computed or looked up: two (E, L) tensors → (E, L, T).

        sentence_row (E,): where the sentences are in the table of those that are kept encoded.
        """
        found = self.look_up(word_ids, sentence_row) if self.look_up else None
        if found is None:
            if word_ids.is_cuda:  # of a mask (E, L), BERT asks whether it hides anything, and waits
                shape = (-1, -1, word_ids.shape[1], -1)
                attention_mask = attention_mask.bool()[:, None, None].expand(shape)
            words = {"input_ids": word_ids, "attention_mask": attention_mask}
            found = self.text_encoder(**words).last_hidden_state
        return found

    def interact(
        self, image: EncodedImage, sentence: Sentence, adjacency: Tensor, with_scales: bool = True
    ) -> Output:
        """Words meet patches, and the decoder draws: E sentences, image with E rows, or with one
        that all are about. with_scales: the coarser masks, too, which only the loss uses."""
        levels = [self.run_part(self.shallow_level, image.shallow, sentence.context)]
        for level, (_, entity, graph) in zip(self.levels, image.levels, strict=True):
            levels.append(self.run_level(level, entity, graph, sentence.words, adjacency))
        heads = self.auxiliary_heads if with_scales else ()
        scales = tuple(head(x) for head, x in zip(heads, levels, strict=False))
        mask = self.head(self.run_part(self.decoder, levels))
        mask = F.interpolate(mask, scale_factor=4, mode="bilinear", align_corners=False)
        return Output(mask, scales)

    def forward(
        self,
        image: Tensor | Sequence[Tensor],
        word_ids: Tensor,
        attention_mask: Tensor,
        pos: Tensor,
        adjacency: Tensor,
        image_index: Tensor | None = None,
        sentence_row: Tensor | None = None,
    ) -> Output:
        """image (B, 3, S, S) RGB 0..255, or its maps by `look`; word_ids, attention_mask, pos in
        0..6: (E, L); adjacency (E, L, L) with [child, head] = 1; image_index (E,): the image of
        every expression, where several share one (default: E = B, one each); sentence_row:
        `encode_text`."""
        sentence = self.encode_words(word_ids, attention_mask, pos, sentence_row)
        return self.interact(self.encode_image(image).select(image_index), sentence, adjacency)
