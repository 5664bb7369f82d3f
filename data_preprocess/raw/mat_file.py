"""One array of numbers from a MATLAB 5 file, also compressed ("v7"): all that it claims of sizes is
checked before memory is set aside for it.

scipy.io.loadmat makes whatever a file holds, such as objects, and expands without a limit. The
format: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

_MATRIX, _COMPRESSED = 14, 15  # kinds of elements
_HEADER = 128
_START = 1024  # bytes that hold the description of an array: its class, size and name
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
          13: "u8"}  # fmt: skip
_NUMBERS = range(6, 16)  # classes of full arrays of numbers
_COMPLEX = 0x08
Order = Literal["<", ">"]
Expand = Callable[[int, bool], bytes]  # (how many bytes, whether that is all)


class BadMat(ValueError):
    """The file is damaged, or does not hold the array that is looked for."""


@dataclass(frozen=True)
class _Array:
    """The description of an array; its data is at [start, start + size) of the element."""

    name: str
    numeric: bool
    shape: tuple[int, ...]
    dtype: np.dtype | None
    start: int
    size: int


def read_array(content: bytes, name: str, check: Callable[[int, int], None]) -> np.ndarray:
    """The two-dimensional array of this name. `check` is given its rows and columns before the
    array is read, and raises an error where they cannot be right."""
    order = _byte_order(content)
    for expand in _matrices(content, order):
        described = _describe(expand(_START, False), order)
        if described.name == name:
            return _values(described, expand, check)
    raise BadMat(f"no array '{name}' in it")


def _byte_order(content: bytes) -> Order:
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    version = content[125:126] if order == "<" else content[124:125]
    if order is None or version != b"\x01":
        raise BadMat("it is no MATLAB 5 file (MATLAB writes one with save -v7)")
    return order


def _matrices(content: bytes, order: Order) -> Iterator[Expand]:
    """For every array a function that gives its first bytes, without its tag (8 bytes)."""
    view, at = memoryview(content), _HEADER
    while at + 8 <= len(content):
        kind, size = np.frombuffer(view[at : at + 8], f"{order}u4").tolist()
        part = view[at + 8 : at + 8 + size]
        if len(part) < size:
            raise BadMat("it is cut off")
        at += 8 + size
        if kind == _MATRIX:
            yield lambda count, whole, part=part: bytes(part[:count])
        elif kind == _COMPRESSED:
            yield lambda count, whole, part=part: _expand(part, count, whole)


def _expand(part: memoryview, count: int, whole: bool) -> bytes:
    """So many bytes of a compressed array; as the `whole` of it, its checksum must be right."""
    stream = zlib.decompressobj()
    content = stream.decompress(part, 8 + count + 8)  # its tag before, padding behind
    if whole and not stream.eof:
        raise BadMat("its compressed data does not end where the array does")
    return content[8:]


def _describe(start: bytes, order: Order) -> _Array:
    """The description at the start of an array: class, size, name, and the tag of its data."""
    _, flags, at = _element(start, 0, order)
    _, sizes, at = _element(start, at, order)
    _, name, at = _element(start, at, order)
    if len(flags) != 8 or len(sizes) % 4:
        raise BadMat("the description of an array is damaged")
    word = int(np.frombuffer(flags, f"{order}u4")[0])
    kind, size, data_at, _ = _tag(start, at, order)
    return _Array(
        name=name.decode("latin-1"),
        numeric=word & 0xFF in _NUMBERS and not word >> 8 & _COMPLEX,
        shape=tuple(np.frombuffer(sizes, f"{order}i4").tolist()),
        dtype=np.dtype(f"{order}{_TYPES[kind]}") if kind in _TYPES else None,
        start=data_at,
        size=size,
    )


def _element(start: bytes, at: int, order: Order) -> tuple[int, bytes, int]:
    """(kind, content, where the next begins) of a part of the description."""
    kind, size, at, following = _tag(start, at, order)
    if at + size > len(start):
        raise BadMat("the description of an array is damaged")
    return kind, start[at : at + size], following


def _tag(start: bytes, at: int, order: Order) -> tuple[int, int, int, int]:
    """(kind, size, where the content begins, where the next begins) of a part."""
    if at + 8 > len(start):
        raise BadMat("the description of an array is damaged")
    kind, size = np.frombuffer(start[at : at + 8], f"{order}u4").tolist()
    if kind >> 16:  # a small one: its size in the upper half, its content in the tag
        return kind & 0xFFFF, min(kind >> 16, 4), at + 4, at + 8
    return kind, size, at + 8, at + 8 + size + -size % 8


def _values(array: _Array, expand: Expand, check: Callable[[int, int], None]) -> np.ndarray:
    if not array.numeric or array.dtype is None or len(array.shape) != 2 or min(array.shape) < 1:
        raise BadMat(f"'{array.name}' is not a two-dimensional array of numbers")
    rows, columns = array.shape
    check(rows, columns)
    if rows * columns * array.dtype.itemsize != array.size:
        raise BadMat(f"'{array.name}' has {array.size} bytes for {rows}x{columns} numbers")
    content = expand(array.start + array.size, True)[array.start : array.start + array.size]
    if len(content) < array.size:
        raise BadMat("it is cut off")
    return np.frombuffer(content, array.dtype).reshape(array.shape, order="F")
