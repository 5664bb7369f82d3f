"""A folder of PNGs, one an answer: 0 for background, 255 (or 1) for the referent.

    12_0.png                                       <ref_id>_<k>: k counts an object's sentences
    4711.png                                       <sent_id>, or <segment_id> with one sentence
    12-iou=87.31-the_man_in_red.png                as CRIS writes them
    val/12_0.png                                   of several splits: a subfolder each

CRIS's names: `inference` in engine/engine.py of DerrickWang005/CRIS.pytorch writes
"{seg_id}-iou={:.2f}-{words}.png", where seg_id is REFER's ref_id and the words have underscores
for spaces; beside them are the photo ("12-img.jpg") and the true mask ("12-mask.png"), which are
passed over.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from data_preprocess.base.errors import UserError

from .names import Asked
from .predictions import image_header

_CRIS = re.compile(r"(?P<ref>.+?)-iou=(?:[\d.]+|nan)-(?P<words>.*)", re.DOTALL)
_AGAIN = "Save the masks again as PNG, one channel, 0 and 255."


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An answer in a PNG of its own."""

    file: Path
    shape: tuple[int, int]
    form: str = "mask"
    no_target: bool | None = None

    @property
    def where(self) -> str:
        return str(self.file)

    def load(self) -> np.ndarray:
        """(H, W) as in the file, one channel."""
        try:
            with Image.open(self.file) as image:
                if image.mode == "P":
                    return self._of_palette(np.asarray(image.convert("RGB")))
                if image.mode in ("LA", "RGB", "RGBA"):
                    values = np.asarray(image)
                    values = values[..., : 1 if image.mode == "LA" else 3]
                else:
                    values = np.asarray(image)[..., None]
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            raise UserError(f"{self.file}: not readable as an image ({error}). {_AGAIN}") from error
        if (values != values[..., :1]).any():
            raise UserError(f"{self.file}: it has colours, but a mask has none. {_AGAIN}")
        return values[..., 0]

    def _of_palette(self, colours: np.ndarray) -> np.ndarray:
        """(H, W, 3) of a palette's colours as a mask: black is background, one colour the rest."""
        found = np.unique(colours.reshape(-1, 3), axis=0)
        if len(found) > 2 or (len(found) == 2 and found[0].any()):
            raise UserError(
                f"{self.file}: its palette shows {len(found)} colours; a mask has black for the "
                f"background and one colour for the referent. {_AGAIN}"
            )
        return np.asarray(colours.any(axis=2))


def find_images(folder: Path) -> list[Path]:
    """The PNGs below a folder, in the order of their names, without CRIS's true masks."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() == ".png"]
    found = [p for p in found if not any(part[0] == "." for part in p.relative_to(folder).parts)]
    if any(_CRIS.fullmatch(path.stem) for path in found):
        found = [path for path in found if not path.stem.endswith("-mask")]
    return sorted(path for path in found if path.is_file())


def read_images(files: list[Path], folder: Path, split: str) -> list[tuple[Asked, StoredImage]]:
    """Every PNG: what its name says about its expression, and what is needed to read it."""
    found = []
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        asked = Asked(name=name, split=split)
        if (match := _CRIS.fullmatch(name)) is not None:
            words = match["words"].replace("_", " ")
            asked = Asked(ref=match["ref"], sentence=words, split=split)
        found.append((asked, StoredImage(path, image_header(path, _AGAIN))))
    return found
