"""Answers in an .npz file, as numpy.savez writes it; arrays are read when they are asked for.

    np.savez("predictions.npz", **{"12_0": mask, "12_1": mask})       # named <ref_id>_<k>
    np.savez("predictions.npz", **{"4711": logits})                   # named by sent_id
    np.savez("predictions.npz", ids=ids, masks=masks)                 # stacked, (N, S, S)

An array is a mask (H, W), probabilities (H, W) with a decimal point, or logits (2, S, S); all of a
file are the same. Stacked ones are called masks, probabilities or logits, with `ids`: N names, text
or numbers. What savez wrote is read row by row; what savez_compressed wrote is read as a whole.
Pickled objects are refused: reading them can run a program.
"""

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.values import MAX_PIXELS

from .names import Asked

_STACKS = {"masks": "mask", "probabilities": "probability", "logits": "logits"}
_AT_ONCE = 1 << 29  # bytes of a compressed stack, which has to be read as a whole
_FORMS = "Give masks (H, W), probabilities (H, W) with a decimal point, or logits (2, S, S)."
_AGAIN = "Write it again with numpy.savez."


@dataclass(frozen=True)
class Header:
    """What an array's first bytes say of it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    begins: int  # bytes before the values


class Archive:
    """An .npz file that is opened when an array is asked for, by every process for itself: two
    that share one open file would move each other's place in it."""

    def __init__(self, path: Path):
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self._stacks: dict[str, np.ndarray] = {}  # those that have to be read as a whole

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_opened": None, "_stacks": {}}

    def zip(self) -> zipfile.ZipFile:
        if self._opened is None or self._opened[0] != os.getpid():
            with _errors(self.path):
                self._opened = os.getpid(), zipfile.ZipFile(self.path)
        return self._opened[1]

    def names(self) -> list[str]:
        return [name.removesuffix(".npy") for name in self.zip().namelist()]

    def is_compressed(self, name: str) -> bool:
        return self.zip().getinfo(f"{name}.npy").compress_type != zipfile.ZIP_STORED

    def header(self, name: str) -> Header:
        """Shape and type of an array, without its values."""
        where = f"{self.path}, {name}"
        with _errors(where), self.zip().open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            first = version == (1, 0)
            read = "read_array_header_1_0" if first else "read_array_header_2_0"
            shape, fortran, dtype = getattr(np.lib.format, read)(file)
            begins = file.tell()
            held = self.zip().getinfo(f"{name}.npy").file_size
        if dtype.hasobject:
            raise UserError(
                f"{where}: an array of Python objects, which can run a program when it is read. "
                f"{_FORMS}"
            )
        size = begins + math.prod(shape) * dtype.itemsize
        if held != size:
            raise UserError(f"{where}: {held} bytes, but {size} are expected. {_AGAIN}")
        return Header(shape, dtype, fortran, begins)

    def array(self, name: str) -> np.ndarray:
        with _errors(f"{self.path}, {name}"), self.zip().open(f"{name}.npy") as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def row(self, name: str, row: int) -> np.ndarray:
        """A row of a stack: its bytes only, where it is not compressed."""
        header = self.header(name)
        if self.is_compressed(name) or header.fortran:
            if name not in self._stacks:
                self._stacks[name] = self.array(name)
            return self._stacks[name][row]
        size = math.prod(header.shape[1:]) * header.dtype.itemsize
        with _errors(f"{self.path}, {name}"), open(self.path, "rb") as file:
            # zip's own header of a file: 30 bytes, then as many as two of its numbers say
            start = self.zip().getinfo(f"{name}.npy").header_offset
            file.seek(start + 26)
            lengths = int.from_bytes(file.read(2), "little"), int.from_bytes(file.read(2), "little")
            file.seek(start + 30 + sum(lengths) + header.begins + row * size)
            values = np.frombuffer(file.read(size), header.dtype)
            return values.reshape(header.shape[1:])


@contextmanager
def _errors(where: str | Path) -> Iterator[None]:
    """What a damaged file raises, as an error that names it."""
    try:
        yield
    except (OSError, EOFError, KeyError, ValueError, SyntaxError, zipfile.BadZipFile, zlib.error,
            NotImplementedError) as error:  # fmt: skip
        raise UserError(f"{where}: not readable as .npz ({error}). {_AGAIN}") from error


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An answer that is an array of its own, or a row of a stack."""

    archive: Archive
    name: str
    form: str
    shape: tuple[int, int]
    row: int | None = None
    no_target: bool | None = None

    @property
    def file(self) -> Path:
        return self.archive.path

    @property
    def where(self) -> str:
        return f"{self.file}, {self.name}" + ("" if self.row is None else f"[{self.row}]")

    def load(self) -> np.ndarray:
        if self.row is None:
            return self.archive.array(self.name)
        return self.archive.row(self.name, self.row)


def read_arrays(path: Path, split: str = "") -> list[tuple[Asked, StoredArray]]:
    """The answers of a file with their names; nothing but ids and sizes is read yet."""
    archive = Archive(path)
    names = archive.names()
    if not names:
        raise UserError(f"{path}: empty. {_AGAIN}")
    headers = {name: archive.header(name) for name in names}
    if "ids" in headers:
        return _rows(archive, headers, split)
    forms = {name: _form(header, f"{path}, {name}") for name, header in headers.items()}
    return [
        (Asked(name=name, split=split), StoredArray(archive, name, *forms[name])) for name in names
    ]


def _rows(
    archive: Archive, headers: dict[str, Header], split: str
) -> list[tuple[Asked, StoredArray]]:
    """The answers of a stack."""
    path = archive.path
    stacks = [name for name in headers if name in _STACKS]
    if len(stacks) != 1 or len(headers) != 2:
        others = ", ".join(sorted(set(headers) - {"ids"})) or "nothing"
        raise UserError(
            f"{path}: beside 'ids' it has {others}. "
            f"Give one of {', '.join(_STACKS)}, with a row an id."
        )
    name, header = stacks[0], headers[stacks[0]]
    ids = _ids(archive)
    if not header.shape or len(ids) != header.shape[0]:
        raise UserError(
            f"{path}: {len(ids)} ids, but '{name}' has the shape {header.shape}. Give a row an id."
        )
    row = Header(header.shape[1:], header.dtype, header.fortran, header.begins)
    form, shape = _form(row, f"{path}, {name}")
    if form != _STACKS[name]:
        raise UserError(
            f"{path}: '{name}' of {header.dtype} and the shape {header.shape} is no stack of "
            f"{name}. {_FORMS}"
        )
    size = math.prod(header.shape) * header.dtype.itemsize
    if size > _AT_ONCE and (archive.is_compressed(name) or header.fortran):
        raise UserError(
            f"{path}: '{name}' is {size / 2**30:.1f} GiB, too large to be read as a whole. Write "
            "it with numpy.savez (not compressed), or one array an answer."
        )
    return [
        (Asked(name=text, split=split), StoredArray(archive, name, form, shape, number))
        for number, text in enumerate(ids)
    ]


def _ids(archive: Archive) -> list[str]:
    ids = archive.array("ids")
    if ids.ndim != 1 or ids.dtype.kind not in "iuUS" or not len(ids):
        raise UserError(f"{archive.path}: 'ids' is no list of names (text or numbers). Correct it.")
    return [i.decode("utf-8", "replace") if isinstance(i, bytes) else str(i) for i in ids.tolist()]


def _form(header: Header, where: str) -> tuple[str, tuple[int, int]]:
    """The form that an array's shape and type tell, and its (height, width)."""
    shape, kind = header.shape, header.dtype.kind
    if 0 in shape or len(shape) < 2 or math.prod(shape[-2:]) > MAX_PIXELS:
        form = None
    elif len(shape) == 3 and kind == "f" and shape[0] == 2 and shape[1] == shape[2]:
        form = "logits"
    else:
        form = {"b": "mask", "i": "mask", "u": "mask", "f": "probability"}.get(kind)
        form = form if len(shape) == 2 else None
    if form is None:
        raise UserError(f"{where}: an array of {header.dtype} and the shape {shape}. {_FORMS}")
    return form, (shape[-2], shape[-1])
