"""A prepared data set → samples → batches.

Letters: N expressions of a split, E expressions and B images of a batch, L words, S image size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dghin.data.batches import language_of
from dghin.run.config import Config

from .split import PreparedSplit
from .split import open_split as open_as

KEPT_IMAGES = 64


class PhotoMaps:
    """The frozen pyramid's maps of photos, kept: rows of four tables, each (N, h, w, C).

    rows: of (image, whether it is mirrored).
    """

    def __init__(self, rows: dict[tuple[str, bool], int], tables: Sequence[Tensor]):
        self.rows, self.tables = rows, tables

    def of(self, name: str, mirrored: bool = False) -> tuple[Tensor, ...]:
        """The maps of one photo, each (h, w, C)."""
        return tuple(table[self.rows[name, mirrored]] for table in self.tables)


class PreparedDataset(PreparedSplit):
    """The expressions of one split as the network takes them: images, masks, language features.

    image_size: S, that images and masks are resized to. The rest is PreparedSplit's.
    """

    def __init__(
        self,
        prepared: str | Path,
        dataset: str,
        split: str,
        image_size: int = 416,
        expected_key: dict[str, Any] | None = None,
    ):
        super().__init__(prepared, dataset, split, expected_key)
        self.image_size = image_size
        self.sentence_rows: np.ndarray | None = None  # of kept encoded sentences (frozen.py)
        self.maps: PhotoMaps | None = None  # kept, to be read instead of photos (frozen.py)
        self._images: dict[str, Tensor] = {}  # the newest few, for expressions that share one

    def resized_image(self, name: str) -> Tensor:
        """An image file at the network's size: (3, S, S) uint8; the newest few are kept."""
        if name not in self._images:
            if len(self._images) >= KEPT_IMAGES:
                self._images.pop(next(iter(self._images)))
            self._images[name] = resize_image(self.photo(name), self.image_size)
        return self._images[name]

    def inputs(self, index: int) -> dict[str, Any]:
        """What the network takes: image (3, S, S) uint8, or its maps where those are kept,
        language features (L,), index; the row of its encoded sentence where those are kept."""
        name = self.expressions[index].image
        words = language_of(self.features, index)
        if self.sentence_rows is not None:
            words["sentence_row"] = self.sentence_rows[index]
        image = self.maps.of(name) if self.maps else self.resized_image(name)
        return {"image": image, "image_name": name, **words, "index": index}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A training sample: `inputs` and mask (S, S) uint8 in {0, 1}, nearest neighbour."""
        truth = Image.fromarray(self.truth(index).view(np.uint8))
        small = truth.resize((self.image_size, self.image_size), Image.Resampling.NEAREST)
        return self.inputs(index) | {"mask": torch.from_numpy(np.array(small))}


def resize_image(image: Image.Image, size: int) -> Tensor:
    """The plain (aspect-breaking) bicubic resize of the uint8 image: (3, size, size) uint8."""
    array = np.array(image.resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def open_split(config: Config, split: str) -> PreparedDataset:
    """A split of the run's prepared data set, at the network's size."""
    opened = open_as(config, split, PreparedDataset)
    opened.image_size = config.model.image_size
    return opened
