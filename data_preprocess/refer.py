"""The REFER layout (RefCOCO, RefCOCO+, RefCOCOg): instances.json and refs(<split_by>).p.

The .p file is a pickle. It is opened with an unpickler that makes plain containers, strings and
numbers only: a pickle that asks for anything else is refused, not run.
"""

import logging
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .common import UserError, read_json
from .datasets import Dataset
from .records import Raw, Record, Sentence, clean_sentence

log = logging.getLogger(__name__)

_REMEDY = "Put the file of the REFER release there (see 'Real data' in the README)."
_NEEDED = {
    "image": ("id", "file_name", "height", "width"),
    "annotation": ("id", "image_id", "segmentation"),
    "ref": ("ref_id", "ann_id", "image_id", "split", "sentences"),
}


class _PlainUnpickler(pickle.Unpickler):
    """Refuses every class and function: plain data needs none."""

    def __init__(self, file: Any, path: Path):
        super().__init__(file, encoding="latin1")  # the released files are Python 2 pickles
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        raise UserError(
            f"{self._path}: the pickle asks for {module}.{name}, but only plain lists, "
            "dictionaries, strings and numbers are accepted. Get the file from the REFER "
            "release again; if you made it yourself, save plain Python data."
        )

    def persistent_load(self, pid: Any) -> Any:
        raise UserError(f"{self._path}: the pickle refers to outside data ({pid!r}). {_REMEDY}")


def read_pickle(path: Path) -> Any:
    """The plain data in a pickle; a missing, broken or forbidden one is an error naming it."""
    if not path.is_file():
        raise UserError(f"{path}: no such file. {_REMEDY}")
    try:
        with open(path, "rb") as file:
            return _PlainUnpickler(file, path).load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises almost anything
        raise UserError(f"{path}: not readable as a pickle ({error}). {_REMEDY}") from error


def refer_sources(data: Path, dataset: Dataset) -> tuple[Path, Path]:
    """The two raw files of a REFER data set: objects, and expressions with their splits."""
    return data / dataset.folder / "instances.json", data / dataset.refs


def read_refer(data: Path, dataset: Dataset) -> Raw:
    """All records of a REFER data set, by split, in the order of the refs file."""
    instances_path, refs_path = refer_sources(data, dataset)
    instances = read_json(instances_path, _REMEDY)
    for key in ("images", "annotations"):
        if not isinstance(instances, dict) or key not in instances:
            raise UserError(f"{instances_path}: no '{key}' in it. {_REMEDY}")
    images = _by_id(instances["images"], "image", instances_path)
    annotations = _by_id(instances["annotations"], "annotation", instances_path)
    categories = {entry["id"]: entry["name"] for entry in instances.get("categories", [])}
    splits: dict[str, list[Record]] = {split: [] for split in dataset.splits}
    other: dict[str, int] = {}
    for ref in _checked(read_pickle(refs_path), "ref", refs_path):
        record = _record(ref, images, annotations, categories, refs_path, instances_path)
        if ref["split"] in splits:
            splits[ref["split"]].append(record)
        else:
            other[ref["split"]] = other.get(ref["split"], 0) + 1
    if other:
        log.warning("%s: left out objects of splits that are not %s's: %s",
                    refs_path, dataset.name, other)  # fmt: skip
    if not any(splits.values()):
        raise UserError(f"{refs_path}: no object in any of {', '.join(splits)}. {_REMEDY}")
    found = {split: records for split, records in splits.items() if records}
    return Raw(found, data / dataset.images, (instances_path, refs_path))


def _checked(entries: Any, kind: str, path: Path) -> Iterable[dict[str, Any]]:
    """The entries, each with the keys that its kind needs."""
    if not isinstance(entries, list):
        raise UserError(f"{path}: expected a list of {kind}s. {_REMEDY}")
    for number, entry in enumerate(entries):
        for key in _NEEDED[kind]:
            if not isinstance(entry, dict) or key not in entry:
                raise UserError(f"{path}: {kind} number {number} has no '{key}'. {_REMEDY}")
        yield entry


def _by_id(entries: Any, kind: str, path: Path) -> dict[int, dict[str, Any]]:
    return {entry["id"]: entry for entry in _checked(entries, kind, path)}


def _record(
    ref: dict[str, Any],
    images: dict[int, dict[str, Any]],
    annotations: dict[int, dict[str, Any]],
    categories: dict[int, str],
    refs_path: Path,
    instances_path: Path,
) -> Record:
    where = f"{refs_path}, ref_id {ref['ref_id']}"
    for kind, key, known in (("annotation", "ann_id", annotations), ("image", "image_id", images)):
        if ref[key] not in known:
            raise UserError(
                f"{where}: its {key} {ref[key]} is no {kind} of {instances_path}. The two files "
                "are not of the same release; get both again."
            )
    image, annotation = images[ref["image_id"]], annotations[ref["ann_id"]]
    if annotation["image_id"] != ref["image_id"]:
        raise UserError(
            f"{where}: says image {ref['image_id']}, but annotation {ref['ann_id']} of "
            f"{instances_path} says image {annotation['image_id']}. Get both files again."
        )
    return Record(
        segment_id=str(ref["ref_id"]),
        image=image["file_name"],
        size=(int(image["height"]), int(image["width"])),
        sentences=tuple(_sentences(ref["sentences"], where)),
        shape=annotation["segmentation"],
        where=f"{instances_path}, annotation {annotation['id']}",
        category=categories.get(annotation.get("category_id"), ""),
        bbox=tuple(annotation.get("bbox", ())),
    )


def _sentences(sentences: Any, where: str) -> Iterable[Sentence]:
    if not isinstance(sentences, list) or not sentences:
        raise UserError(f"{where}: no sentences. Remove the object or give it expressions.")
    for number, sentence in enumerate(sentences):
        text = sentence.get("sent") if isinstance(sentence, dict) else sentence
        name = f"sentence {number}"
        if isinstance(sentence, dict) and "sent_id" in sentence:
            name += f" (sent_id {sentence['sent_id']})"
        kind = sentence.get("kind", "") if isinstance(sentence, dict) else ""
        yield Sentence(clean_sentence(text, f"{where}, {name}"), kind)
