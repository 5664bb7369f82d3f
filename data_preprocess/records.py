"""What both readers return: one record an object, whatever the raw layout."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .common import UserError


@dataclass(frozen=True)
class Sentence:
    """One referring expression. `kind` is empty unless the raw data names one."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Record:
    """One object and its expressions.

    `shape` is what its mask is drawn from: a COCO segmentation (list of polygons, or a mapping
    with RLE) or the path of a .mat file. `size` is (height, width) as the annotations give it,
    None where they do not. `where` names the record in error messages.
    """

    segment_id: str
    image: str
    size: tuple[int, int] | None
    sentences: tuple[Sentence, ...]
    shape: Any
    where: str
    category: str = ""
    bbox: tuple[float, ...] = ()


@dataclass(frozen=True)
class Raw:
    """A raw data set in memory: records by split, and the files they came from."""

    splits: dict[str, list[Record]]
    images: Path
    sources: tuple[Path, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)  # split -> objects left out


def clean_sentence(text: Any, where: str) -> str:
    """The expression without outer blanks; an empty one, or no text at all, is an error."""
    if not isinstance(text, str) or not text.strip():
        raise UserError(
            f"{where}: the expression is empty ({text!r}). Remove it from the file or give it "
            "words: an expression without words has no referent."
        )
    return text.strip()
