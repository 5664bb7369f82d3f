"""The ReferIt layout (berkeley split): query files, and one .mat mask an image region."""

import logging
from pathlib import Path
from typing import Any

from .common import UserError, read_json
from .datasets import Dataset
from .records import Raw, Record, Sentence, clean_sentence

log = logging.getLogger(__name__)

UNREADABLE = ("19579", "17975", "19575")  # images that the release holds in no readable form
_REMEDY = "Put the file of the ReferIt release there (see 'Real data' in the README)."


def read_referit(data: Path, dataset: Dataset, drop: bool = True) -> Raw:
    """All records of ReferIt, by split. Neither the images nor the masks are opened.

    Objects are numbered over the keys of trainval, then test goes on (the original's numbers);
    the images that no one can read are left out (`drop`) and leave gaps.
    """
    folder = data / dataset.folder
    sizes = _optional(folder / "referit_imsize.json")
    boxes = _optional(folder / "referit_bbox.json")
    kinds = _optional(folder / "referit_kind.json")
    masks = data / "images" / "referit" / "mask"
    splits: dict[str, list[Record]] = {}
    dropped: dict[str, int] = {}
    sources = []
    number = 0
    for split in dataset.splits:
        path = folder / f"referit_query_{split}.json"
        queries = read_json(path, _REMEDY)
        if not isinstance(queries, dict):
            raise UserError(f"{path}: expected regions with their expressions. {_REMEDY}")
        sources.append(path)
        splits[split] = []
        for region, texts in queries.items():
            if drop and is_unreadable(region):
                dropped[split] = dropped.get(split, 0) + 1
            else:
                record = _record(str(number), region, texts, path, masks, sizes, boxes, kinds)
                splits[split].append(record)
            number += 1
    if dropped:
        log.info("left out the unreadable images %s: %s objects", ", ".join(UNREADABLE), dropped)
    found = {split: records for split, records in splits.items() if records}
    if not found:
        raise UserError(f"{sources[0]}: no region in it, nor in the other splits. {_REMEDY}")
    return Raw(found, data / dataset.images, tuple(sources), dropped)


def is_unreadable(name: str) -> bool:
    """Whether a region ("19579_3") or image ("19579.jpg") is of an image that no one can read."""
    return name.partition("_")[0].partition(".")[0] in UNREADABLE


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path, _REMEDY) if path.is_file() else {}


def _record(
    number: str,
    region: str,
    texts: Any,
    path: Path,
    masks: Path,
    sizes: dict[str, Any],
    boxes: dict[str, Any],
    kinds: dict[str, Any],
) -> Record:
    where = f"{path}, region {region}"
    if not isinstance(texts, list) or not texts:
        raise UserError(f"{where}: no expressions. Remove the region or give it some.")
    image = f"{region.partition('_')[0]}.jpg"
    width, height = sizes.get(image, (None, None))
    names = kinds.get(region, [""] * len(texts))
    names = [names] * len(texts) if isinstance(names, str) else names
    if len(names) != len(texts):
        raise UserError(
            f"{where}: {len(texts)} expressions, but {len(names)} kinds in referit_kind.json. "
            "Make the embedded data set again."
        )
    sentences = (
        Sentence(clean_sentence(text, f"{where}, sentence {index}"), kind)
        for index, (text, kind) in enumerate(zip(texts, names, strict=True))
    )
    return Record(
        segment_id=number,
        image=image,
        size=None if height is None else (int(height), int(width)),
        sentences=tuple(sentences),
        shape=masks / f"{region}.mat",
        where=where,
        bbox=_box(boxes.get(region)),
    )


def _box(corners: Any) -> tuple[int, ...]:
    """ReferIt's inclusive corners (x0, y0, x1, y1) as COCO's (x, y, width, height)."""
    if corners is None:
        return ()
    x0, y0, x1, y1 = corners
    return (x0, y0, x1 - x0 + 1, y1 - y0 + 1)
