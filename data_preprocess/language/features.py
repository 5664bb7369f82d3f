"""Language features on disk: arrays of a whole split and the key that says how they were made.

NumPy only: training reads them on machines without spaCy and transformers.
"""

import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path, sha256_json
from data_preprocess.raw.records import KINDS

CODES = ("", *KINDS)  # what `kind` counts in
# Two keys agree when these agree; the rest of a key is for people.
KEY_FIELDS = ("tokenizer", "parser", "parser_version", "words", "alignment")
_ARRAYS = {
    "word_ids": np.int32,
    "attention_mask": np.uint8,
    "pos": np.uint8,
    "heads": np.int8,
    "length": np.int16,
    "kind": np.uint8,
    "depth": np.int16,
}
_NEWER = ("kind", "depth")  # files of older versions have neither
_BY_ROW = ("length", *_NEWER)
_OTHER_WORDS = 6  # the last class of `pos`
_ALWAYS = 1 << 28  # bytes that arrays may take together, however small the file is
_EXPANSION = 300  # beyond that: bytes for a byte of the file (real features: below 100)
REMEDY = (
    "Make the features again: dghin data prepare DATASET data=RAW "
    "tokenizer=... parser=... words=... alignment=... (or 'adopt' for prepared data of the "
    "original, 'custom' for those of your own)."
)


@dataclass(frozen=True)
class Features:
    """Language features of N expressions of at most L words.

    word_ids, attention_mask: (N, L). pos: (N, L), classes 0..6. heads: (N, L), the position of
    each word's head, its own position for a root, -1 for no edge. length: (N,), words of the
    parse before any cut. kind: (N,), what an expression tells its referent by, as position in
    kinds.CODES. depth: (N,), edges from the deepest word of the parse to its root.
    """

    word_ids: np.ndarray
    attention_mask: np.ndarray
    pos: np.ndarray
    heads: np.ndarray
    length: np.ndarray
    kind: np.ndarray
    depth: np.ndarray

    def __len__(self) -> int:
        return len(self.word_ids)

    def __getitem__(self, index: Any) -> "Features":
        """The features of some expressions: a slice or an index array."""
        return Features(**{name: getattr(self, name)[index] for name in _ARRAYS})


def concatenate(parts: Sequence[Features]) -> Features:
    """The features of several lots of expressions as one, in their order."""
    return Features(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in _ARRAYS})


def adjacency(heads: np.ndarray) -> np.ndarray:
    """heads (..., L) as dense adjacency (..., L, L) float32: entry [i, heads[i]] is 1."""
    positions = np.arange(heads.shape[-1])
    return (heads[..., None] == positions).astype(np.float32)


def longest_chains(heads: np.ndarray) -> np.ndarray:
    """heads (N, L) as depth (N,): edges of the longest chain among the positions that are kept.

    That is the depth of the parse where nothing of it was cut off.
    """
    heads = heads.astype(np.int64)
    at = np.broadcast_to(np.arange(heads.shape[1]), heads.shape)
    depth = np.zeros(len(heads), np.int16)
    for _ in range(heads.shape[1]):  # no chain is longer, so that a circle comes to an end, too
        head = np.take_along_axis(heads, at, axis=1)
        climbs = (head >= 0) & (head != at)
        if not climbs.any():
            break
        depth += climbs.any(axis=1)
        at = np.where(climbs, head, at)
    return depth


def cut_off(features: Features, end: int | None = None) -> np.ndarray | None:
    """(N,) bool: the expressions of which word pieces had no position left, so that the network
    never reads them. They have lost their [SEP], which stands last in all others.

    end: the id of [SEP] (manifest.json: `end_id`). None: the id that ends expressions that leave
    positions free. Returns None where nothing was read (`parser=none`) or no id is known.
    """
    count = features.attention_mask.sum(axis=1, dtype=np.int64)
    if not count.any():
        return None
    ends = features.word_ids[np.arange(len(count)), np.maximum(count - 1, 0)]
    full = count == features.word_ids.shape[1]
    if end is None:
        if full.all():
            return None
        end = ends[~full][0]
    return full & (ends != end)


def unread(features: Features, unknown: int) -> np.ndarray:
    """(N,) bool: expressions of which the network reads no piece, or [UNK] for half or more.

    unknown: the id of [UNK]. [CLS] and [SEP] are not counted.
    """
    pieces = features.attention_mask.sum(axis=1).astype(np.int64) - 2
    missed = ((features.word_ids == unknown) & (features.attention_mask == 1)).sum(axis=1)
    return (pieces <= 0) | (2 * missed >= np.maximum(pieces, 1)) & (missed > 0)


def write_features(path: Path, features: Features, key: Mapping[str, Any]) -> None:
    """Write atomically; equal features and key give equal bytes."""
    arrays = {name: getattr(features, name).astype(kind) for name, kind in _ARRAYS.items()}
    text = json.dumps(dict(key), sort_keys=True)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, key=np.array(text), **arrays)


def read_key(path: Path) -> dict[str, Any]:
    """The key of a feature file."""
    return _load(path, ("key",))[0]


def read_features(
    path: Path, expected: Mapping[str, Any] | None = None, sentences: Sequence[str] | None = None
) -> Features:
    """The features of a split, refused unless made by the expected key and for these sentences.

    `expected` may hold some of KEY_FIELDS only: what it does not name is not compared. A file of
    an older version has no kinds (all are 0, unknown); its depths are those of the stored heads,
    and -1, unknown, where a parse was cut off.
    """
    key, arrays = _load(path, tuple(_ARRAYS))
    if expected is not None:
        check_key(path, key, expected)
    if sentences is not None and key.get("sentences") != sha256_json(list(sentences)):
        raise UserError(
            f"{path}: made for other expressions than the annotations beside it hold "
            f"({len(arrays['word_ids'])} there, {len(sentences)} here). {REMEDY}"
        )
    if "kind" not in arrays:
        arrays["kind"] = np.zeros(len(arrays["length"]), np.uint8)
        kept = arrays["heads"].shape[1] - 1  # words of the parse; the first position is [CLS]
        whole = arrays["length"] <= kept
        arrays["depth"] = np.where(whole, longest_chains(arrays["heads"]), -1).astype(np.int16)
    return Features(**arrays)


def check_key(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """An error that names the file and both values if the keys do not agree."""
    differing = [
        f"{name}: '{_shown(found, name)}' in the file, '{_shown(expected, name)}' wanted"
        for name in KEY_FIELDS
        if name in expected and found.get(name) != expected[name]
    ]
    if differing:
        raise UserError(
            f"{path}: these language features were made for another key ({'; '.join(differing)}). "
            f"{REMEDY}"
        )


def keys_agree(found: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether features of the one key serve where the other is expected."""
    return all(found.get(name) == expected[name] for name in KEY_FIELDS if name in expected)


def is_current(path: Path, expected: Mapping[str, Any]) -> bool:
    """Whether a file is of this key and these expressions, and of today's rule for kinds.

    Where it is not, whoever has the parser makes it anew; readers take it as it is.
    """
    found = read_key(path)
    same = all(found.get(name) == expected.get(name) for name in ("sentences", "kinds"))
    return same and keys_agree(found, expected)


def _shown(key: Mapping[str, Any], name: str) -> str:
    value = str(key.get(name))
    if name != "tokenizer":
        return value
    return f"{key.get('tokenizer_name', '?')} (vocabulary {value[:12]})"


def _load(path: Path, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file. {REMEDY}")
    try:
        arrays = _read_arrays(Path(path), (*names, "key"))
        key = json.loads(str(arrays.pop("key")))
        plain = (*KEY_FIELDS, "tokenizer_name", "sentences", "kinds")
        if not isinstance(key, dict) or any(isinstance(key.get(n), list | dict) for n in plain):
            raise ValueError("its key is no mapping of plain values")
        _check_arrays(arrays)
    except Exception as error:  # a damaged zip raises almost anything
        raise UserError(f"{path}: not readable as language features ({error}). {REMEDY}") from error
    return key, arrays


def _read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of these names, without the newer ones if the file has none of these."""
    with zipfile.ZipFile(path) as archive:
        if not any(f"{name}.npy" in archive.namelist() for name in _NEWER):
            names = [name for name in names if name not in _NEWER]
        members = {name: archive.getinfo(f"{name}.npy") for name in names}
        size = sum(member.file_size for member in members.values())
        if size > max(_ALWAYS, _EXPANSION * path.stat().st_size):
            raise ValueError(f"its arrays claim {size:,} bytes")
        return {name: _read_array(archive, member) for name, member in members.items()}


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array, if it is of the size that the archive says: numpy.load sets aside what the array's
    own header claims, and zipfile what the header of an LZMA stream does."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is compressed in an unknown way")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        claimed = file.tell() + math.prod(shape) * kind.itemsize
        if version != (1, 0) or claimed != member.file_size:
            raise ValueError(f"{member.filename} has not the bytes for {shape} of {kind}")
        file.seek(0)
        return np.load(file, allow_pickle=False)


def _check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """An error unless the arrays are of the types and of one number of rows and positions."""
    shape = arrays["word_ids"].shape if "word_ids" in arrays else ()
    for name, found in arrays.items():
        wanted = shape[:1] if name in _BY_ROW else shape
        if len(shape) != 2 or found.shape != wanted or found.dtype != _ARRAYS[name]:
            raise ValueError(f"'{name}' is {found.dtype} of {found.shape}")
    if "heads" in arrays and arrays["heads"].size:
        heads, pos = arrays["heads"], arrays["pos"]
        if heads.min() < -1 or heads.max() >= shape[1] or pos.max() > _OTHER_WORDS:
            raise ValueError("a head or a part of speech that does not exist")
    if "kind" in arrays and arrays["kind"].size and arrays["kind"].max() >= len(CODES):
        raise ValueError("a kind that does not exist")
