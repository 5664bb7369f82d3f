"""One download: resumed where it was cut, checked for size and digest, shown with progress.

    download(url, part, source.size, checked=True)   # bytes arrive in `part`
    check(part, source.size, source.sha256, source.md5)

Beside `part` lies a note (JSON) with the URL and the server's version of the file, by which the
next call knows whether it may go on.
"""

import contextlib
import errno
import hashlib
import itertools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json_or, write_json
from data_preprocess.base.progress import tqdm

log = logging.getLogger(__name__)

TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces
_PIECE = 1 << 20
_NET_PIECE = 1 << 16  # of a cut download, an unfinished piece is lost
_PAGE = (b"<!doctype html", b"<html")


class MirrorError(Exception):
    """Why a mirror does not do, in a few words. The next one may."""


class WrongFile(MirrorError):
    """The bytes are not those of the file: what has come is worth nothing."""


@dataclass(frozen=True)
class _Stream:
    """A reply: the byte that it begins with, the bytes of the whole file (None: not said), the
    version of the file at the server ("" without one) and the pieces."""

    start: int
    total: int | None
    version: str
    pieces: Iterator[bytes]


def note_path(part: Path) -> Path:
    """Where the note on a part lies."""
    return part.with_suffix(".json")


def read_note(part: Path) -> dict[str, Any]:
    """The note on a part: `url`, `version`; empty for a part of unknown origin."""
    return read_json_or(note_path(part), {})


def download(url: str, part: Path, size: int | None = None, checked: bool = False) -> None:
    """Bring the bytes of `url` into the file `part`, going on from those that are there.

    size: bytes expected (None: not known). checked: a digest will be compared afterwards, so a
    part may be continued from another mirror or without a version, too. Raises MirrorError;
    what arrived before a cut stays. A disk that is full is an OSError.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    held = part.stat().st_size if part.is_file() else 0
    if held and size is not None and held >= size:
        if held == size and checked:
            return
        held = 0
    note = read_note(part)
    version = note.get("version", "") if note.get("url") == url else ""
    may_resume = bool(held and (version or (checked and size is not None)))
    with _open(url, held if may_resume else 0, version) as stream:
        if size is not None and stream.total is not None and stream.total != size:
            raise MirrorError(f"offers {stream.total:,} bytes, expected {size:,}")
        if stream.start:
            log.info("%s: going on at %s bytes", part.stem, f"{stream.start:,}")
        write_json(note_path(part), {"url": url, "version": stream.version})
        _write(stream, part, size if stream.total is None else stream.total)


def check(path: Path, size: int | None, sha256: str, md5: str) -> None:
    """Compare size and digests, those that are known. Raises WrongFile."""
    actual = path.stat().st_size
    if size is not None and actual != size:
        raise WrongFile(f"{actual:,} bytes, expected {size:,}")
    wanted = {kind: value for kind, value in (("sha256", sha256), ("md5", md5)) if value}
    digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in wanted}
    if digests:
        bar = tqdm(desc=f"check {path.name}", total=actual, unit="B", unit_scale=True, leave=False)
        with bar, open(path, "rb") as file:
            while piece := file.read(_PIECE):
                for digest in digests.values():
                    digest.update(piece)
                bar.update(len(piece))
    for kind, digest in digests.items():
        if digest.hexdigest() != wanted[kind]:
            raise WrongFile(f"{kind} is {digest.hexdigest()}, expected {wanted[kind]}")


def download_checked(
    url: str, part: Path, size: int | None = None, sha256: str = "", md5: str = ""
) -> None:
    """Download into `part` and check it. A part that turns out wrong is removed; one that was
    there before is then begun anew, once. Raises MirrorError or WrongFile."""
    resumed = part.is_file()
    try:
        download(url, part, size, bool(sha256 or md5))
        check(part, size, sha256, md5)
    except WrongFile as error:
        part.unlink(missing_ok=True)
        if not resumed:
            raise
        log.info("%s: %s; once more from the beginning", url, error)
        download_checked(url, part, size, sha256, md5)


def no_space(path: Path, error: OSError) -> UserError:
    """The error for a disk that is full or not writable."""
    if error.errno == errno.ENOSPC:
        return UserError(f"{path}: the disk is full. Free some space; the same command goes on.")
    return UserError(f"{path}: cannot be written ({error.strerror or error}).")


def _write(stream: _Stream, part: Path, total: int | None) -> None:
    first = next(stream.pieces, b"")
    if not stream.start and first.lstrip()[:20].lower().startswith(_PAGE):
        raise MirrorError("an HTML page instead of the file")  # before the part is touched
    bar = tqdm(desc=part.stem, total=total, initial=stream.start, unit="B", unit_scale=True)
    done = stream.start
    with bar, open(part, "r+b" if stream.start else "wb") as file:
        file.truncate(stream.start)
        file.seek(stream.start)
        for piece in itertools.chain((first,), stream.pieces):
            done += len(piece)
            if total is not None and done > total:
                raise WrongFile(f"more than the {total:,} bytes expected")
            file.write(piece)
            bar.update(len(piece))
    if total is not None and done < total:
        raise MirrorError(f"cut off at {done:,} of {total:,} bytes")


@contextlib.contextmanager
def _open(url: str, start: int, version: str) -> Iterator[_Stream]:
    if urlsplit(url).scheme == "file":
        with _open_file(url, start, version) as stream:
            yield stream
        return
    import requests  # here, so that importing this module costs nothing

    headers = {"Accept-Encoding": "identity", "User-Agent": "data_preprocess-fetch"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version:
            headers["If-Range"] = version
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as reply:
            if reply.status_code == 416 and start:  # the part is longer than the file
                raise WrongFile("the part here does not fit the file there")
            yield _reply(reply, start)
    except requests.RequestException as error:
        raise MirrorError(_reason(error)) from error


def _reply(reply: Any, start: int) -> _Stream:
    if reply.status_code not in (200, 206):
        raise MirrorError(f"HTTP {reply.status_code}")
    if reply.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise MirrorError("an HTML page instead of the file")
    etag = reply.headers.get("ETag", "")
    if not etag or etag.startswith("W/"):  # If-Range takes strong ones only
        etag = reply.headers.get("Last-Modified", "")
    length = reply.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    if reply.headers.get("Content-Encoding", "identity") != "identity":
        total, etag = None, ""  # lengths and offsets are of other bytes than those that we write
    if reply.status_code == 206:
        span, _, whole = reply.headers.get("Content-Range", "").rpartition("/")
        if not start or span.replace("bytes", "").strip().partition("-")[0] != str(start):
            raise MirrorError("answers with another range than asked for")
        total = int(whole) if whole.isdigit() else None if total is None else start + total
    else:
        start = 0  # the server does not do ranges, or its file has changed
    return _Stream(start, total, etag, reply.iter_content(_NET_PIECE))


@contextlib.contextmanager
def _open_file(url: str, start: int, version: str) -> Iterator[_Stream]:
    path = Path(url2pathname(urlsplit(url).path))
    try:
        file = open(path, "rb")
    except OSError as error:
        raise MirrorError(error.strerror or str(error)) from error
    with file:
        state = os.fstat(file.fileno())
        current = f"{state.st_size}-{state.st_mtime_ns}"
        start = start if version in ("", current) and start <= state.st_size else 0
        file.seek(start)
        yield _Stream(start, state.st_size, current, _pieces(file))


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    try:
        while piece := file.read(_PIECE):
            yield piece
    except OSError as error:  # a stick that was pulled out
        raise MirrorError(error.strerror or str(error)) from error


def _reason(error: Exception) -> str:
    """A network error in a few words."""
    import requests

    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {TIMEOUT[0]:g} s"
    if isinstance(error, requests.exceptions.ReadTimeout) or "Read timed out" in text:
        return f"nothing came for {TIMEOUT[1]:g} s"
    if "NameResolution" in text or "name resolution" in text or "getaddrinfo" in text:
        return "its name is not found (no network?)"
    if "refused" in text:
        return "connection refused"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let it through"
    if isinstance(error, requests.exceptions.ChunkedEncodingError) or "Connection broken" in text:
        return "the connection broke off"
    return f"no connection ({type(error).__name__})"
