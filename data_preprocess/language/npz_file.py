"""Arrays from an .npz file, with all that it claims of sizes checked before memory is set aside.

numpy.load believes the header of an array: one that claims a billion numbers gets their memory.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_ALWAYS = 1 << 28  # bytes that arrays may take together, however small the file is
_EXPANSION = 300  # beyond that: bytes for a byte of the file (real features: below 100)
_HEADER = 10_000  # bytes of an array's header, at most
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # numpy's; others can take more memory


def read_npz(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of these names. Any exception means that the file is damaged or no .npz file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.getinfo(f"{name}.npy") for name in names}
        size = sum(member.file_size for member in members.values())
        if size > max(_ALWAYS, _EXPANSION * path.stat().st_size):
            raise ValueError(f"its arrays claim {size:,} bytes")
        return {name: _read(archive, member) for name, member in members.items()}


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type not in _COMPRESSIONS:
        raise ValueError(f"{member.filename} is compressed in an unknown way")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0}[version]  # fmt: skip
        shape, by_columns, dtype = read(file, max_header_size=_HEADER)
        count = 1
        for side in shape:
            count *= side
        if dtype.hasobject or min(shape, default=1) < 0:
            raise ValueError(f"{member.filename} is not an array of numbers or text")
        content = file.read(member.file_size)
    if len(content) != count * dtype.itemsize:
        raise ValueError(f"{member.filename} has {len(content)} bytes for {shape} of {dtype}")
    array = np.frombuffer(bytearray(content), dtype, count)  # a copy that can be written to
    return array.reshape(shape, order="F" if by_columns else "C")
