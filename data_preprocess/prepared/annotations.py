"""Records as the annotation file of a split, in this kit's form or the original's."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.base.paths import safe_id, safe_path
from data_preprocess.base.values import shown as short
from data_preprocess.base.values import whole
from data_preprocess.raw.records import Record, clean_sentence

CORNERS = "x1 y1 x2 y2"  # in a manifest's `boxes`; without it, boxes are x y width height
COUNTS = ("images", "objects", "expressions")
_REMEDY = "Prepare the data set anew: dghin data prepare DATASET data=RAW."


def mask_names(record: Record, per_sentence: bool) -> list[str]:
    """The segment ids of a record: one, or the original's one a sentence."""
    if not per_sentence:
        return [record.segment_id]
    return [f"{record.segment_id}_{index}" for index in range(len(record.sentences))]


def annotations(records: Iterable[Record], per_sentence: bool) -> list[dict[str, Any]]:
    """One entry an object, or, `per_sentence`, one entry a sentence as in the original."""
    entries = []
    for record in records:
        sentences = list(_sentences(record))
        if not per_sentence:
            entries.append(_entry(record, record.segment_id, sentences))
            continue
        for name, sentence in zip(mask_names(record, True), sentences, strict=True):
            entries.append(_entry(record, name, [sentence]))
    return entries


def expressions(entries: Iterable[dict[str, Any]]) -> list[str]:
    """All expressions of a split in the order in which its language features are stored."""
    return [sentence["sent"] for entry in entries for sentence in entry["sentences"]]


def counts(entries: list[dict[str, Any]]) -> dict[str, int]:
    """Images, objects and expressions of a split. In the original's form (an entry a sentence)
    objects are told apart by the part of segment_id before the sentence's number."""
    objects = {_object_id(entry) for entry in entries}
    return {
        "images": len({entry["img_name"] for entry in entries}),
        "objects": len(objects),
        "expressions": sum(len(entry["sentences"]) for entry in entries),
    }


def shown(entry: Mapping[str, int]) -> str:
    """Counts as text for people."""
    text = ", ".join(f"{entry[name]:,} {name}" for name in COUNTS)
    return text + (f" ({entry['unread']:,} of them unread)" if entry.get("unread") else "")


def _object_id(entry: dict[str, Any]) -> str:
    segment, sentences = str(entry["segment_id"]), entry["sentences"]
    if len(sentences) == 1 and segment.endswith(f"_{sentences[0].get('idx')}"):
        return segment.rpartition("_")[0]
    return segment


def _sentences(record: Record) -> Iterator[dict[str, Any]]:
    for index, sentence in enumerate(record.sentences):
        named = {"kind": sentence.kind} if sentence.kind else {}
        named |= {} if sentence.sent_id is None else {"sent_id": sentence.sent_id}
        yield {"idx": index, "sent": sentence.text} | named


def _entry(record: Record, name: str, sentences: list[dict[str, Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "segment_id": name,
        "img_name": record.image,
        "sentences": sentences,
        "sentences_num": len(sentences),
    }
    if record.category:
        entry["category"] = record.category
    if record.bbox:
        entry["bbox"] = list(record.bbox)
    if record.targets != 1:
        entry["targets"] = record.targets
    if record.distractors is not None:
        entry["distractors"] = record.distractors
    return entry | dict(record.ids)


def read_entries(path: Path) -> list[dict[str, Any]]:
    """The entries of an annotation file, each with the keys that readers need."""
    entries = read_json(path, _REMEDY)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: expected a list of objects. {_REMEDY}")
    for number, entry in enumerate(entries):
        where = f"{path}, entry {number}"
        for key in ("segment_id", "img_name", "sentences"):
            if not isinstance(entry, dict) or not entry.get(key, "") and entry.get(key) != 0:
                raise UserError(f"{where}: no '{key}'. {_REMEDY}")
        name = entry["segment_id"]  # a joint set's begin with the member: refcoco/123
        safe = safe_path if isinstance(name, str) else safe_id
        safe(name, where, "segment_id")
        safe_path(entry["img_name"], where, "img_name")
        _check_sentences(entry["sentences"], where)
        for key in ("targets", "distractors"):  # left out: one target, unknown distractors
            if whole(entry.get(key, 1), 0) is None:
                raise UserError(f"{where}: {key} {short(entry[key])} is no number. {_REMEDY}")
    return entries


def box_of(entry: Mapping[str, Any], manifest: Mapping[str, Any]) -> Any:
    """The box of an entry as x, y, width, height; as it is where that cannot be said.

    Adopted annotations may have corners (x1 y1 x2 y2, as CRIS writes): their manifest says so.
    """
    box = entry.get("bbox")
    if manifest.get("boxes") != CORNERS or not isinstance(box, list) or len(box) != 4:
        return box
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _check_sentences(sentences: Any, where: str) -> None:
    if not isinstance(sentences, list):
        raise UserError(f"{where}: its sentences {short(sentences)} are no list. {_REMEDY}")
    for sentence in sentences:
        if not isinstance(sentence, dict) or not isinstance(sentence.get("idx"), int | str):
            raise UserError(f"{where}: a sentence without 'idx'. {_REMEDY}")
        clean_sentence(sentence.get("sent"), f"{where}, sentence {short(sentence['idx'])}")
