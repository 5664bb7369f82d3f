"""Masks: COCO polygons and run lengths, ReferIt's .mat files, mask images; the size of an image."""

import io
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.photos import exif_hint, image_size, orientation_of
from data_preprocess.base.values import image_shape

from .mat_file import read_array
from .records import Record, Shapes
from .segmentation import check_form, check_polygons, run_lengths_mask, usable_polygons

log = logging.getLogger(__name__)

_MAT = "Get images/referit/mask of the ReferIt release again."
_LOSSLESS = ("PNG", "BMP", "DIB", "GIF", "PPM", "TGA", "PCX", "SGI", "SUN", "XBM", "QOI")
_LOSSLESS_TIFF = (
    "raw", "group3", "group4", "tiff_ccitt", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate",
    "packbits", "lzma", "zstd",
)  # fmt: skip
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
_LABELS = 16  # values of a mask in flat colours: more are tones
_NUMBERS = 64  # values below are numbers of objects, which may follow each other
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
    polygons = usable_polygons(segmentation, where)
    if len(polygons) < len(segmentation):
        log.warning("%s: left out a polygon of fewer than three points", where)
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
    Formats that lose pixels are refused, and so are soft values, which such a format, an eraser or
    a change of size leave: they are not quite black along every border.
    """
    shape = image_size(path)
    _check_claim(path, shape, size)
    try:
        # from memory: PIL asks a file for as many bytes as a damaged chunk says it has
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            kind, turned = lossy_format(image, content), orientation_of(image)
            plain = image.mode in ("1", "L", "I", "F", *_DEEP)
            values = np.asarray(image if plain else image.convert("RGBA")).reshape(*shape, -1)
    except Exception as error:  # PIL raises many kinds on damaged files
        raise UserError(
            f"{path}: cannot be read as an image ({error}). Get the file again."
        ) from error
    if kind:
        raise UserError(
            f"{path}: a mask must not be {kind}, which blurs borders. Save it as PNG from where it "
            "was drawn, not from this file."
        )
    if turned != 1:
        raise UserError(
            f"{path}: the mask has an EXIF orientation ({turned}), so that viewers show it turned. "
            "Save it without."
        )
    if values.shape[2] == 4:  # what is transparent is background, whatever its colour
        values = values * (values[..., 3:] != 0)
        marked = (values[..., :3] != 0).any(axis=2)
    else:
        marked = values[..., 0] != 0
    _check_tones(path, values)
    return marked.astype(np.uint8)


def lossy_format(image: Image.Image, content: bytes) -> str:
    """The name of an opened image's format, if it may have changed pixels; "" if it cannot have."""
    kind = image.format or "of an unknown format"
    if kind == "TIFF":
        inside = image.info.get("compression")
        return "" if inside in _LOSSLESS_TIFF else f"TIFF with {inside} inside"
    if kind == "WEBP":  # its pixels are in a chunk VP8L, or, with losses, VP8
        return "" if _webp_chunks(content) & {b"VP8L", b"VP8 "} == {b"VP8L"} else "lossy WebP"
    return "" if kind in _LOSSLESS else kind


def _webp_chunks(content: bytes) -> set[bytes]:
    """The names of the chunks of a WebP file: RIFF, a name and a length each."""
    found, place = set(), 12
    while place + 8 <= len(content):
        found.add(content[place : place + 4])
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
    return found


def _check_tones(path: Path, values: np.ndarray) -> None:
    """An error for a mask (H, W, C) of soft tones: with more than two values, of which some are
    all but the same, or more than a few. Labels of several objects, or numbers, are no tones."""
    flat = values.reshape(-1, values.shape[2])
    found = np.unique(np.ascontiguousarray(flat).view(f"V{flat.itemsize * flat.shape[1]}"))
    count = len(found)
    if count <= 2:
        return
    if count <= _LABELS:
        each = found.view(flat.dtype).reshape(count, -1).astype(np.float64)
        top = each[:, :3].max()
        apart = np.abs(each[:, None] - each[None]).max(axis=2)[np.triu_indices(count, 1)].min()
        if top < _NUMBERS or apart > top / 16:
            return
    raise UserError(
        f"{path}: the mask has {count} values, soft at its borders, as an image has that was once "
        "saved as JPEG, drawn with smooth edges or changed in size; not all that is not black is "
        "meant. Save it in black and white, such as white where it is brighter than half."
    )


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


def said_sizes(records: Iterable[Record], images: Path) -> dict[Path, tuple[int, int] | None]:
    """Every photo with the (height, width) that its annotations or mask images say; None where
    they say none."""
    said: dict[Path, tuple[int, int] | None] = {}
    for record in records:
        path, size = images / record.image, record.size
        if size is None and isinstance(record.shape, Path) and record.shape.suffix != ".mat":
            size = image_size(record.shape)
        said[path] = said.get(path) or size
    return said


def check_size(found: tuple[int, ...], size: tuple[int, int], what: str, image: Path) -> None:
    """An error if a mask or a record has another (height, width) than its image file."""
    if tuple(found) != size:
        explained = exif_hint(image, tuple(found)) if image.is_file() else ""
        raise UserError(
            f"{image}: the image is {size[0]}x{size[1]} (height x width), but {what} is "
            f"{found[0]}x{found[1]}. "
            f"{explained or 'They do not belong together; get both again.'}"
        )
