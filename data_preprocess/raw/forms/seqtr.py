"""SeqTR's instances.json: {split: [object, ...]}, an object with its expressions and its mask.

https://github.com/sean-zhuh/SeqTR: seqtr/datasets/ reads image_id, expressions, bbox (COCO's x y
width height), mask (polygons or run lengths), width, height, category_id. It names photos
COCO_train2014_<image_id>.jpg. Objects have no id: they are numbered over the file. Only those
that are referred to are in it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.base.paths import safe_path
from data_preprocess.base.values import four_numbers, image_shape, shown, whole
from data_preprocess.raw.datasets import Dataset
from data_preprocess.raw.records import Record
from data_preprocess.raw.refer import read_sentences
from data_preprocess.raw.segmentation import check_form

from .coco_names import category_name
from .entries import AGAIN, listed, needed, split_name

_NEEDED = ("image_id", "expressions", "mask", "width", "height")
_OF_COCO = ("images", "annotations", "categories", "info", "licenses")


def read_seqtr(path: Path, dataset: Dataset) -> Iterator[tuple[str, Record]]:
    """(split, record) of every object, in the order of the file."""
    content = read_json(path, AGAIN)
    if not isinstance(content, dict) or not content or set(content) & set(_OF_COCO):
        keys = ", ".join(map(shown, content)) if isinstance(content, dict) else shown(content)
        raise UserError(
            f"{path}: expected splits with a list of objects each, not {keys[:200]}. If it is a "
            "COCO file beside refs(*).p, say form=refer."
        )
    number = 0
    for name, objects in content.items():
        split = split_name(name, dataset, str(path))
        for index, entry in enumerate(listed(objects, str(path), f"split '{name}'")):
            yield split, _record(str(number), entry, dataset, f"{path}, {name}, object {index}")
            number += 1


def is_seqtr(path: Path) -> bool:
    """Whether the file's first bytes say a split, and not a list of COCO's."""
    with open(path, "rb") as file:
        start = file.read(200).decode("utf-8", "replace").lstrip("\ufeff \t\r\n{")
    key, separator, rest = start.lstrip('"').partition('"')
    is_list = rest.lstrip(" \t\r\n:").startswith("[")
    return bool(separator) and key not in _OF_COCO and is_list


def _record(number: str, entry: Any, dataset: Dataset, where: str) -> Record:
    needed(entry, _NEEDED, where)
    check_form(entry["mask"], where)
    return Record(
        segment_id=number,
        image=_photo(entry, where),
        size=image_shape(entry["height"], entry["width"], where, AGAIN),
        sentences=tuple(read_sentences(entry["expressions"], where)),
        shape=entry["mask"],
        where=where,
        category=category_name(entry.get("category_id"), dataset),
        bbox=four_numbers(entry.get("bbox"), where, AGAIN),
        ids={"image_id": entry["image_id"]},
    )


def _photo(entry: dict[str, Any], where: str) -> str:
    """The name of the photo: as it is given, or COCO's for the number."""
    if "file_name" in entry:
        return safe_path(entry["file_name"], where, "file_name")
    number = whole(entry["image_id"], 0)
    if number is None:
        raise UserError(
            f"{where}: image_id {shown(entry['image_id'])} is no whole number, so the photo has no "
            "name. Correct it, or add file_name to every object."
        )
    return f"COCO_train2014_{number:012d}.jpg"
