"""What of a data set's raw files is there: a file by its existence, a folder by its count."""

import os
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from data_preprocess.base.files import read_json_or, write_json

from .mirrors import Mirrors

PARTS = ".fetch"  # under the raw root: downloads in progress, and which folders are whole


def is_there(known: Mirrors, target: str, data: Path) -> bool:
    """Whether a target (a folder ends in a slash) is there as a whole.

    A folder has as many files as were once unpacked into it, or as are published. Where no one
    published a number, any file will do, unless an unpacking was begun and did not end.
    """
    if not target.endswith("/"):
        return (data / target).is_file()
    there, state = held(known, target, data), _state(target, data)
    if state.get("complete"):
        return 0 < state.get("count", 0) <= there
    counts = [source.counts[target] for source in known.of(target) if target in source.counts]
    return there >= counts[0] if counts else there > 0 and not state


def mark(target: str, data: Path, complete: bool, count: int = 0) -> None:
    """Note that the unpacking into a folder has begun, or that it ended with `count` files."""
    write_json(_state_path(target, data), {"complete": complete, "count": count})


def held(known: Mirrors, target: str, data: Path) -> int:
    """The files of a folder whose names are as in the archives that it comes from."""
    names = {
        PurePosixPath(pattern).name
        for source in known.of(target)
        for pattern, place in source.unpack.items()
        if place == target
    }
    if not (data / target).is_dir():
        return 0
    with os.scandir(data / target) as entries:
        return sum(
            not entry.name.startswith(".") and any(fnmatchcase(entry.name, name) for name in names)
            for entry in entries
        )


def _state_path(target: str, data: Path) -> Path:
    return data / PARTS / f"{target.strip('/').replace('/', '-')}.unpacked.json"


def _state(target: str, data: Path) -> dict[str, Any]:
    """How far the unpacking into a folder got; empty if it was never begun."""
    return read_json_or(_state_path(target, data), {})
