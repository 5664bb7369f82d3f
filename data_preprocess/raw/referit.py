"""The ReferIt layout (berkeley split): query files, and one .mat mask an image region."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.base.paths import safe_id
from data_preprocess.base.values import four_numbers, image_shape, short_text, shown

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
            safe_id(region, path.as_posix(), "region")  # it names a mask and an image
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
    return name.rpartition("/")[2].partition("_")[0].partition(".")[0] in UNREADABLE


def without_unreadable(raw: Raw) -> Raw:
    """The records whose images someone can read, and how many others there were in each split."""
    splits = {
        split: [record for record in records if not is_unreadable(record.image)]
        for split, records in raw.splits.items()
    }
    gone = {split: len(raw.splits[split]) - len(records) for split, records in splits.items()}
    dropped = {split: count for split, count in gone.items() if count}
    splits = {split: records for split, records in splits.items() if records}
    if not splits:
        raise UserError(f"{raw.sources[0]}: no object but those of unreadable images. {_REMEDY}")
    if dropped:
        log.info("left out the unreadable images %s: %s objects", ", ".join(UNREADABLE), dropped)
    return replace(raw, splits=splits, dropped={**raw.dropped, **dropped})


def _optional(path: Path) -> dict[str, Any]:
    found = read_json(path, _REMEDY) if path.is_file() else {}
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected values by region or image. {_REMEDY}")
    return found


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
    names = _kinds(kinds.get(region, ""), len(texts), where)
    sentences = (
        Sentence(clean_sentence(text, f"{where}, sentence {index}"), kind)
        for index, (text, kind) in enumerate(zip(texts, names, strict=True))
    )
    return Record(
        segment_id=number,
        image=image,
        size=_size(sizes.get(image), f"{where}, image {image} in referit_imsize.json"),
        sentences=tuple(sentences),
        shape=masks / f"{region}.mat",
        where=where,
        bbox=_box(boxes.get(region), f"{where} in referit_bbox.json"),
    )


def _kinds(names: Any, count: int, where: str) -> list[str]:
    """The kind of every expression of a region, from one for all or a list."""
    names = names if isinstance(names, list) else [names] * count
    if len(names) != count:
        raise UserError(
            f"{where}: {count} expressions, but {len(names)} kinds in referit_kind.json. "
            "Make the embedded data set again."
        )
    return [short_text(name, where, "kind in referit_kind.json", _REMEDY) for name in names]


def _size(sides: Any, where: str) -> tuple[int, int] | None:
    """ReferIt's [width, height] as (height, width)."""
    if sides is None:
        return None
    if not isinstance(sides, list) or len(sides) != 2:
        raise UserError(f"{where}: {shown(sides)} is not a width and a height. {_REMEDY}")
    return image_shape(sides[1], sides[0], where, _REMEDY)


def _box(corners: Any, where: str) -> tuple[float, ...]:
    """ReferIt's inclusive corners (x0, y0, x1, y1) as COCO's (x, y, width, height)."""
    corners = four_numbers(corners, where, _REMEDY)
    if not corners:
        return ()
    x0, y0, x1, y1 = corners
    return (x0, y0, x1 - x0 + 1, y1 - y0 + 1)
