"""Masks: COCO polygons and run lengths, ReferIt's .mat files, and the size of the image."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .common import UserError
from .records import Record

log = logging.getLogger(__name__)


def draw_mask(record: Record) -> np.ndarray:
    """The object's mask, (H, W) uint8 of 0 and 1, from whatever the raw data draws it with."""
    if isinstance(record.shape, Path):
        mask = read_mat(record.shape)
    else:
        if record.size is None:
            raise UserError(f"{record.where}: no image size is given, so nothing can be drawn.")
        mask = draw_segmentation(record.shape, *record.size, where=record.where)
    if not mask.any():
        log.warning("%s: the mask has no pixel", record.where)
    return mask


def draw_segmentation(segmentation: Any, height: int, width: int, where: str) -> np.ndarray:
    """A COCO segmentation as (H, W) uint8: the union of its polygons, or its run lengths.

    The original adds up the polygons of an object, which turns their overlaps into background
    in training; the union does not. Polygons of fewer than three points are left out.
    """
    from pycocotools import mask as coco

    try:
        if isinstance(segmentation, dict):
            rle = _run_lengths(segmentation, height, width, where)
        else:
            polygons = [p for p in segmentation if len(p) >= 6 and len(p) % 2 == 0]
            if len(polygons) < len(segmentation):
                log.warning("%s: left out a polygon of fewer than three points", where)
            if not polygons:
                raise UserError(f"{where}: no polygon of three points or more. Remove the object.")
            rle = coco.merge(coco.frPyObjects(polygons, height, width))
        return np.ascontiguousarray(coco.decode(rle))
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise UserError(
            f"{where}: its segmentation is neither polygons nor run lengths ({error}). "
            "Get instances.json again."
        ) from error


def _run_lengths(segmentation: dict[str, Any], height: int, width: int, where: str) -> Any:
    """COCO's RLE object from the JSON form: compressed text or a plain list of counts."""
    from pycocotools import mask as coco

    size = tuple(segmentation["size"])
    if size != (height, width):
        raise UserError(
            f"{where}: the run lengths are of size {size[0]}x{size[1]}, the image is recorded as "
            f"{height}x{width} (height x width). Correct the size or the mask."
        )
    counts = segmentation["counts"]
    if isinstance(counts, str):
        return {"size": [height, width], "counts": counts.encode("ascii")}
    if isinstance(counts, bytes):
        return {"size": [height, width], "counts": counts}
    if sum(counts) != height * width:
        raise UserError(
            f"{where}: the run lengths add up to {sum(counts)} pixels, the image has "
            f"{height * width} ({height}x{width}). Get instances.json again."
        )
    return coco.frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)


def read_mat(path: Path) -> np.ndarray:
    """ReferIt's mask, (H, W) uint8: `segimg_t` is 0 on the object and -1 elsewhere."""
    from scipy.io import loadmat

    remedy = "Get images/referit/mask of the ReferIt release again."
    if not path.is_file():
        raise UserError(f"{path}: no such file. {remedy}")
    try:
        labels = loadmat(path)["segimg_t"]
    except Exception as error:  # scipy raises many kinds on damaged files
        raise UserError(f"{path}: no readable 'segimg_t' in it ({error}). {remedy}") from error
    if labels.ndim != 2 or not np.isin(labels, (0, -1)).all():
        raise UserError(f"{path}: 'segimg_t' is not an image of 0 and -1. {remedy}")
    return (labels == 0).astype(np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header of an image file; an unreadable one is an error."""
    if not path.is_file():
        raise UserError(f"{path}: no such image. Put the photos of the data set there.")
    try:
        with Image.open(path) as image:
            width, height = image.size
    except Exception as error:  # PIL raises many kinds on damaged files
        raise UserError(
            f"{path}: cannot be read as an image ({error}). Get the file again."
        ) from error
    return height, width


def check_size(found: tuple[int, ...], size: tuple[int, int], what: str, image: Path) -> None:
    """An error if a mask or a record has another (height, width) than its image file."""
    if tuple(found) != size:
        raise UserError(
            f"{image}: the image is {size[0]}x{size[1]} (height x width), but {what} is "
            f"{found[0]}x{found[1]}. They do not belong together; get both again."
        )
