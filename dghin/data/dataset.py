"""A prepared data set → samples → batches.

Letters: N expressions of a split, E expressions and B images of a batch, L words, S image size.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from data_preprocess.base.common import UserError, unknown_name
from data_preprocess.base.resources import folder_vocabulary, resolve, vocabulary_digest
from data_preprocess.language.features import CODES, Features, adjacency, read_features
from data_preprocess.prepared.annotations import read_entries
from data_preprocess.prepared.manifest import read_manifest
from dghin.run.config import Config

log = logging.getLogger(__name__)
KEPT_IMAGES = 64
LANGUAGE = ("word_ids", "attention_mask", "pos", "heads")
PREPARE = "Make it with: python -m data_preprocess prepare {} data=FOLDER."


@dataclass(frozen=True)
class Expression:
    """One expression of a split; its row in the split's language features is its position."""

    segment_id: str
    sentence_index: int
    sentence: str
    kind: str  # as the annotations name it, else by its words; "" unknown or none of the kinds
    image: str  # the image's file name
    length: int  # spaCy tokens
    targets: int = 1  # objects meant: several or none in gRefCOCO
    distractors: int | None = None  # other objects of its class in the image; None unknown
    depth: int | None = None  # of the parse: edges from the deepest word to the root


class PreparedDataset(Dataset):
    """The expressions of one split: images, masks and language features.

    prepared: the folder with `anns/` and `masks/`. expected_key: the language key that the run
    expects (language_key); features made for another are refused.
    """

    def __init__(
        self,
        prepared: str | Path,
        dataset: str,
        split: str,
        image_size: int = 416,
        expected_key: dict[str, Any] | None = None,
    ):
        self.prepared, self.dataset, self.split = Path(prepared), dataset, split
        self.image_size = image_size
        self.manifest = read_manifest(self.prepared, dataset)
        if split not in self.manifest["splits"]:
            raise unknown_name(f"split of {dataset}:", split, self.manifest["splits"])
        folder = self.prepared / "anns" / dataset
        entries = read_entries(folder / f"{split}.json")
        sentences = [s["sent"] for entry in entries for s in entry["sentences"]]
        path = folder / f"{split}.language.npz"
        made = {"parser_version": self.manifest["language"].get("parser_version")}
        self.features = read_features(path, {**made, **(expected_key or {})}, sentences)
        self.expressions = self._expressions(entries)
        self.photos = self.prepared / self.manifest["images_folder"]
        self.masks = self.prepared / self.manifest.get("masks_folder", f"masks/{dataset}")
        self._images: dict[str, Tensor] = {}  # the newest few, for expressions that share one

    def _expressions(self, entries: list[dict[str, Any]]) -> list[Expression]:
        features = self.features
        said = [(entry, sentence) for entry in entries for sentence in entry["sentences"]]
        rows = zip(features.length.tolist(), features.kind, features.depth.tolist(), strict=True)
        return [
            Expression(
                str(entry["segment_id"]),
                sentence["idx"],
                sentence["sent"],
                sentence.get("kind") or CODES[code],
                entry["img_name"],
                length,
                entry.get("targets", 1),
                entry.get("distractors"),
                depth if depth >= 0 else None,  # of an older file, where the parse was cut off
            )
            for (entry, sentence), (length, code, depth) in zip(said, rows, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.expressions)

    def name(self, index: int) -> str:
        """An expression's id, its words and its image file, for messages."""
        expression = self.expressions[index]
        return (
            f"{self.dataset} {self.split} {expression.segment_id}/{expression.sentence_index} "
            f"'{expression.sentence}' ({os.path.normpath(self.photos / expression.image)})"
        )

    def image(self, index: int) -> Image.Image:
        """The photo of an expression, RGB, at its own size."""
        return read_image(self.photos / self.expressions[index].image)

    def truth(self, index: int) -> np.ndarray:
        """The referent's mask, bool, at the photo's own size (H, W)."""
        path = self.masks / f"{self.expressions[index].segment_id}.png"
        try:
            with Image.open(path) as mask:
                return np.asarray(mask.convert("L")) > 127
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(
                f"{path}: not readable as a mask ({error}). {PREPARE.format(self.dataset)}"
            ) from error

    def resized_image(self, name: str) -> Tensor:
        """An image file at the network's size: (3, S, S) uint8; the newest few are kept."""
        if name not in self._images:
            if len(self._images) >= KEPT_IMAGES:
                self._images.pop(next(iter(self._images)))
            self._images[name] = resize_image(read_image(self.photos / name), self.image_size)
        return self._images[name]

    def inputs(self, index: int) -> dict[str, Any]:
        """What the network takes: image (3, S, S) uint8, language features (L,), index."""
        name = self.expressions[index].image
        words = language_of(self.features, index)
        return {"image": self.resized_image(name), "image_name": name, **words, "index": index}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A training sample: `inputs` and mask (S, S) uint8 in {0, 1}, nearest neighbour."""
        truth = Image.fromarray(self.truth(index).view(np.uint8))
        small = truth.resize((self.image_size, self.image_size), Image.Resampling.NEAREST)
        return self.inputs(index) | {"mask": torch.from_numpy(np.array(small))}


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


def run_manifest(config: Config) -> dict[str, Any]:
    """The manifest of the run's prepared data."""
    return read_manifest(config.data.prepared_root, config.data.dataset)


def read_image(path: Path, upright: bool = False) -> Image.Image:
    """An image as RGB; one that cannot be read is an error that names it.

    upright: turned as its camera held it (EXIF). Data sets are drawn over the pixels as they are.
    """
    place = os.path.normpath(path)  # in a manifest, photos are at ../images from the prepared data
    try:
        with Image.open(path) as image:
            return (ImageOps.exif_transpose(image) if upright else image).convert("RGB")
    except FileNotFoundError as error:
        raise UserError(f"{place}: no such image. Put it there, or correct data.root.") from error
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{place}: not readable as an image ({error}). Get the file again."
        ) from error


def resize_image(image: Image.Image, size: int) -> Tensor:
    """The plain (aspect-breaking) bicubic resize of the uint8 image: (3, size, size) uint8."""
    array = np.array(image.resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def collate(samples: list[dict[str, Any]], share_images: bool) -> dict[str, Any]:
    """Samples → one batch; with share_images every image is there once, `image_index` says whose.

    image (B, 3, S, S), image_index (E,) or None, mask (E, S, S), word_ids, attention_mask, pos
    (E, L), adjacency (E, L, L), index (E,).
    """
    language = {name: np.stack([s[name] for s in samples]) for name in LANGUAGE}
    batch: dict[str, Any] = {
        "adjacency": torch.from_numpy(adjacency(language.pop("heads"))),
        **{name: torch.from_numpy(value).long() for name, value in language.items()},
        "index": torch.tensor([s["index"] for s in samples]),
    }
    if "mask" in samples[0]:
        batch["mask"] = torch.stack([s["mask"] for s in samples])
    if not share_images:
        return batch | {"image": torch.stack([s["image"] for s in samples]), "image_index": None}
    unique = {s["image_name"]: s["image"] for s in samples}
    order = {name: i for i, name in enumerate(unique)}
    batch["image"] = torch.stack(list(unique.values()))
    batch["image_index"] = torch.tensor([order[s["image_name"]] for s in samples])
    return batch


MODEL_INPUTS = ("image", "word_ids", "attention_mask", "pos", "adjacency", "image_index")


def model_inputs(batch: dict[str, Any], device: torch.device | str = "cpu") -> dict[str, Any]:
    """The part of a batch that the network takes, on its device."""
    return {
        name: batch[name] if batch[name] is None else batch[name].to(device, non_blocking=True)
        for name in MODEL_INPUTS
    }


class TrainingBatches:
    """Which expressions every iteration takes: a pure function of seed and iteration.

    From iteration `start` to `end`, this rank's expressions in pieces of `piece`; `accumulation`
    pieces make its share of one step. An epoch is a fresh shuffle without its incomplete last
    step, as the original's. With expressions_per_image K > 1, up to K expressions of one image
    stand together. A step takes the same expressions whatever the number of ranks.
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
    ):
        self.groups: dict[str, list[int]] = {}
        for index, image in enumerate(images):
            self.groups.setdefault(image, []).append(index)
        self.piece, self.accumulation, self.rank, self.world = piece, accumulation, rank, world
        self.seed, self.per_image = seed, expressions_per_image
        self.start, self.end = start, end
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

    def __iter__(self) -> Iterator[list[int]]:
        order, of_epoch = np.empty(0), -1
        own = self.piece * self.accumulation
        for iteration in range(self.start, self.end):
            epoch, position = divmod(iteration, self.epoch_size)
            if epoch != of_epoch:
                order, of_epoch = self.order(epoch), epoch
            first = (position * self.world + self.rank) * own
            for begin in range(first, first + own, self.piece):
                yield order[begin : begin + self.piece].tolist()


def language_key(config: Config) -> dict[str, Any]:
    """What the run expects of language features; read_features refuses others.

    The tokenizer's digest takes part where the tokenizer lies on this machine.
    """
    data = config.data
    key = {"parser": data.parser, "words": config.model.words, "alignment": data.alignment}
    vocabulary = folder_vocabulary(resolve(data.tokenizer, data.root))
    return key | ({"tokenizer": vocabulary_digest(vocabulary)} if vocabulary else {})


def open_split(config: Config, split: str) -> PreparedDataset:
    """A split of the run's prepared data set, checked against the run's settings."""
    data, size = config.data, config.model.image_size
    opened = PreparedDataset(data.prepared_root, data.dataset, split, size, language_key(config))
    members = list(opened.manifest.get("members", ()))
    if data.members and members != list(data.members):
        raise UserError(
            f"{data.prepared_root / 'anns' / data.dataset / 'manifest.json'}: made of {members}, "
            f"but data.members={list(data.members)}. Prepare it anew with these, or ask for those."
        )
    return opened
