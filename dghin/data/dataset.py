"""A prepared data set → samples → batches.

Letters: N expressions of a split, E expressions and B images of a batch, L words, S image size.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.resources import folder_vocabulary, resolve, vocabulary_digest
from data_preprocess.language.features import CODES, read_features
from data_preprocess.prepared.annotations import read_entries
from data_preprocess.prepared.manifest import read_manifest
from dghin.data.batches import language_of
from dghin.run.config import Config

KEPT_IMAGES = 64
PREPARE = "Make it with: dghin data prepare {} data=FOLDER."


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
