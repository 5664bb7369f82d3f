"""Files: atomic writes, locks, JSON, digests.

Light on purpose: the standard library only, so that a bare GPU box can import it.
"""

import contextlib
import errno
import gzip
import hashlib
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError

_FULL = re.compile(  # how libraries that hide the system's error speak of a disk that is full
    r"os error (28|122)\b|No space left|PytorchStreamWriter|unexpected pos|encoder error -2"
)


@contextlib.contextmanager
def atomic_path(path: Path, sync: bool = True) -> Iterator[Path]:
    """A temporary path in the same folder, renamed to `path` when the block ends without error.

    The suffix of `path` is kept (writers choose their format by it). The file's bytes are on the
    disk before the rename, so a crash leaves the old file or the new one, never a half. Without
    `sync` that holds for a killed process, but not when the machine loses its power: for many
    small files that can be checked and made again.
    """
    path = Path(path)
    with _named(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with _written_beside(path, sync) as temporary:
            yield temporary


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of the system in the block as errors about `path`, the file that is to be written."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        number = getattr(error, "errno", None)
        if number is None and _FULL.search(str(error)):
            number = errno.ENOSPC
        if number is None or not _is_unnamed(error, path):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _is_unnamed(error: Exception, path: Path) -> bool:
    """Whether an error names no file, or only the temporary one beside `path`."""
    name = getattr(error, "filename", None)
    return name is None or Path(os.fsdecode(name)).parent == path.parent


@contextlib.contextmanager
def _written_beside(path: Path, sync: bool) -> Iterator[Path]:
    stem = path.stem.encode()[:100].decode(errors="ignore")  # a long name has no room for more
    handle, name = tempfile.mkstemp(prefix=f".{stem}-", suffix=path.suffix, dir=path.parent)
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
    """Write a text file atomically (UTF-8); one that holds this text already is left as it is.

    So what is up to date needs no place on the disk, and may be on one that is read-only.
    """
    content = text.encode("utf-8")
    if Path(path).is_file() and Path(path).read_bytes() == content:
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write JSON atomically; keys keep their order, so equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def read_text(path: Path, remedy: str, kind: str = "text") -> str:
    """A text file (UTF-8, with a mark before it or not); what is none is an error that says why."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file. {remedy}")
    content = path.read_bytes()
    problem = mistaken(path) if content else ""
    try:
        if not problem:
            return content.decode("utf-8-sig")  # some editors put a mark before the text
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"no UTF-8 in line {line}: {error.reason}; save it as UTF-8"
    raise UserError(f"{path}: not readable as {kind} ({problem}). {remedy}")


def mistaken(path: Path) -> str:
    """What a file is that only stands where another should be; empty where nothing says so.

    A git-lfs pointer, a web page saved as a file, a packed one, one without content.
    """
    with open(path, "rb") as file:
        head = file.read(512)
    if not head and path.is_file():
        return "an empty file"
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a git-lfs pointer, not the file itself (get it: git lfs pull)"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML), not the file itself (download it again)"
    if head.startswith(b"\x1f\x8b"):
        return "packed with gzip (unpack it: gunzip)"
    return ""


def keep_inputs(key: str, output: Path | str, inputs: Iterable[Path | str]) -> None:
    """UserError if writing `output` would replace one of the inputs, under whatever name."""
    for given in inputs:
        with contextlib.suppress(OSError):
            if os.path.samefile(output, given):
                raise UserError(
                    f"{key}={output}: that is {given}, which is read here; it would be lost. "
                    "Name another file."
                )


def read_json(path: Path, remedy: str) -> Any:
    """Read JSON; a missing or broken file is an error that names it and the remedy."""
    text = read_text(path, remedy, "JSON")
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:  # nested too deep: RecursionError
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
