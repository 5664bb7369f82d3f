"""Prepared data of the original (data_v3/anns and masks) -> language features and a manifest.

Annotations and masks are read, never written. CRIS's prepared folder has the same layout (and so
has that of every project that began with its data_process.py): anns/<set>/<split>.json, and
masks/<set>/<segment_id>.png. Its boxes are x1 y1 x2 y2; which they are, the masks tell.
"""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.base.values import four_numbers
from data_preprocess.prepared.one_dataset import (
    LanguageSettings,
    count_unread,
    ids_of,
    write_language,
)
from data_preprocess.raw.datasets import Dataset, find_raw_dataset, true_name

from .annotations import CORNERS, read_entries
from .manifest import (
    annotation_path,
    command,
    images_folder,
    manifest_path,
    masks_path,
    relative,
    split_entry,
    versions,
    write_manifest,
)
from .mask_files import existing_digests, masks_digest

log = logging.getLogger(__name__)

_LOOKED_AT = 50  # masks
_REMEDY = "Prepare the data set anew: dghin data prepare DATASET data=RAW."


def adopt(settings: LanguageSettings) -> dict[str, Any]:
    """Add language features and a manifest to prepared data; returns the manifest.

    settings: AdoptSettings, or others with `images`; without it, photos are where the raw data
    set has them.
    """
    dataset = find_raw_dataset(true_name(settings.dataset, Path(settings.data)))
    settings, root = replace(settings, dataset=dataset.name), settings.root
    _link_refcocog(root, dataset)
    entries = {
        split: read_entries(annotation_path(root, dataset.name, split))
        for split in dataset.splits
        if annotation_path(root, dataset.name, split).is_file()
    }
    if not entries:
        folder = manifest_path(root, dataset.name).parent
        raise UserError(
            f"{folder}: no {' or '.join(s + '.json' for s in dataset.splits)}. Give the prepared "
            f"root with output=FOLDER. {_REMEDY}"
        )
    everything = [entry for listed in entries.values() for entry in listed]
    given = getattr(settings, "images", "")
    photos = Path(given) if given else Path(settings.data) / dataset.images
    _check_images(everything, photos)
    names = sorted({str(entry["segment_id"]) for entry in everything})
    masks = existing_digests(masks_path(root, dataset.name), names)
    encoder = write_language(settings, entries)
    unread = count_unread(settings, entries, encoder)
    manifest = {
        "dataset": dataset.name,
        "source": dataset.reader,
        "split_by": dataset.split_by,
        "splits": {
            split: split_entry(root, dataset.name, split, listed, encoder.end_id) | unread[split]
            for split, listed in entries.items()
        },
        "masks": {"count": len(masks), "sha256": masks_digest(masks)},
        "language": encoder.key(),
        **ids_of(encoder, unread),
        "images_folder": relative(photos, root) if given else images_folder(settings, dataset),
        "per_sentence_masks": all(len(entry["sentences"]) == 1 for entry in everything),
        "dropped": {},
        "adopted": True,
        **_form_of_boxes(everything, masks_path(root, dataset.name)),
        "versions": versions(),
        "command": command(
            "adopt", replace(settings, images=relative(photos, root)) if given else settings
        ),
    }
    write_manifest(root, manifest)
    return manifest


def _form_of_boxes(entries: list[dict[str, Any]], masks: Path) -> dict[str, str]:
    """What a manifest says of the boxes: corners, if they fit the first masks better as such."""
    fits: Counter[bool] = Counter()
    for entry in entries[:_LOOKED_AT]:
        path = masks / f"{entry['segment_id']}.png"
        box = four_numbers(entry.get("bbox"), f"{path}, bbox", _REMEDY)
        rows, columns = np.nonzero(np.asarray(Image.open(path).convert("L"))) if box else ((), ())
        if len(rows):
            end = np.array([columns.max() + 1, rows.max() + 1])
            start, last = np.array(box[:2]), np.array(box[2:])
            fits[bool(abs(last - end).sum() < abs(start + last - end).sum())] += 1
    return {"boxes": CORNERS} if fits[True] > fits[False] else {}


def _check_images(entries: list[dict[str, Any]], images: Path) -> None:
    for name in sorted({entry["img_name"] for entry in entries}):
        if not (images / name).is_file():
            raise UserError(
                f"{images / name}: no such image, but the annotations name it. Give the raw root "
                "with data=FOLDER, or their folder with images=FOLDER."
            )


def _link_refcocog(root: Path, dataset: Dataset) -> None:
    """The original keeps both RefCOCOg splits under `refcocog`: link our name to it.

    Its `refcoco` is nearly always the unc split, so that nothing is taken for refcoco_google.
    """
    old = dataset.folder
    if old != "refcocog":
        return
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
