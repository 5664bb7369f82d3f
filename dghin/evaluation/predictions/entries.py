"""Answers in JSON and JSONL: an entry an answer, in the forms that projects write.

A JSONL file has an entry a line, as ranks and long runs append them; a JSON file has a list of
entries, or a mapping from names (sent_id, or <ref_id>_<k>) to run lengths or entries, or one from
splits to either. An entry says

    which expression    sent_id; or ref_id (segment_id) with sentence_index or with the sentence
                        (sent, sentence, expression, caption, ...); or image and sentence
    the mask            run lengths {"size": [H, W], "counts": ...} as segmentation, mask, rle, ...,
                        or size and counts in the entry itself; several as a list of masks
    optional            no_target: true, which may stand without a mask; split; control

Other projects' entries are read as they are:

GSEval         {"idx", "image_path", "segmentation" or "predicted_segmentation"}: `evaluate` in
               evaluate_grounding.py of hustvl/GroundingSuite. idx is taken as the segment_id.
lmms-eval      the mask JSON of lmms_eval/models/simple/sam3.py (EvolvingLMMs-Lab/lmms-eval, pull
               request 1088), {"masks": [run lengths], "boxes", "scores"}: the union of the masks,
               none of them is an empty answer. It stands in an entry, or as text in
               `filtered_resps` (or `resps`) of the lines that --log_samples writes, whose `doc`
               has the names of the expression.
ReLA           I, U and pred_nt instead of a mask: see rela.py.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.base.values import shown

from .names import Asked
from .predictions import Stored
from .rela import is_detailed_result, read_counts
from .run_lengths import RunLengths, read_run_lengths

_SENT_ID = ("sent_id", "sentence_id")
_REF = ("ref_id", "segment_id", "seg_id")
_INDEX = ("sentence_index", "sent_index", "sent_idx")
_SENTENCE = ("sentence", "sent", "expression", "caption", "phrase", "text", "raw", "query")
_IMAGE = ("image", "img_name", "image_path", "file_name", "image_name", "img")
_MASK = ("segmentation", "predicted_segmentation", "pred_segmentation", "mask", "pred_mask",
         "predicted_mask", "mask_rle", "rle", "prediction", "masks")  # fmt: skip
_NO_TARGET = ("no_target", "pred_nt")
_RESPONSES = ("filtered_resps", "resps")
_NESTED = ("sent_info", "doc")  # of ReLA and lmms-eval: the names of the expression
NEEDED = (
    "Needed are the expression (sent_id; or ref_id with sentence_index or sentence; or image with "
    'sentence) and its mask (segmentation: {"size": [H, W], "counts": run lengths}).'
)
_EMPTY = "An entry an answer is expected: write the answers again."
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredMask:
    """An answer as run lengths: the union of the parts."""

    file: Path
    where: str
    parts: tuple[RunLengths, ...]
    no_target: bool | None
    form: str = "mask"

    @property
    def shape(self) -> tuple[int, int] | None:
        return (self.parts[0].height, self.parts[0].width) if self.parts else None

    def load(self) -> np.ndarray | None:
        """(H, W) bool; None where there is no part."""
        masks = [part.mask() for part in self.parts]
        return np.logical_or.reduce(masks) if masks else None


def read_entries(
    path: Path, splits: Iterable[str], split: str = "", control: str = ""
) -> list[tuple[Asked, Stored]]:
    """The answers of a file, with what each says about its expression.

    split: the one that the file answers, if its name says so. control: entries that name another
    control are left out.
    """
    given, count, splits = [], 0, set(splits)
    for where, name, part, entry in _entries(path, splits, split):
        count += 1
        if control != str(entry.get("control") or ""):
            continue
        if not part and entry.get("split") in splits:
            part = entry["split"]
        asked = _asked(entry, part)
        if not (asked.sent_id or asked.ref or (asked.image and asked.sentence)):
            if not name:
                raise _unknown_shape(where, entry)
            asked = Asked(name=name, split=part)
        given.append((asked, _stored(entry, path, where)))
    if not given:
        what = f"none of its {count} entries is of the control '{control}'" if count else "empty"
        raise UserError(f"{path}: {what}. {_EMPTY}")
    return given


def _entries(
    path: Path, splits: set[str], split: str
) -> Iterator[tuple[str, str | None, str, Entry]]:
    """(place for messages, name or None, split or "", entry) of each."""
    if path.suffix.lower() == ".jsonl":
        for number, entry in _lines(path):
            yield f"{path}, line {number}", None, split, entry
        return
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path}: empty. {_EMPTY}")
    found = read_json(path, "Write the answers again.")
    by_split = {split: found}
    if isinstance(found, dict) and found and set(found) <= splits:
        by_split = found
    for part, held in by_split.items():
        if isinstance(held, dict):
            values = [(f"{path}, '{name}'", name, value) for name, value in held.items()]
        else:
            listed = held if isinstance(held, list) else [held]
            values = [(f"{path}, entry {i}", None, value) for i, value in enumerate(listed)]
        for where, name, value in values:
            if not isinstance(value, dict):
                keys = f" Its keys are {_keys(found)}." if isinstance(found, dict) else ""
                raise UserError(f"{where}: {shown(value)} is no entry.{keys} {NEEDED}")
            yield where, name, part, value


def _lines(path: Path) -> Iterator[tuple[int, Entry]]:
    """The entries of a JSONL file, with the numbers of their lines."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _line(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable ({error}). Write the answers again.") from error


def _line(line: str, where: str) -> Entry:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        cut = "" if line.endswith("\n") else " It is the last one, and was cut off in the middle."
        raise UserError(
            f"{where}: no JSON ({error}).{cut} Remove the line and let the model answer again."
        ) from error
    if not isinstance(entry, dict):
        raise UserError(f"{where}: {shown(entry)} is no entry. {NEEDED}")
    return entry


def _asked(entry: Entry, split: str) -> Asked:
    """What an entry says about its expression; what it says itself goes before what `doc` says."""
    nested = [value for key in _NESTED if isinstance(value := entry.get(key), dict)]

    def said(keys: Iterable[str]) -> str:
        for holder in (entry, *nested):
            for key in keys:
                value = holder.get(key)
                if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                    return str(value)
        return ""

    sentence, image = said(_SENTENCE), said(_IMAGE)
    ref = said(_REF) or ("" if sentence and image else said(("idx",)))  # idx: of GSEval
    return Asked(said(_SENT_ID), ref, said(_INDEX), sentence, image, split)


def _stored(entry: Entry, path: Path, where: str) -> Stored:
    """The answer of an entry, checked."""
    no_target = _no_target(entry, where)
    if is_detailed_result(entry):
        return read_counts(entry, no_target, path, where)
    value = _mask(entry, where)
    if value is None:
        if no_target:
            return StoredMask(path, where, (), no_target)
        if any(key in entry for key in _MASK):
            raise UserError(
                f"{where}: it has no mask. Leave the entry out and ask for missing=empty, or write "
                "no_target: true, if the model says that nothing is meant."
            )
        raise _unknown_shape(where, entry)
    several = isinstance(value, list) and all(isinstance(part, dict) for part in value)
    parts = tuple(read_run_lengths(part, where) for part in (value if several else [value]))
    if len({(part.height, part.width) for part in parts}) > 1:
        raise UserError(f"{where}: its masks have several sizes. Save all at the photo's size.")
    return StoredMask(path, where, parts, no_target)


def _mask(entry: Mapping[str, Any], where: str) -> Any:
    """Run lengths or a list of them as the entry holds them; None where it holds none."""
    if "counts" in entry:
        value: Any = entry
    else:
        value = next((entry[key] for key in _MASK if entry.get(key) is not None), None)
    if value is None:
        value = _response(entry, where)
    if isinstance(value, dict) and "masks" in value:
        value = value["masks"]
    size = entry.get("size") or [entry.get("height"), entry.get("width")]
    if isinstance(value, dict) and "size" not in value and isinstance(size, list):
        value = {**value, "size": size}
    return value


def _response(entry: Mapping[str, Any], where: str) -> Any:
    """The mask JSON that a model of lmms-eval gave as its text."""
    text = next((entry[key] for key in _RESPONSES if entry.get(key)), None)
    while isinstance(text, list) and len(text) == 1:
        text = text[0]
    if text is None:
        return None
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("masks"), list):
        raise UserError(
            f"{where}: the response {shown(text)} is no mask JSON. Needed is "
            '{"masks": [{"size": [H, W], "counts": run lengths}]}.'
        )
    return found


def _no_target(entry: Entry, where: str) -> bool | None:
    value = next((entry[key] for key in _NO_TARGET if entry.get(key) is not None), None)
    if value is not None and (type(value) not in (bool, int) or value not in (0, 1)):
        raise UserError(f"{where}: no_target {shown(value)} is not true or false. Correct it.")
    return None if value is None else bool(value)


def _unknown_shape(where: str, entry: Entry) -> UserError:
    return UserError(f"{where}: its keys are {_keys(entry)}. {NEEDED}")


def _keys(entry: Mapping[str, Any]) -> str:
    keys = [shown(key) if not str(key).isidentifier() else str(key) for key in list(entry)[:8]]
    return (", ".join(keys) or "none") + (", ..." if len(entry) > 8 else "")
