"""Checks of single values from files that anyone may have written: numbers, text, boxes."""

import math
import reprlib
from typing import Any

from data_preprocess.base.errors import UserError

MAX_PIXELS = 100_000_000  # of an image or mask: more than photos have, and 100 MB as a mask
LARGEST = 1 << 60  # whole numbers beyond may share their hash with many others

_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxstring, _repr.maxother, _repr.maxlong = 2, 60, 60, 40


def shown(value: Any) -> str:
    """A value as text for an error message: short and printable, whatever it is."""
    try:
        text = _repr.repr(value)
    except Exception:  # such as a whole number of too many digits to be printed
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."


def is_number(value: Any, limit: float = 1e15) -> bool:
    """Whether it is a finite number (no boolean) and not beyond the limit."""
    return type(value) in (int, float) and -limit <= value <= limit


def whole(value: Any, low: int = -LARGEST, high: int = LARGEST) -> int | None:
    """The value as int if it is a whole number (7 or 7.0, not True) within limits, else None."""
    if not is_number(value, LARGEST) or value != math.floor(value) or not low <= value <= high:
        return None
    return int(value)


def is_text(value: Any) -> bool:
    """Whether it is text that can be written as UTF-8 (half a surrogate pair cannot)."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def image_shape(height: Any, width: Any, where: str, remedy: str) -> tuple[int, int]:
    """(height, width) as whole numbers of an image that can exist; anything else is an error."""
    rows, columns = whole(height, 1, MAX_PIXELS), whole(width, 1, MAX_PIXELS)
    if rows is None or columns is None or rows * columns > MAX_PIXELS:
        raise UserError(
            f"{where}: height {shown(height)} and width {shown(width)} are not those of an image "
            f"(whole numbers, {MAX_PIXELS:,} pixels at most). {remedy}"
        )
    return rows, columns


def four_numbers(value: Any, where: str, remedy: str) -> tuple[float, ...]:
    """A box as a tuple, empty where there is none (None or an empty list)."""
    if value is None or value == []:
        return ()
    if not isinstance(value, list | tuple) or len(value) != 4 or not all(map(is_number, value)):
        raise UserError(f"{where}: the box {shown(value)} is not four numbers. {remedy}")
    return tuple(value)


def short_text(value: Any, where: str, what: str, remedy: str) -> str:
    """A text such as a category's name, empty where there is none (None)."""
    if value is None:
        return ""
    if not is_text(value) or len(value) > 1000:
        raise UserError(f"{where}: the {what} {shown(value)} is no short text. {remedy}")
    return value
