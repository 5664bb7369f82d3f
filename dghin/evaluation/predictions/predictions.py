"""The saved answers about one split: checked as a whole, and read one by one when asked for.

    found = Predictions(split, "val", stored, "predictions.jsonl")
    found.form, found.size, found.missing
    found.answer(17)                               # an Answer, Counts, or None: there is none

What a file holds is one Stored an answer: small, and read from the file by `load`.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from data_preprocess.base.values import image_shape
from dghin.data.split import PreparedSplit
from dghin.evaluation.answers import AT_ANY_SIZE, OF_FORM, Answer, Counts, as_answer

SHOWN = 3  # names in a message
Size = tuple[int, int]


class Stored(Protocol):
    """An answer as a file holds it."""

    @property
    def file(self) -> Path:
        """The file that holds it."""

    @property
    def where(self) -> str:
        """Its place, for messages."""

    @property
    def form(self) -> str:
        """mask, probability, logits or counts."""

    @property
    def shape(self) -> Size | None:
        """Height and width, known before it is read; None: nothing is drawn."""

    @property
    def no_target(self) -> bool | None:
        """What the model itself says of it; None: nothing."""

    def load(self) -> Any:
        """Its array, or Counts; None where nothing is drawn."""


class Predictions:
    """The saved answers about one split. It can be pickled: what it has opened stays here.

    missing: the positions of the needed expressions without an answer. path: where they are,
    sha256: the digest of the files there. form: mask (at the photo's size),
    small (masks at the network's size), probability, logits or counts. size: S, where all answers
    are S × S and not at the size of their photos; else None.
    """

    def __init__(
        self,
        split: PreparedSplit,
        name: str,
        stored: Mapping[int, Stored],
        where: str,
        needed: Sequence[int] | None = None,
        sha256: str = "",
        shown: Mapping[str, str] = {},
    ):
        self._stored, self.path, self.sha256 = dict(stored), Path(where), sha256
        self._photos = photo_sizes(split, shown)
        needed = range(len(split)) if needed is None else needed
        self.missing = [index for index in needed if index not in self._stored]
        names = [f"{e.segment_id}_{e.sentence_index} '{e.sentence}'" for e in split.expressions]
        self.form = _one_form(self._stored, f"{where}, {name}")
        self.size = self._square(names, f"{where}, {name}")
        if self.form == "mask" and self.size is not None:
            self.form = "small"

    def __len__(self) -> int:
        return len(self._photos)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that can be computed from every answer."""
        if self.form == "counts":
            return ("resized",)
        if self.form == "probability" and self.size is None:
            return AT_ANY_SIZE
        return OF_FORM[self.form]

    def answer(self, index: int) -> Answer | Counts | None:
        """The answer about an expression, read from its file now; None where there is none."""
        stored = self._stored.get(index)
        if stored is None:
            return None
        found = stored.load()
        if isinstance(found, Counts):
            return found
        height, width = (int(side) for side in self._photos[index])
        if found is None:  # nothing is drawn: an empty answer in the form of the others
            found = self._empty(height, width)
        return as_answer(Answer(found, self.form, stored.no_target), (height, width), stored.where)

    def nothing(self, index: int) -> Answer:
        """An empty answer in the form of the others, for an expression without one."""
        if self.form == "counts":
            raise UserError(
                f"{self.path}: holds scores only, so that a missing answer cannot be counted as "
                "empty: how large the object is at their size is not known. Let the model answer."
            )
        height, width = (int(side) for side in self._photos[index])
        return Answer(self._empty(height, width), self.form)

    def _empty(self, height: int, width: int) -> np.ndarray:
        if self.size is not None:
            height = width = self.size
        if self.form == "logits":
            background = np.ones((1, height, width), np.float32)
            return np.concatenate([background, -background])
        kind = np.float32 if self.form == "probability" else bool
        return np.zeros((height, width), kind)

    def _square(self, names: Sequence[str], where: str) -> int | None:
        """S of square answers; None where each has its photo's size; all others are an error."""
        shapes = {i: s.shape for i, s in self._stored.items() if s.shape is not None}
        own = {i for i, shape in shapes.items() if shape == tuple(self._photos[i].tolist())}
        squares = Counter(shape for shape in shapes.values() if shape[0] == shape[1])
        square, count = squares.most_common(1)[0] if squares else ((0, 0), 0)
        at_own_size = len(own) >= count and self.form != "logits"
        good = own if at_own_size else {i for i, shape in shapes.items() if shape == square}
        wrong = [i for i in sorted(shapes) if i not in good]
        if wrong:
            text = [
                f"{names[i]}: {_text(shapes[i])} of a photo of {_text(self._photos[i])}"
                for i in wrong[:SHOWN]
            ]
            turned = all(shapes[i] == tuple(self._photos[i][::-1].tolist()) for i in wrong)
            remedy = "all at the photo's size, or all at the network's size S × S"
            raise UserError(
                f"{where}: {len(wrong)} of {len(shapes)} answers have another size than their "
                f"photos, or than the others (height × width): {listed(text, len(wrong))}. Save "
                f"masks {'with size [height, width], not [width, height]' if turned else remedy}."
            )
        return square[0] if shapes and not at_own_size else None


def _one_form(stored: Mapping[int, Stored], where: str) -> str:
    """The form of all answers; of several, none."""
    forms = Counter(s.form for s in stored.values() if s.shape is not None or s.form == "counts")
    if len(forms) > 1:
        found = ", ".join(f"{count} of the form {form}" for form, count in forms.most_common())
        raise UserError(f"{where}: {found}. Save all answers of a split in one form.")
    return next(iter(forms), "mask")


def photo_sizes(split: PreparedSplit, shown: Mapping[str, str] = {}) -> np.ndarray:
    """(N, 2) height and width of the photo that every expression is asked about.

    shown: photo → the one in its place (the control `other-image`).
    """
    names = [shown.get(expression.image, expression.image) for expression in split.expressions]
    return np.array([split.photo_size(name) for name in names], np.int32).reshape(-1, 2)


def image_header(path: Path, remedy: str) -> Size:
    """(height, width) of an image file, which is not decoded."""
    try:
        with Image.open(path) as image:
            height, width = image.height, image.width
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not readable as an image ({error}). {remedy}") from error
    return image_shape(height, width, str(path), remedy)


def digest(files: Collection[Path], root: Path) -> str:
    """SHA-256 of one file; of several, that of their digests and names in the names' order."""
    if len(files) == 1:
        return sha256_file(next(iter(files)))
    folder = root if root.is_dir() else root.parent
    named = sorted((path.relative_to(folder).as_posix(), path) for path in files)
    lines = [f"{sha256_file(path)}  {name}\n" for name, path in named]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def listed(names: Sequence[str], count: int) -> str:
    """The first names, and a sign where there are more."""
    return ", ".join(names[:SHOWN]) + (", ..." if count > SHOWN else "")


def _text(shape: Any) -> str:
    return f"{shape[0]} × {shape[1]}"
