"""Language features of many expressions: every distinct one once, on all cores, resumable.

The distinct expressions are encoded in parts. Each part is a file whose name is the digest of its
key and its expressions, so that a run that was cut off goes on with the parts that are missing.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_json
from data_preprocess.base.progress import tqdm
from data_preprocess.base.workers import run_tasks, workers_for

from .encoder import LanguageEncoder, distinct
from .features import KEY_FIELDS, Features, concatenate, is_current, read_features, write_features
from .unparsed import Unparsed

log = logging.getLogger(__name__)

PART = 4096  # distinct expressions a part: seconds of work
_encoder: LanguageEncoder | Unparsed | None = None  # of this process


@dataclass(frozen=True)
class Part:
    """A file to be made, its expressions and its key."""

    path: Path
    sentences: tuple[str, ...]
    key: Mapping[str, Any]


def encode_in_parts(
    encoder: LanguageEncoder | Unparsed,
    sentences: Sequence[str],
    folder: Path,
    workers: int = 0,
) -> Features:
    """The features of all expressions, in their order; the parts are kept in `folder`.

    workers: processes, 0 for one a core. The result does not depend on it.
    """
    once, rows = distinct(sentences)
    parts = _parts(encoder, once, folder)
    missing = [part for part in parts if not _is_made(part)]
    done = len(once) - sum(len(part.sentences) for part in missing)
    if done:
        log.info("%s: %d of %d distinct expressions are there already", folder, done, len(once))
    workers = workers_for(workers, len(missing))
    with tqdm(desc="parse", total=len(once), initial=done, unit=" expressions") as bar:
        for part, _ in run_tasks(_encode, missing, workers, *_preparation(encoder, workers)):
            bar.update(len(part.sentences))
    found = [read_features(part.path, part.key, part.sentences) for part in parts]
    return concatenate(found)[rows]


def remove_parts(folder: Path) -> None:
    """Remove the parts: what was made of them is written."""
    shutil.rmtree(folder, ignore_errors=True)


def _parts(encoder: LanguageEncoder | Unparsed, sentences: list[str], folder: Path) -> list[Part]:
    key = encoder.key()
    named = [key.get(name) for name in KEY_FIELDS]
    parts = []
    for start in range(0, len(sentences), PART):
        chosen = tuple(sentences[start : start + PART])
        path = folder / f"{sha256_json([named, chosen])[:32]}.npz"
        parts.append(Part(path, chosen, key | {"sentences": sha256_json(list(chosen))}))
    return parts


def _is_made(part: Part) -> bool:
    """Whether a part's file is whole, of this key and these expressions, and not outdated."""
    if not part.path.is_file():
        return False
    try:
        read_features(part.path, part.key, part.sentences)
        current = is_current(part.path, part.key)
    except UserError:
        current = False
    if not current:
        part.path.unlink()
    return current


def _preparation(encoder: LanguageEncoder | Unparsed, workers: int) -> tuple[Any, tuple[Any, ...]]:
    """How a process gets its encoder: this one takes the one at hand, others load their own."""
    if workers <= 1 or isinstance(encoder, Unparsed):
        return _take, (encoder,)
    names = (encoder.tokenizer_spec, encoder.parser_spec)
    return _load, (*names, encoder.words, encoder.alignment, encoder.data)


def _take(encoder: LanguageEncoder | Unparsed) -> None:
    global _encoder
    _encoder = encoder


def _load(tokenizer: Any, parser: Any, words: int, alignment: str, data: Path | None) -> None:
    _take(LanguageEncoder(tokenizer, parser, words, alignment, data))


def _encode(part: Part) -> None:
    """Make one part's file."""
    features = _encoder.encode_many(part.sentences, progress=False)
    write_features(part.path, features, part.key)
