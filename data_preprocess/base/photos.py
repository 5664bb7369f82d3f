"""Photos: read as RGB, turned as their camera held them where that is asked for.

    read_photo(path)                     # (width, height) as stored, 8 bits a channel
    read_photo(path, upright=True)       # as every viewer and labelling tool shows it
    choose_upright([("a.jpg", (h, w))])  # how outlines were drawn, by the sizes that they say

The one place for this: the data set, the predictor, the page and `verify` see the same pixels.
"""

import os
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from data_preprocess.base.errors import UserError, one_line
from data_preprocess.base.files import mistaken
from data_preprocess.base.values import image_shape

ORIENTATION = 0x0112  # EXIF's tag: 1 as stored, 2 to 8 mirrored or turned
_SWAP = (5, 6, 7, 8)  # orientations that exchange height and width
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
_OF_16_BITS = ("PNG", "PPM")  # formats whose mode I holds 0 to 65535
_USED = 1 << 12  # values of 16 bits: where all are smaller, they are on another scale
_EIGHT = "Save it with 8 bits a channel."
# what Pillow raises for damaged pictures
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
Size = tuple[int, int]  # height, width


class Turned(NamedTuple):
    """A photo that its camera turned: EXIF orientation 2 to 8, and (height, width) as stored."""

    path: Path
    orientation: int
    stored: Size

    @property
    def upright(self) -> Size:
        """(height, width) as viewers show it."""
        return self.stored[::-1] if self.orientation in _SWAP else self.stored


def read_photo(path: str | Path, upright: bool = False) -> Image.Image:
    """A photo as RGB, 8 bits a channel; one that cannot be read is an error that names it.

    upright: turned as its camera held it (EXIF). COCO's outlines are drawn over the pixels as they
    are stored; over one's own photos, nearly every tool draws upright.
    """
    place = os.path.normpath(path)  # in a manifest, photos are at ../images from the prepared data
    try:
        with Image.open(path) as image:
            return as_rgb(turned_upright(image) if upright else image, place)
    except FileNotFoundError as error:
        raise UserError(
            f"{place}: no such image. Put it there, or give the "
            "folder of the photos with data.images=FOLDER."
        ) from error
    except DAMAGED as error:
        what = mistaken(Path(path)) if os.path.isfile(path) else ""
        raise UserError(
            f"{place}: not readable as an image ({what or one_line(error)}). Get the file again."
        ) from error


def as_rgb(image: Image.Image, where: str) -> Image.Image:
    """An image of any mode as RGB; of 16 bits a channel, the upper 8.

    Pillow alone cuts what is above 255 to white. What has no scale that is known is an error:
    32 bits, floating point, and 16 bits of which 12 or fewer are used.
    """
    if image.mode in _DEEP or (image.mode == "I" and image.format in _OF_16_BITS):
        values = np.asarray(image)
        if values.any() and values.max() < _USED:
            raise UserError(
                f"{where}: 16 bits a channel, but its brightest value is {values.max()} of 65535: "
                f"it would be all but black. {_EIGHT}"
            )
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        kind = "32 bits" if image.mode == "I" else "numbers with a decimal point"
        raise UserError(f"{where}: {kind} a channel, of which nobody knows the white. {_EIGHT}")
    return image.convert("RGB")


def turned_upright(image: Image.Image) -> Image.Image:
    """An image as its camera held it."""
    return ImageOps.exif_transpose(image) if orientation_of(image) != 1 else image


def orientation_of(image: Image.Image) -> int:
    """An opened image's EXIF orientation, 1 to 8; 1 where it has none that can be read.

    Of TIFF always 1: Pillow turns it while it reads.
    """
    try:
        value = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF raises many kinds; viewers pass it over
        return 1
    return value if value in range(1, 9) else 1


def image_size(path: Path, upright: bool = False) -> Size:
    """(height, width) from the header of an image file; an unreadable one is an error."""
    size, orientation = _header(path)
    return Turned(path, orientation, size).upright if upright else size


def find_turned(path: Path) -> Turned | None:
    """A photo's orientation, if it has one other than 1."""
    size, orientation = _header(path)
    return Turned(path, orientation, size) if orientation != 1 else None


def _header(path: Path) -> tuple[Size, int]:
    """(height, width) as stored, and the orientation."""
    if not path.is_file():
        raise UserError(f"{path}: no such image. Put the photos of the data set there.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # image_shape decides
            with Image.open(path) as image:
                width, height = image.size
                orientation = orientation_of(image)
    except Exception as error:  # PIL raises many kinds on damaged files
        raise UserError(
            f"{path}: cannot be read as an image ({error}). Get the file again."
        ) from error
    return image_shape(height, width, str(path), "Give a smaller version of it."), orientation


def exif_hint(path: Path, found: Size) -> str:
    """What to add to an error of another size: that EXIF explains it; "" where it does not."""
    turned = find_turned(path)
    if turned is None or tuple(found) not in (turned.stored, turned.upright):
        return ""
    frame = "as it is stored" if tuple(found) == turned.stored else "upright"
    say = str(frame == "upright").lower()
    return (
        f"The photo is turned by its camera (EXIF orientation {turned.orientation}), and the other "
        f"size is that of the photo {frame}. Say upright={say} (data sets of your own), or save "
        "the photo without EXIF orientation."
    )


def choose_upright(said: Iterable[tuple[Path, Size | None]]) -> bool | None:
    """How the outlines of a data set were drawn: True over photos as they are shown (upright),
    False over the pixels as stored, None where no photo is turned.

    said: every photo with the (height, width) that its annotations say, None where they say none.
    The photos whose two sides a turn exchanges decide for all: one tool drew them. Where none
    does (square ones, turned by 180 degrees, mirrored), or they contradict each other, an error.
    """
    found: dict[bool | None, tuple[Turned, Size | None]] = {}
    for path, size in said:
        turned = find_turned(path)
        if turned is not None and (size is None or size in (turned.stored, turned.upright)):
            decides = size is not None and turned.stored != turned.upright
            found.setdefault(size == turned.upright if decides else None, (turned, size))
    if not found:
        return None
    if True in found and False in found:
        one, other = found[True][0], found[False][0]
        raise UserError(
            f"{other.path}: its outlines are of the size of the photo as it is stored, those of "
            f"{one.path} of the photo upright (EXIF orientation {other.orientation} and "
            f"{one.orientation}). Save the photos without EXIF orientation, all in one way."
        )
    if not found.keys() - {None}:
        turned = found[None][0]
        raise UserError(
            f"{turned.path}: the photo is turned by its camera (EXIF orientation "
            f"{turned.orientation}), and its size does not tell how its outlines were drawn. Say "
            "upright=true (over the photo as viewers and labelling tools show it, the usual case) "
            "or upright=false (over the pixels as they are stored)."
        )
    return True in found
