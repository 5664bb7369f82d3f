"""What the demo page shows, without the page: upload → photo, prediction → pictures, table, words.

    photo = read_upload(path, Limits())          # or a UserError that says what is wrong
    mask_picture(photo, prediction.mask)         # a PIL image
    attention_figure(photo, prediction, 1)       # the figures are matplotlib's

Figures and pictures are drawn from a copy of the photo at most SHOWN pixels wide and high.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageFilter, ImageOps

from data_preprocess.common import UserError

from .effects import WordEffect, effects_table
from .figures import png_of
from .figures_graphs import visual_graph_figure, word_attention_figure
from .inspect import LEVELS, STAGES, Observation, Point
from .predict import Encoded, Prediction, Predictor, overlay

SHOWN = 640  # pixels of the longer side of what the page shows; small photos are enlarged to it
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # others may start outside programs


@dataclass(frozen=True)
class Limits:
    """What an upload may have at most: millions of bytes, millions of pixels."""

    megabytes: float = 10
    megapixels: float = 25

    @property
    def bytes(self) -> int:
        return int(self.megabytes * 1e6)

    def too_many_bytes(self, name: str = "the file") -> UserError:
        return UserError(
            f"{name}: larger than {self.megabytes:g} megabytes, the most that this page takes. "
            "Choose a smaller file, or save the photo at a lower quality."
        )

    def too_many_pixels(self, name: str, found: str) -> UserError:
        return UserError(
            f"{name}: {found}, and this page takes {self.megapixels:g} million at most. "
            "Make the photo smaller."
        )


def read_upload(path: str | Path, limits: Limits) -> Image.Image:
    """An uploaded file as an upright RGB photo; its size is looked at before it is decoded."""
    path = Path(path)
    name = path.name
    if path.stat().st_size > limits.bytes:
        raise limits.too_many_bytes(name)
    try:
        with Image.open(path, formats=FORMATS) as image:  # reads the header alone
            width, height = image.size
            if width * height > 1e6 * limits.megapixels:
                raise limits.too_many_pixels(name, f"{width} × {height} pixels")
            return ImageOps.exif_transpose(image).convert("RGB")
    except Image.DecompressionBombError as error:
        raise limits.too_many_pixels(name, "far too many pixels") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's, by kind of file
        kinds = ", ".join(FORMATS[:-1])
        raise UserError(
            f"{name}: not readable as a photo. It is broken, or no photo at all. "
            f"Choose a file of the kind {kinds} or {FORMATS[-1]}."
        ) from error


def shown(photo: Image.Image) -> Image.Image:
    """The photo as the page shows it: SHOWN pixels at its longer side."""
    scale = SHOWN / max(photo.size)
    size = [max(1, round(side * scale)) for side in photo.size]
    return photo.resize(size, Image.Resampling.BICUBIC)


def mask_picture(photo: Image.Image, mask: np.ndarray) -> Image.Image:
    """The photo with the mask on it, as the page shows it; photo and mask are of one size.

    Its white border is seen where the photo itself has the mask's colour.
    """
    small = shown(photo)
    fitted = Image.fromarray(mask.astype(np.uint8)).resize(small.size, Image.Resampling.NEAREST)
    inner = np.asarray(fitted.filter(ImageFilter.MinFilter(5))) > 0
    filled = overlay(small, np.asarray(fitted) > 0)
    return overlay(filled, (np.asarray(fitted) > 0) & ~inner, (255, 255, 255))


def summary(text: str, prediction: Prediction) -> str:
    """What was found, in a sentence."""
    if not prediction.mask.any():
        return f"“{text}”: nothing in the photo is marked."
    return (
        f"“{text}”: {prediction.mask.mean():.1%} of the photo is marked. "
        f"Inside the mask the network is {prediction.score:.0%} sure on average."
    )


def attention_figure(
    photo: Image.Image, prediction: Prediction, level: int, graph: bool = False
) -> Figure:
    """Every word's share in every patch. The padding takes part, too; it is added up."""
    labels, shares = prediction.seen.labelled_shares(level, prediction.language.pieces, graph)
    stage = next(name for name, after in STAGES.items() if after == graph)
    title = f"Share of each word in each patch, percent: level {level}, {stage}"
    return word_attention_figure(np.asarray(shown(photo)), labels, shares, title)


def patch_figure(predictor: Predictor, encoded: Encoded, point: Point) -> Figure:
    """Which patches the one at a place draws from, at every level; no word is needed."""
    seen = Observation(predictor.model).of(0, encoded.image)
    rows = {level: seen.rows_at(level, [point]) for level in LEVELS}
    return visual_graph_figure(np.asarray(shown(encoded.photo)), [point], rows)


def effects_html(effects: Sequence[WordEffect]) -> str:
    """The table of what each word does to the mask, its text escaped."""
    if not effects:
        return "<p>An expression of one word: without it, nothing would be left to read.</p>"
    table = effects_table(effects)
    if (whole := effects[0].whole).mask.any():
        note = f"With every word, the score is {100 * whole.score:.1f}."
    else:
        note = "With every word, nothing is marked: there is nothing to compare with."
    table = table.drop(columns="Score, whole").rename(columns={"Word": "Without the word"})
    table = table.rename(columns={"Without it": "the network reads"})
    body = table.to_html(index=False, border=0, float_format="{:.1f}".format, na_rep="—")
    return f'<div class="scrolled">{body}</div><p>All in percent. {note}</p>'


def figure_html(figure: Figure, description: str) -> str:
    """A figure as an HTML image; a phone scrolls it sideways, where it would be too small to read.

    description: for those who cannot see it.
    """
    data = base64.b64encode(png_of(figure)).decode()
    width = round(96 * figure.get_figwidth())  # CSS has 96 pixels to the inch
    return (
        f'<div class="scrolled"><img alt="{html.escape(description)}" '
        f'style="width: {width}px" src="data:image/png;base64,{data}"></div>'
    )


def text_html(text: str) -> str:
    """A paragraph of plain text, escaped: phrases come from outside."""
    return f"<p>{html.escape(text)}</p>"


def hint_html(text: str) -> str:
    """What stands where a figure will be."""
    return f'<p class="hint">{html.escape(text)}</p>'


def error_html(text: str) -> str:
    """An error in words, escaped: file names come from outside."""
    return f'<div role="alert" class="error">{html.escape(text)}</div>'
