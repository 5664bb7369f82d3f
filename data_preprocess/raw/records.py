"""What both readers return: one record an object, whatever the raw layout."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.values import is_text, shown

LONGEST_SENTENCE = 10_000  # characters; a parser given more takes minutes

KINDS = ("attribute", "place", "relation", "ordinal", "superlative")  # of expressions


@dataclass(frozen=True)
class Sentence:
    """One referring expression. `kind` is empty unless the raw data names one.

    sent_id: REFER's number of it, None where the raw data gives none.
    """

    text: str
    kind: str = ""
    sent_id: int | str | None = None


@dataclass(frozen=True)
class Shapes:
    """The shapes of several objects that are one referent: its mask is their union. None: empty."""

    parts: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Record:
    """One referent and its expressions.

    `shape` is what its mask is drawn from: a COCO segmentation (list of polygons, or a mapping
    with RLE), the path of a .mat file or of a mask image, or Shapes. `size` is (height, width) as
    the annotations give it, None where they do not. `where` names the record in error messages.
    """

    segment_id: str
    image: str
    size: tuple[int, int] | None
    sentences: tuple[Sentence, ...]
    shape: Any
    where: str
    category: str = ""
    bbox: tuple[float, ...] = ()
    targets: int = 1  # objects that are meant; 0: the expressions name nothing in the image
    distractors: int | None = None  # others of the same class in the image; None: unknown
    ids: Mapping[str, Any] = field(default_factory=dict)  # ann_id, image_id of the raw data


@dataclass(frozen=True)
class Raw:
    """A raw data set in memory: records by split, and the files they came from.

    form: one of raw/forms, empty for the data set's own. packed: sources with the photos inside,
    which are to be written to `images`. looked_in: folders in which photos were looked for.
    """

    splits: dict[str, list[Record]]
    images: Path
    sources: tuple[Path, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)  # split -> objects left out
    form: str = ""
    packed: tuple[Path, ...] = ()
    looked_in: tuple[Path, ...] = ()


def clean_sentence(text: Any, where: str) -> str:
    """The expression without outer blanks; an empty one, or no text at all, is an error."""
    if not isinstance(text, str) or not text.strip():
        raise UserError(
            f"{where}: the expression is empty ({shown(text)}). Remove it from the file or give it "
            "words: an expression without words has no referent."
        )
    if len(text) > LONGEST_SENTENCE or not is_text(text):
        raise UserError(
            f"{where}: the expression {shown(text)} has {len(text):,} characters (at most "
            f"{LONGEST_SENTENCE:,}) or one that UTF-8 cannot write. Correct or remove it."
        )
    return text.strip()
