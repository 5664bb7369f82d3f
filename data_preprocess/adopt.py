"""Prepared data of the original (data_v3/anns and masks) -> language features and a manifest.

Annotations and masks are read, never written.
"""

import logging
from pathlib import Path
from typing import Any

from .common import UserError, read_json
from .datasets import Dataset, find_raw_dataset
from .guards import shown
from .manifest import annotation_path, manifest_path, split_entry, versions, write_manifest
from .mask_files import existing_digests, masks_digest
from .paths import safe_id, safe_path
from .prepare import LanguageSettings, command, images_folder, write_language
from .records import clean_sentence

log = logging.getLogger(__name__)

_REMEDY = "Prepare the data set anew: python -m data_preprocess prepare DATASET data=RAW."


def adopt(settings: LanguageSettings) -> dict[str, Any]:
    """Add language features and a manifest to prepared data; returns the manifest."""
    dataset = find_raw_dataset(settings.dataset)
    root = settings.root
    _link_refcocog(root, dataset)
    entries = {
        split: read_entries(annotation_path(root, dataset.name, split))
        for split in dataset.splits
        if annotation_path(root, dataset.name, split).is_file()
    }
    if not entries:
        raise UserError(
            f"{root / 'anns' / dataset.name}: no {' or '.join(s + '.json' for s in dataset.splits)}"
            f". Give the prepared root with output=FOLDER. {_REMEDY}"
        )
    everything = [entry for listed in entries.values() for entry in listed]
    _check_images(everything, Path(settings.data) / dataset.images)
    names = sorted({str(entry["segment_id"]) for entry in everything})
    masks = existing_digests(root / "masks" / dataset.name, names)
    language = write_language(settings, entries)
    manifest = {
        "dataset": dataset.name,
        "source": dataset.reader,
        "split_by": dataset.split_by,
        "splits": {
            split: split_entry(root, dataset.name, split, listed)
            for split, listed in entries.items()
        },
        "masks": {"count": len(masks), "sha256": masks_digest(masks)},
        "language": language,
        "images_folder": images_folder(settings, dataset),
        "per_sentence_masks": all(len(entry["sentences"]) == 1 for entry in everything),
        "dropped": {},
        "adopted": True,
        "versions": versions(),
        "command": command("adopt", settings),
    }
    write_manifest(root, manifest)
    return manifest


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
    return entries


def _check_sentences(sentences: Any, where: str) -> None:
    if not isinstance(sentences, list):
        raise UserError(f"{where}: its sentences {shown(sentences)} are no list. {_REMEDY}")
    for sentence in sentences:
        if not isinstance(sentence, dict) or not isinstance(sentence.get("idx"), int | str):
            raise UserError(f"{where}: a sentence without 'idx'. {_REMEDY}")
        clean_sentence(sentence.get("sent"), f"{where}, sentence {shown(sentence['idx'])}")


def _check_images(entries: list[dict[str, Any]], images: Path) -> None:
    for name in sorted({entry["img_name"] for entry in entries}):
        if not (images / name).is_file():
            raise UserError(
                f"{images / name}: no such image, but the annotations name it. Give the raw root "
                "with data=FOLDER."
            )


def _link_refcocog(root: Path, dataset: Dataset) -> None:
    """The original keeps both RefCOCOg splits under `refcocog`: link our name to it."""
    old = dataset.folder
    for kind in ("anns", "masks"):
        folder, theirs = root / kind / dataset.name, root / kind / old
        if old != dataset.name and theirs.is_dir() and not folder.exists():
            folder.symlink_to(old)
            log.info("%s: linked to %s; check with 'verify' whose split it holds", folder, old)
    if old != dataset.name and manifest_path(root, dataset.name).is_file():
        found = read_json(manifest_path(root, dataset.name), "Remove it.")["dataset"]
        if found != dataset.name:
            raise UserError(
                f"{manifest_path(root, dataset.name)}: adopted as {found} already, so it cannot "
                f"be {dataset.name} too: the original overwrites one with the other. {_REMEDY}"
            )
