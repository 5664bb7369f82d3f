"""The annotated objects of photos, from the raw data's file of objects (instances.json).

    photos = read_photos(Path("data/refcoco/instances.json"), {"581857"})
    photos["581857"].masks()        # (N, H, W) bool, in the order of its objects

Crowds are objects here as in the count of distractors: the embedded data set's rings are marked so,
since a ring cannot be drawn as a polygon.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.paths import plain_id
from data_preprocess.raw.datasets import JOINT, KNOWN
from data_preprocess.raw.masks import draw_segmentation
from data_preprocess.raw.refer import read_instances, refer_sources

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnnotatedObject:
    """An object as annotated: its id as text, the id of its class, its COCO segmentation."""

    id: str
    category: Any
    segmentation: Any


@dataclass(frozen=True)
class Photo:
    """A photo's (height, width) and its annotated objects."""

    size: tuple[int, int]
    objects: list[AnnotatedObject] = field(default_factory=list)

    def masks(self) -> np.ndarray:
        """The objects' masks, bool (N, H, W); one that cannot be drawn is empty."""
        found = np.zeros((len(self.objects), *self.size), bool)
        for one, mask in zip(self.objects, found, strict=True):
            try:
                mask[:] = draw_segmentation(one.segmentation, *self.size, f"annotation {one.id}")
            except UserError as error:  # no expression needs it
                log.warning("left out an object: %s", error)
        return found


def objects_file(data: Path, dataset: str, segment_id: str) -> Path | None:
    """The file of objects that an expression's data set has; None where its form has none.

    data: the raw root. segment_id: of a joint set it names the member, as refcoco/123.
    """
    member = segment_id.partition("/")[0] if dataset == JOINT else dataset
    known = KNOWN.get(member)
    if known is None or known.reader not in ("refer", "grefer"):
        return None
    return refer_sources(data, known)[0]


def read_photos(path: Path, ids: Collection[str]) -> dict[str, Photo]:
    """Photos by their id as text, of those in `ids` that the file of objects holds."""
    instances = read_instances(path)
    photos = {}
    for number in instances.images:
        if str(number) in ids:
            image = instances.image(number, str(path))
            photos[str(number)] = Photo((image["height"], image["width"]))
    for number, entry in instances.annotations.items():
        photo = photos.get(str(plain_id(entry.get("image_id"))))
        if photo and "segmentation" in entry:
            category = plain_id(entry.get("category_id"))
            photo.objects.append(AnnotatedObject(str(number), category, entry["segmentation"]))
    return photos
