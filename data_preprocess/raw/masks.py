"""Masks: COCO polygons and run lengths, ReferIt's .mat files, mask images; the size of an image."""

import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.values import image_shape

from .mat_file import read_array
from .records import Record, Shapes
from .segmentation import check_form, check_polygons, run_lengths_mask

log = logging.getLogger(__name__)

_MAT = "Get images/referit/mask of the ReferIt release again."
_SLACK = 1_000_000  # pixels: a mask a little larger is drawn, and then compared with its image


def draw_mask(record: Record, size: tuple[int, int] | None = None) -> np.ndarray:
    """The referent's mask, (H, W) uint8 of 0 and 1, from whatever the raw data draws it with.

    size: (height, width) of its image, if known; a mask file that is much larger is refused.
    """
    if isinstance(record.shape, Path):
        is_mat = record.shape.suffix == ".mat"
        mask = read_mat(record.shape, size) if is_mat else _marked(record, size)
    else:
        known = record.size or size
        if known is None:
            raise UserError(f"{record.where}: no image size is given, so nothing can be drawn.")
        parts = record.shape.parts if isinstance(record.shape, Shapes) else (record.shape,)
        mask = np.zeros(image_shape(*known, record.where, "Correct it."), np.uint8)
        for part in parts:
            mask |= draw_segmentation(part, *known, where=record.where)
    if record.targets and not mask.any():
        log.warning("%s: the mask has no pixel", record.where)
    return mask


def draw_segmentation(segmentation: Any, height: int, width: int, where: str) -> np.ndarray:
    """A COCO segmentation as (H, W) uint8: the union of its polygons, or of its run lengths.

    The original adds up the polygons of an object, which turns their overlaps into background
    in training; the union does not. Polygons of fewer than three points are left out.
    """
    from pycocotools import mask as coco

    image_shape(height, width, where, "Correct it.")
    check_form(segmentation, where)
    if isinstance(segmentation, dict):
        return run_lengths_mask(segmentation, height, width, where)
    if segmentation and isinstance(segmentation[0], dict):
        masks = [run_lengths_mask(part, height, width, where) for part in segmentation]
        return np.maximum.reduce(masks)
    polygons = [p for p in segmentation if len(p) >= 6 and len(p) % 2 == 0]
    if len(polygons) < len(segmentation):
        log.warning("%s: left out a polygon of fewer than three points", where)
    if not polygons:
        raise UserError(f"{where}: no polygon of three points or more. Remove the object.")
    check_polygons(polygons, height, width, where)
    return np.ascontiguousarray(coco.decode(coco.merge(coco.frPyObjects(polygons, height, width))))


def read_mat(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """ReferIt's mask, (H, W) uint8: `segimg_t` is 0 on the object and -1 elsewhere.

    size: (height, width) of its image, if known; a mask much larger is not expanded.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file. {_MAT}")
    try:
        content = path.read_bytes()
        labels = read_array(content, "segimg_t", lambda *found: _check_claim(path, found, size))
    except UserError:
        raise
    except Exception as error:  # damaged files: of zlib, struct, scipy, the file system
        raise UserError(f"{path}: no readable 'segimg_t' in it ({error}). {_MAT}") from error
    mask = labels == 0
    if not (mask | (labels == -1)).all():
        raise UserError(f"{path}: 'segimg_t' is not an image of 0 and -1. {_MAT}")
    return np.ascontiguousarray(mask, np.uint8)


def _check_claim(path: Path, found: tuple[int, int], size: tuple[int, int] | None) -> None:
    """An error for a mask file that says it has far more pixels than its image, or than any."""
    image_shape(*found, str(path), "Get the file again.")
    if size is not None and found[0] * found[1] > size[0] * size[1] + _SLACK:
        raise UserError(
            f"{path}: the mask is {found[0]}x{found[1]} (height x width), but its image is "
            f"{size[0]}x{size[1]}. They do not belong together; get both again."
        )


def read_mask_image(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """A mask image as (H, W) uint8: 1 where it is neither black nor transparent.

    size: (height, width) of the image it belongs to, if known; one much larger is not expanded.
    JPEG is refused: it has values that are not quite black along every border.
    """
    shape = image_size(path)
    _check_claim(path, shape, size)
    try:
        # from memory: PIL asks a file for as many bytes as a damaged chunk says it has
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            kind = image.format
            if image.mode in ("1", "L", "I", "F", "I;16"):
                marked = np.asarray(image) != 0
            else:
                colours = np.asarray(image.convert("RGBA"))
                marked = (colours[..., :3] != 0).any(axis=2) & (colours[..., 3] != 0)
    except Exception as error:  # PIL raises many kinds on damaged files
        raise UserError(
            f"{path}: cannot be read as an image ({error}). Get the file again."
        ) from error
    if kind == "JPEG":
        raise UserError(f"{path}: a mask must not be JPEG, which blurs borders. Save it as PNG.")
    return marked.reshape(shape).astype(np.uint8)


def _marked(record: Record, size: tuple[int, int] | None) -> np.ndarray:
    """A mask image that marks something, and hardly everything."""
    mask = read_mask_image(record.shape, size)
    if not mask.any():
        raise UserError(
            f"{record.where}: the mask image {record.shape} is all black. If nothing in the image "
            "is meant, write that instead of naming a mask."
        )
    if mask.all():
        log.warning("%s: the mask image %s marks every pixel", record.where, record.shape)
    return mask


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header of an image file; an unreadable one is an error."""
    if not path.is_file():
        raise UserError(f"{path}: no such image. Put the photos of the data set there.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # image_shape decides
            with Image.open(path) as image:
                width, height = image.size
    except Exception as error:  # PIL raises many kinds on damaged files
        raise UserError(
            f"{path}: cannot be read as an image ({error}). Get the file again."
        ) from error
    return image_shape(height, width, str(path), "Give a smaller version of it.")


def check_size(found: tuple[int, ...], size: tuple[int, int], what: str, image: Path) -> None:
    """An error if a mask or a record has another (height, width) than its image file."""
    if tuple(found) != size:
        raise UserError(
            f"{image}: the image is {size[0]}x{size[1]} (height x width), but {what} is "
            f"{found[0]}x{found[1]}. They do not belong together; get both again."
        )
