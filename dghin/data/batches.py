"""Samples → batches, and which expressions every iteration takes.

Letters: E expressions and B images of a batch, L words, S image size.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_preprocess.language.features import Features, adjacency

LANGUAGE = ("word_ids", "attention_mask", "pos", "heads")


def language_of(features: Features, index: int) -> dict[str, np.ndarray]:
    """What the network reads of one expression: LANGUAGE, each (L,)."""
    return {field: getattr(features, field)[index] for field in LANGUAGE}


def language_batch(
    features: Features, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], Tensor]:
    """Expressions as the network takes them: word_ids, attention_mask, pos (E, L); adjacency."""
    words = {
        field: torch.from_numpy(getattr(features, field)).long().to(device)
        for field in LANGUAGE
        if field != "heads"
    }
    return words, torch.from_numpy(adjacency(features.heads)).to(device)


def collate(samples: list[dict[str, Any]], share_images: bool) -> dict[str, Any]:
    """Samples → one batch; with share_images every image is there once, `image_index` says whose.

    image (B, 3, S, S), or its maps, four (B, C, h, w), where those are kept; image_index (E,) or
    None, mask (E, S, S), word_ids, attention_mask, pos (E, L), adjacency (E, L, L), index (E,),
    sentence_row (E,) where sentences are kept encoded.
    """
    language = {name: np.stack([s[name] for s in samples]) for name in LANGUAGE}
    batch: dict[str, Any] = {
        "adjacency": torch.from_numpy(adjacency(language.pop("heads"))),
        **{name: torch.from_numpy(value).long() for name, value in language.items()},
        "index": torch.tensor([s["index"] for s in samples]),
    }
    if "sentence_row" in samples[0]:
        batch["sentence_row"] = torch.tensor([s["sentence_row"] for s in samples])
    if "mask" in samples[0]:
        batch["mask"] = torch.stack([s["mask"] for s in samples])
    if not share_images:
        return batch | {"image": stack([s["image"] for s in samples]), "image_index": None}
    unique = {s["image_name"]: s["image"] for s in samples}
    order = {name: i for i, name in enumerate(unique)}
    batch["image"] = stack(list(unique.values()))
    batch["image_index"] = torch.tensor([order[s["image_name"]] for s in samples])
    return batch


def stack(images: list[Any]) -> Tensor | tuple[Tensor, ...]:
    """Images (3, S, S) → (B, 3, S, S); their maps, tuples of (h, w, C), → a tuple of (B, C, h, w),
    channels last in memory."""
    if isinstance(images[0], Tensor):
        return torch.stack(images)
    return tuple(torch.stack(x).permute(0, 3, 1, 2) for x in zip(*images, strict=True))


MODEL_INPUTS = ("image", "word_ids", "attention_mask", "pos", "adjacency", "image_index",
                "sentence_row")  # fmt: skip


def model_inputs(batch: dict[str, Any], device: torch.device | str = "cpu") -> dict[str, Any]:
    """The part of a batch that the network takes, on its device."""
    return {name: _moved(batch.get(name), device) for name in MODEL_INPUTS}


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved(x, device) for x in value)
    return value if value is None else value.to(device, non_blocking=True)


class TrainingBatches:
    """Which expressions every iteration takes: a pure function of seed and iteration.

    From iteration `start` to `end`, this rank's expressions in pieces of `piece`; `accumulation`
    pieces make its share of one step. An epoch is a fresh shuffle without its incomplete last
    step, as the original's. With expressions_per_image K > 1, up to K expressions of one image
    stand together. A step takes the same expressions whatever the number of ranks.

    flip: the chance that an epoch takes the mirrored samples of an image, which are numbered N
    higher (`mirror.Mirrored`), those of them that are `possible` (N,).
    """

    def __init__(
        self,
        images: list[str],
        piece: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        expressions_per_image: int = 1,
        start: int = 0,
        end: int = 0,
        accumulation: int = 1,
        flip: float = 0.0,
        possible: np.ndarray | None = None,
    ):
        self.groups: dict[str, list[int]] = {}
        for index, image in enumerate(images):
            self.groups.setdefault(image, []).append(index)
        self.piece, self.accumulation, self.rank, self.world = piece, accumulation, rank, world
        self.seed, self.per_image = seed, expressions_per_image
        self.start, self.end = start, end
        self.flip, self.possible = flip, possible
        self.epoch_size = len(images) // (piece * accumulation * world)

    def __len__(self) -> int:
        return (self.end - self.start) * self.accumulation

    def order(self, epoch: int) -> np.ndarray:
        """The epoch's order of all expressions."""
        random = np.random.default_rng([self.seed, epoch])
        if self.per_image == 1:
            return random.permutation(sum(map(len, self.groups.values())))
        chunks = []
        for members in self.groups.values():
            shuffled = random.permutation(members)
            size = self.per_image
            chunks += [shuffled[i : i + size] for i in range(0, len(shuffled), size)]
        return np.concatenate([chunks[i] for i in random.permutation(len(chunks))])

    def mirrored(self, epoch: int) -> np.ndarray:
        """What the epoch adds to each expression's number: N where its mirror image is taken.

        All expressions of an image alike, so that they can share it.
        """
        draws = np.random.default_rng([self.seed, epoch, 1]).random(len(self.groups)) < self.flip
        added = np.zeros(sum(map(len, self.groups.values())), int)
        for members, drawn in zip(self.groups.values(), draws, strict=True):
            added[members] = drawn * len(added)
        return added * self.possible

    def __iter__(self) -> Iterator[list[int]]:
        order, of_epoch = np.empty(0), -1
        own = self.piece * self.accumulation
        for iteration in range(self.start, self.end):
            epoch, position = divmod(iteration, self.epoch_size)
            if epoch != of_epoch:
                order, of_epoch = self.order(epoch), epoch
                if self.flip:
                    order = order + self.mirrored(epoch)[order]
            first = (position * self.world + self.rank) * own
            for begin in range(first, first + own, self.piece):
                yield order[begin : begin + self.piece].tolist()
