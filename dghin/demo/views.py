"""What the demo page shows and keeps, without the page: upload → photo, prediction → pictures.

    photo = read_upload(path, Limits())          # or a UserError that says what is wrong
    mask_picture(photo, prediction.mask)         # a PIL image
    attention_figure(photo, prediction, 1)       # the figures are matplotlib's
    SeenPhotos(predictor, read, 10).at(Given(path))   # the photo, encoded; ten at most are kept

Figures and pictures are drawn from a copy of the photo at most SHOWN pixels wide and high.
"""

import base64
import html
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFilter

from data_preprocess.base.errors import UserError
from data_preprocess.base.photos import as_rgb, turned_upright
from data_preprocess.base.values import is_text
from dghin.inspection.observe import LEVELS, STAGES, Observation, Point
from dghin.inspection.predictor import Encoded, Prediction, Predictor, overlay, unknown_note
from dghin.inspection.word_effects import WordEffect, effects_table
from dghin.report.figures.curves import VERMILLION, png_of
from dghin.report.figures.graphs import visual_graph_figure, word_attention_figure

if TYPE_CHECKING:
    from data_preprocess.language.encoder import Language

SHOWN = 640  # pixels of the longer side of what the page shows; small photos are enlarged to it
CROSS = 11  # pixels of what is shown, from a cross's middle to its ends
LONGEST = 300  # characters of a phrase
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # others may start outside programs


@dataclass(frozen=True)
class Limits:
    """What an upload may have at most: millions of bytes, millions of pixels."""

    megabytes: float = 10
    megapixels: float = 25

    @property
    def bytes(self) -> int:
        return int(self.megabytes * 1e6)

    def too_many_bytes(self, name: str, size: int) -> UserError:
        """The error of a file of `size` bytes."""
        return UserError(
            f"{name}: {millions(size)} megabytes, and this page takes {self.megabytes:g} at most. "
            "Choose a smaller file, or save the photo at a lower quality."
        )

    def too_many_pixels(self, name: str, count: int, sides: str = "") -> UserError:
        """The error of a photo of `count` pixels; sides: "width × height = ", where known."""
        return UserError(
            f"{name}: {sides}{millions(count)} million pixels, and this page takes "
            f"{self.megapixels:g} million at most. Scale the photo down, or cut out a part of it."
        )


def millions(count: int) -> str:
    """A count in millions, rounded up: what is just above a limit does not read as the limit."""
    return f"{math.ceil(count / 100) / 1e4:.12g}"


def read_upload(path: str | Path, limits: Limits, name: str = "") -> Image.Image:
    """An uploaded file as an upright RGB photo; its size is looked at before it is decoded.

    name: what its visitor calls it, for errors.
    """
    path = Path(path)
    name = name or path.name
    if not path.is_file():
        raise UserError(f"{name}: given too long ago, and no longer kept here. Drop it again.")
    if (size := path.stat().st_size) > limits.bytes:
        raise limits.too_many_bytes(name, size)
    try:
        with Image.open(path, formats=FORMATS) as image:  # reads the header alone
            width, height = image.size
            if width * height > 1e6 * limits.megapixels:
                raise limits.too_many_pixels(name, width * height, f"{width} × {height} = ")
            return as_rgb(turned_upright(image), name)
    except Image.DecompressionBombError as error:
        (count, *_) = re.findall(r"\d+", str(error))  # Pillow counted them, and kept the sides
        raise limits.too_many_pixels(name, int(count)) from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's, by kind of file
        kinds = ", ".join(FORMATS[:-1])
        raise UserError(
            f"{name}: not readable as a photo. It is broken, or no photo at all. "
            f"Choose a file of the kind {kinds} or {FORMATS[-1]}."
        ) from error


@dataclass(frozen=True, eq=False)  # by identity: one for each time that a photo is given
class Given:
    """A visitor's photo before it is read: the path of an upload, or the number of an example.

    name: what the visitor calls the file.
    """

    origin: str | int
    name: str = ""


@dataclass
class SeenPhoto:
    """A photo that the network has seen, and what was asked last about it."""

    encoded: Encoded
    text: str = ""
    prediction: Prediction | None = None


class SeenPhotos:
    """What the network has seen of the photos used last; of an older one, it is seen again.

    count: the most that are kept, each with one prediction: photos are large. One that nobody can
    ask about any more (its `Given` is gone with its visitor) goes by itself.
    """

    def __init__(self, predictor: Predictor, read: Callable[[Given], Image.Image], count: int):
        self.predictor, self.read, self.count = predictor, read, count
        self.kept: WeakKeyDictionary[Given, SeenPhoto] = WeakKeyDictionary()

    def at(self, given: Given) -> SeenPhoto:
        """The photo as the network saw it, read and encoded where that is not kept."""
        look = self.kept.pop(given, None) or SeenPhoto(self.predictor.encode(self.read(given)))
        self.kept[given] = look  # as the last: the order is that of use
        while len(self.kept) > self.count:
            del self.kept[next(iter(self.kept))]
        return look

    def ask(self, given: Given, text: str) -> SeenPhoto:
        """Have a phrase's mask predicted in the photo, with all that the network looked at."""
        look = self.at(given)
        look.prediction = self.predictor.predict(look.encoded, text, inspect=True)
        look.text = text
        return look

    def asked(self, given: Given, text: str) -> SeenPhoto:
        """The same of a phrase that was asked before: kept, or found again."""
        look = self.at(given)
        return look if look.text == text else self.ask(given, text)


def shown(photo: Image.Image) -> Image.Image:
    """The photo as the page shows it: SHOWN pixels at its longer side."""
    scale = SHOWN / max(photo.size)
    size = [max(1, round(side * scale)) for side in photo.size]
    return photo.resize(size, Image.Resampling.BICUBIC)


def marked(photo: Image.Image, point: Point) -> Image.Image:
    """The photo as the page shows it, with a cross at a place, seen on any colour."""
    picture = shown(photo)
    draw = ImageDraw.Draw(picture)
    x, y = point[1] * picture.width, point[0] * picture.height
    for colour, more in (("white", 2), (VERMILLION, 0)):
        size = CROSS + more
        draw.line((x - size, y, x + size, y), colour, 3 + 2 * more)
        draw.line((x, y - size, x, y + size), colour, 3 + 2 * more)
    return picture


def mask_picture(photo: Image.Image, mask: np.ndarray) -> Image.Image:
    """The photo with the mask on it, as the page shows it; photo and mask are of one size.

    Its white border is seen where the photo itself has the mask's colour.
    """
    small = shown(photo)
    fitted = Image.fromarray(mask.astype(np.uint8)).resize(small.size, Image.Resampling.NEAREST)
    inner = np.asarray(fitted.filter(ImageFilter.MinFilter(5))) > 0
    filled = overlay(small, np.asarray(fitted) > 0)
    return overlay(filled, (np.asarray(fitted) > 0) & ~inner, (255, 255, 255))


def checked_phrase(text: str | None) -> str:
    """A phrase as it was typed; one that cannot be read is an error for who sits at the screen."""
    if not (text or "").strip():
        raise UserError("There is no phrase yet. Type what you mean, such as: the red star.")
    if len(text) > LONGEST or not is_text(text):
        raise UserError(
            f"This phrase has {len(text):,} characters, and {LONGEST} are read at most, or one "
            "that is no letter or sign. Say in a few words what you mean."
        )
    return text


def summary(text: str, prediction: Prediction) -> str:
    """What was found, in a sentence, and what of the phrase was not read or not understood."""
    note = " ".join(["", *reading_notes(prediction.language)])
    if not prediction.mask.any():
        return f"“{text}”: nothing in the photo is marked.{note}"
    return (
        f"“{text}”: {prediction.mask.mean():.1%} of the photo is marked. "
        f"Inside the mask the network is {prediction.score:.0%} sure on average.{note}"
    )


def reading_notes(language: "Language") -> list[str]:
    """What the network did not read of a phrase, and which words it does not know: sentences."""
    notes = []
    read = len(language.word_ids) - 1  # word pieces, beside [CLS]
    if rest := " ".join(language.pieces[read:]).replace(" ##", "").removeprefix("##"):
        notes.append(
            f"The phrase is too long: only its first {read} word pieces are read, and “{rest}” is "
            "not. Say it in fewer words."
        )
    if language.is_mostly_unknown:
        notes.append(f"Note: {unknown_note(language)}")
    elif language.unknown:
        words = ", ".join(f"“{word}”" for word in dict.fromkeys(language.unknown))
        notes.append(f"Note: the network does not know {words}, and reads the rest.")
    return notes


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
