"""One array of numbers from a MATLAB 5 file, also compressed ("v7"), checked before scipy reads it.

scipy.io.loadmat sets aside what a file claims, expands without a limit, and ends the process at a
kind of data that it does not know. The format:
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np

_MATRIX, _COMPRESSED = 14, 15  # kinds of elements
_HEADER = 128
# The start of a two-dimensional array whose name has 8 letters: its tag (kind, bytes), then tags
# and contents of its class, its rows and columns and its name, then the tag of its numbers.
_LAYOUT = "II IIII IIii II8s II"
_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}  # of a number, by its kind
_NUMBERS = range(6, 16)  # classes of full arrays of numbers
_COMPLEX = 0x800

Check = Callable[[int, int], None]


def read_array(content: bytes, name: str, check: Check) -> np.ndarray:
    """The two-dimensional array of this name, which has 8 letters. `check` is given its rows and
    columns before it is read, and raises an error where they cannot be right. Any other exception
    means that the file is damaged or holds no such array."""
    from scipy.io import loadmat

    order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(content[124:_HEADER])
    if order is None:
        raise ValueError("it is no MATLAB 5 file (MATLAB writes one with save -v7)")
    at = _HEADER
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        element = content[at : at + 8 + size]
        if len(element) < 8 + size:
            raise ValueError("it is cut off")
        at += 8 + size
        layout = struct.Struct(order + _LAYOUT)
        if array := _checked(element, kind == _COMPRESSED, layout, name, check):
            # Spaces for the text of the header: where it starts with a 0, scipy reads MATLAB 4.
            file = io.BytesIO(b" " * 124 + content[124:_HEADER] + array)
            return loadmat(file, variable_names=[name])[name]
    raise ValueError(f"no two-dimensional array '{name}' in it")


def _checked(
    element: bytes, compressed: bool, layout: struct.Struct, name: str, check: Check
) -> bytes | None:
    """The bytes of an array, uncompressed; None where it is not that of this name."""
    stream = zlib.decompressobj()
    start = stream.decompress(element[8:], layout.size) if compressed else element[: layout.size]
    if len(start) < layout.size:
        return None
    found = layout.unpack(start)
    tags = found[0], *found[2:4], *found[6:8], *found[10:12]
    if tags != (_MATRIX, 6, 8, 5, 8, 1, 8) or found[12] != name.encode():
        return None
    flags, rows, columns, kind, size = found[4], *found[8:10], *found[13:]
    if flags & 0xFF not in _NUMBERS or flags & _COMPLEX or kind not in _BYTES:
        raise ValueError(f"'{name}' is not an array of numbers")
    check(rows, columns)
    if rows * columns * _BYTES[kind] != size:
        raise ValueError(f"'{name}' has {size} bytes for {rows}x{columns} numbers")
    if compressed:
        element = start + stream.decompress(stream.unconsumed_tail, size + 8)  # 8: the padding
        if not stream.eof:
            raise ValueError("its compressed data does not end where the array does")
    if len(element) < layout.size + size:
        raise ValueError("it is cut off")
    return element
