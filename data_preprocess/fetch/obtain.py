"""One source of the list of mirrors: from the first mirror that does to its places."""

import logging
import os
from pathlib import Path

from data_preprocess.base.files import write_json

from .download import (
    MirrorError,
    WrongFile,
    check,
    download_checked,
    no_space,
    note_path,
    read_note,
)
from .mirrors import Source
from .presence import PARTS, mark
from .unpack import unpack

log = logging.getLogger(__name__)

Tried = list[tuple[str, str]]  # a mirror, or a file here, and why it did not do


def obtain(source: Source, needed: list[str], data: Path, keep: bool) -> tuple[bool, Tried]:
    """Fetch a source and put the needed targets in place, from the first mirror that does.

    An archive that lies in DATA/.fetch already comes before all mirrors. keep: leave it there
    afterwards (one that the user put there stays in any case). Returns whether it worked, and
    what was tried in vain. A full disk is a UserError.
    """
    whole = data / PARTS / source.name
    part = whole.with_name(f"{source.name}.part")
    tried: Tried = []
    held = [str(whole)] if whole.is_file() else []
    own = bool(held) and not read_note(part).get("whole")  # put there by the user
    for place in [*held, *source.urls]:
        try:
            if place in held:
                check(whole, source.size, source.sha256, source.md5)
            else:
                download_checked(place, part, source.size, source.sha256, source.md5)
                os.replace(part, whole)
                write_json(note_path(part), {"url": place, "whole": True})
                own = False
            _put(source, whole, needed, data)
        except MirrorError as error:
            log.warning("%s: %s", place, error)
            tried.append((place, str(error)))
            if isinstance(error, WrongFile) and not own:
                _remove(whole, part)
        except OSError as error:
            raise no_space(data, error) from error
        else:
            if not source.archive or not (keep or own):
                _remove(whole, part)
            return True, tried
    return False, tried


def _remove(whole: Path, part: Path) -> None:
    whole.unlink(missing_ok=True)
    if not part.is_file():
        note_path(part).unlink(missing_ok=True)


def _put(source: Source, whole: Path, needed: list[str], data: Path) -> None:
    """A plain file to its place; of an archive what is needed, and single files not there yet."""
    if not source.archive:
        (data / needed[0]).parent.mkdir(parents=True, exist_ok=True)
        os.replace(whole, data / needed[0])
        return
    places = {
        pattern: target
        for pattern, target in source.unpack.items()
        if target in needed or not (target.endswith("/") or (data / target).exists())
    }
    folders = [target for target in needed if target.endswith("/")]
    for target in folders:
        mark(target, data, complete=False)
    counts = unpack(whole, source.archive, places, needed, data)
    for target in folders:
        expected = source.counts.get(target, counts[target])
        if counts[target] < expected:
            raise WrongFile(f"{counts[target]:,} files for {target}, expected {expected:,}")
        mark(target, data, complete=True, count=counts[target])
