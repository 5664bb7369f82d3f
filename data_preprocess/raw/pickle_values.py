"""What single opcodes of a pickle stand for: numbers and text from bytes, filled containers."""

import codecs
import re
import struct
from typing import Any

_NUMBER = re.compile(rb"[+-]?\d{1,19}")  # more digits are no 64-bit number
_INDEX = re.compile(rb"\d{1,10}")
_KEYS = (str, bytes, int, float, bool, type(None))  # many others can be made to share one hash


class NotPlain(ValueError):
    """The pickle asks for something other than plain data; the message says what."""


class Malformed(ValueError):
    """The bytes are no pickle, or a damaged one."""


def _text(part: bytes) -> str:
    return str(part, "utf-8", "surrogatepass")


def _latin(part: bytes) -> str:
    return str(part, "latin-1")


def _raw_text(line: bytes) -> str:
    return str(line, "raw-unicode-escape")


def _signed(part: bytes) -> int:
    return int.from_bytes(part, "little", signed=True)


def _unsigned(part: bytes) -> int:
    return int.from_bytes(part, "little")


def _double(part: bytes) -> float:
    return struct.unpack(">d", part)[0]


def _long(part: bytes) -> int:
    if len(part) > 8:
        raise Malformed(f"a whole number of {len(part)} bytes")
    return _signed(part)


def _long_line(line: bytes) -> int:
    line = line.removesuffix(b"L")
    if not _NUMBER.fullmatch(line):
        raise Malformed(f"{line[:30]!r} is no whole number of 64 bits")
    return int(line)


def _int_line(line: bytes) -> int:
    if line in (b"00", b"01"):  # how protocol 0 writes booleans
        return line == b"01"
    return _long_line(line)


def _float_line(line: bytes) -> float:
    try:
        return float(line[:100])
    except ValueError as error:
        raise Malformed(f"{line[:30]!r} is no number") from error


def _quoted(line: bytes) -> str:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Malformed("text without its quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")


# opcode -> a value; how many bytes follow, or in how many their number is written, and what
# makes the value of them; what makes a value of the rest of a line
CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
FIXED = {b"J": (4, _signed), b"K": (1, _unsigned), b"M": (2, _unsigned), b"G": (8, _double)}
SIZED = {
    b"\x8a": (1, _long), b"\x8b": (4, _long), b"T": (4, _latin), b"U": (1, _latin),
    b"X": (4, _text), b"\x8c": (1, _text), b"\x8d": (8, _text), b"B": (4, bytes),
    b"C": (1, bytes), b"\x8e": (8, bytes),
}  # fmt: skip
LINES = {b"I": _int_line, b"L": _long_line, b"F": _float_line, b"S": _quoted, b"V": _raw_text}


def memo_index(line: bytes) -> int:
    """The number of a memo entry, as protocol 0 writes it."""
    if not _INDEX.fullmatch(line):
        raise Malformed(f"{line[:30]!r} is no memo index")
    return int(line)


def printable(name: bytes) -> str:
    """The start of a name for an error message."""
    return repr(name[:60].decode("ascii", "backslashreplace"))[1:-1]


def fill_dict(target: dict, items: list[Any]) -> None:
    """Put keys and values, in turn, into a dictionary."""
    if len(items) % 2:
        raise Malformed("a key without a value")
    keys = items[::2]
    _check_keys(keys)
    target.update(zip(keys, items[1::2], strict=True))


def make_dict(items: list[Any]) -> dict:
    fill_dict(made := {}, items)
    return made


def fill_set(target: set, items: list[Any]) -> None:
    _check_keys(items)
    target.update(items)


def make_frozenset(items: list[Any]) -> frozenset:
    _check_keys(items)
    return frozenset(items)


def _check_keys(keys: list[Any]) -> None:
    for key in keys:
        if not isinstance(key, _KEYS):
            raise Malformed(f"a key of type {type(key).__name__}")
