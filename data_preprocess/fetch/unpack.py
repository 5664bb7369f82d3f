"""Unpack the wanted members of an archive, each to its one place, whole or not at all.

The paths in an archive choose which members are wanted, never where they are written: places come
from the list of mirrors. An archive with a member that would leave its folder (absolute, `..`, a
link, a device) is refused as a whole.
"""

import contextlib
import gzip
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path
from data_preprocess.base.progress import tqdm

from .download import WrongFile

_PIECE = 1 << 20
_BROKEN = (zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError,
           zlib.error, RuntimeError)  # fmt: skip


@dataclass(frozen=True)
class _Member:
    name: str
    size: int  # bytes, unpacked, as the archive lists them
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class _Wanted:
    member: _Member
    target: str  # as the list of mirrors has it
    place: str  # of this member, relative to the raw root

    @property
    def in_folder(self) -> bool:
        return self.target.endswith("/")

    def is_there(self, data: Path) -> bool:
        path = data / self.place
        if self.in_folder:
            return path.is_file() and path.stat().st_size == self.member.size
        return path.exists()


def unpack(
    archive: Path, kind: str, places: Mapping[str, str], needed: Container[str], data: Path
) -> dict[str, int]:
    """Unpack `archive` (kind "zip", "tar" or "tar.gz") under `data`; returns files by folder.

    places: pattern of members -> target, a file or (ending in a slash) a folder; those in
    `needed` must be in the archive. A file that is there stays; in a folder, those of the right
    size do, so that an unpacking that was cut goes on. Single files appear together, after every
    member was read without error. Raises WrongFile for an archive that is broken, unsafe or
    lacks a needed target; UserError or OSError for a full disk.
    """
    opened = zipfile.ZipFile if kind == "zip" else tarfile.open
    try:
        with opened(archive) as container:
            members = _zip(container) if kind == "zip" else _tar(container)
            found = _found(members, places)
            absent = [p for p, target in places.items() if target in needed
                      and not any(item.target == target for item in found)]  # fmt: skip
            if absent:
                raise WrongFile(f"no {absent[0]} in it")
            wanted = [item for item in found if not item.is_there(data)]
            _check_space(sum(item.member.size for item in wanted), archive, data)
            _write(wanted, data, archive.name)
    except _BROKEN as error:
        raise WrongFile(f"not a whole {kind} archive ({error})") from error
    counts: dict[str, int] = {}
    for item in found:
        if item.in_folder:
            counts[item.target] = counts.get(item.target, 0) + 1
    return counts


def _zip(container: zipfile.ZipFile) -> Iterator[_Member]:
    for info in container.infolist():
        unix = info.external_attr >> 16
        if unix & 0o170000 not in (0, 0o100000, 0o040000):
            raise WrongFile(f"unsafe archive: {info.filename} is a link or a device")
        # a backslash is a separator to other unpackers, so it is one to this check, too
        _check_name(info.orig_filename.replace("\\", "/"))
        if not info.is_dir():
            yield _Member(info.filename, info.file_size, lambda info=info: container.open(info))


def _tar(container: tarfile.TarFile) -> Iterator[_Member]:
    for info in tqdm(container, "list", unit=" files", leave=False):
        if not (info.isreg() or info.isdir()):
            raise WrongFile(f"unsafe archive: {info.name} is a link or a device")
        _check_name(info.name)
        if info.isreg():
            yield _Member(info.name, info.size, lambda info=info: container.extractfile(info))


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":":
        raise WrongFile(f"unsafe archive: {name} leads out of its folder")


def _found(members: Iterator[_Member], places: Mapping[str, str]) -> list[_Wanted]:
    """The members that have a place, in the archive's order."""
    found: list[_Wanted] = []
    taken: set[str] = set()
    for member in members:
        path = PurePosixPath(member.name)
        if path.name.startswith("."):
            continue  # what macOS leaves beside each file
        for pattern, target in places.items():
            if path.match(pattern):
                place = target + path.name if target.endswith("/") else target
                if place in taken:
                    raise WrongFile(f"two members for {place}")
                taken.add(place)
                found.append(_Wanted(member, target, place))
                break
    return found


def _check_space(needed: int, archive: Path, data: Path) -> None:
    free = shutil.disk_usage(data).free
    if needed > free:
        raise UserError(
            f"{archive}: unpacked it takes {needed:,} bytes, {free:,} are free in {data}. Free "
            "some space; the same command goes on from here."
        )


def _write(wanted: list[_Wanted], data: Path, name: str) -> None:
    total = sum(item.member.size for item in wanted)
    bar = tqdm(desc=f"unpack {name}", total=total, unit="B", unit_scale=True)
    with contextlib.ExitStack() as together, bar:
        for item in wanted:
            # photos can be made again from the archive, so each need not wait for the disk
            single = atomic_path(data / item.place, sync=not item.in_folder)
            if item.in_folder:
                with single as temporary:
                    _copy(item.member, temporary, bar)
            else:  # renamed when the stack ends, with all the others or not at all
                _copy(item.member, together.enter_context(single), bar)


def _copy(member: _Member, temporary: Path, bar: tqdm) -> None:
    """Bytes of a member; more or fewer than listed is a broken archive."""
    left = member.size
    with member.open() as source, open(temporary, "wb") as file:
        while piece := source.read(_PIECE):
            left -= len(piece)
            if left < 0:
                break
            file.write(piece)
            bar.update(len(piece))
    if left:
        raise WrongFile(f"{member.name} has other bytes than listed")
