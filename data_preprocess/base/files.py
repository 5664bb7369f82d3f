"""Files: atomic writes, locks, JSON, digests.

Light on purpose: the standard library only, so that a bare GPU box can import it.
"""

import contextlib
import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError


@contextlib.contextmanager
def atomic_path(path: Path, sync: bool = True) -> Iterator[Path]:
    """A temporary path in the same folder, renamed to `path` when the block ends without error.

    The suffix of `path` is kept (writers choose their format by it). The file's bytes are on the
    disk before the rename, so a crash leaves the old file or the new one, never a half. Without
    `sync` that holds for a killed process, but not when the machine loses its power: for many
    small files that can be checked and made again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if sync:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes it private
        os.replace(temporary, path)
        if sync:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold an existing file or folder for this process; yields whether it is held.

    It is not where another process holds it. The lock dies with its process. Where the system has
    no such locks, nobody is kept out.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = True
    except BlockingIOError:
        held = False
    try:
        yield held
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Bring a folder's own entries to the disk: a rename is safe after that, too."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write JSON atomically; keys keep their order, so equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def read_json(path: Path, remedy: str) -> Any:
    """Read JSON; a missing or broken file is an error that names it and the remedy."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file. {remedy}")
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a mark before the text
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, OSError, RecursionError) as error:  # nested too deep: RecursionError
        raise UserError(f"{path}: not readable as JSON ({error}). {remedy}") from error


def json_lines(path: Path, remedy: str) -> Iterator[tuple[int, Any]]:
    """(line number, what it says) of JSON Lines, which may be packed (.gz). Empty lines are left
    out; an unreadable one is an error that names it."""
    number = 0
    try:
        with (gzip.open if Path(path).suffix == ".gz" else open)(
            path, "rt", encoding="utf-8-sig"
        ) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, json.loads(line, object_pairs_hook=_without_repeats)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file. {remedy}") from error
    except (ValueError, OSError, EOFError, RecursionError, zlib.error) as error:
        where = f"line {number}" if isinstance(error, ValueError) else f"after line {number}"
        raise UserError(f"{path}, {where}: not readable as JSON ({error}). {remedy}") from error


def read_json_or(path: Path, default: Any) -> Any:
    """Read JSON; `default` where none of its type can be read (missing, damaged, ...)."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # nested too deep: RecursionError
        return default
    return found if isinstance(found, type(default)) else default


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that is there twice, the json module would keep the last only."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, _ in pairs:
            if found.pop(key, pairs) is pairs:  # taken out by an earlier pair
                raise ValueError(f"{key[:60]!r} is there twice in one object")
    return found


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys), hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
