"""RefCOCO-M: RefCOCO's val split with finer masks, a row a photo, the photo inside.

https://huggingface.co/datasets/moondream/refcoco-m (MIT; its card lists the columns): image,
image_id, file_name, samples; a sample has id, category, sentences, bbox (x y width height) and
mask, which is run lengths. It is Parquet; the rows as JSON or JSON Lines, then without photos, are
read, too. 47 % of RefCOCO's objects were left out, so others of a class are unknown.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path, json_lines, read_json
from data_preprocess.base.paths import safe_id, safe_path
from data_preprocess.base.values import four_numbers, image_shape, short_text, shown
from data_preprocess.raw.datasets import Dataset
from data_preprocess.raw.records import Record
from data_preprocess.raw.refer import read_sentences
from data_preprocess.raw.segmentation import check_form

from .entries import AGAIN, listed, needed, parquet_columns, parquet_rows, split_name

MARK = "samples"  # the column that tells this form from others
PHOTO = "image"
_COLUMNS = ("image_id", "file_name", MARK)
_SPLIT = re.compile(r"(train|validation|val|test)(?=[-_.])")
_START = 4096  # bytes of a file
_PHOTOS = 8  # rows with photos that are in memory at once


def read_refcoco_m(paths: Iterable[Path], dataset: Dataset) -> Iterator[tuple[str, Record]]:
    """(split, record) of every sample. The split is the one in the file's name, else val."""
    for path in paths:
        named = _SPLIT.match(path.name)
        split = split_name(named[1] if named else "val", dataset, str(path))
        for number, row in _rows(path):
            where = f"{path}, row {number}"
            needed(row, _COLUMNS, where)
            for index, sample in enumerate(listed(row[MARK], where, f"'{MARK}'")):
                yield split, _record(sample, row, f"{where}, sample {index}")


def has_photos(path: Path) -> bool:
    """Whether the photos are inside of the file."""
    return path.suffix == ".parquet" and PHOTO in parquet_columns(path)


def is_json(path: Path, named: bool) -> bool:
    """Whether a file is RefCOCO-M's rows as JSON: by its name, or, where a user has named it, by
    what its first row has."""
    if path.suffix not in (".json", ".jsonl"):
        return False
    if "refcoco-m" in path.name.lower() or not named:
        return "refcoco-m" in path.name.lower()
    with open(path, "rb") as file:
        return f'"{MARK}"'.encode() in file.read(_START)


def write_photos(paths: Iterable[Path], folder: Path) -> int:
    """Write the photos inside of the files into a folder, those that are not there; how many.

    Each is written under another name and renamed, so one that is there is whole.
    """
    written = 0
    for path in paths:
        for number, row in parquet_rows(path, ("file_name", PHOTO), _PHOTOS):
            where = f"{path}, row {number}"
            target = folder / safe_path(row["file_name"], where, "file_name")
            if target.is_file():
                continue
            content = row[PHOTO].get("bytes") if isinstance(row[PHOTO], dict) else None
            if not isinstance(content, bytes) or not content:
                raise UserError(
                    f"{where}: '{PHOTO}' has no bytes of a photo. {AGAIN} If the photos are "
                    "elsewhere, give their folder with images=FOLDER."
                )
            with atomic_path(target, sync=False) as temporary:
                temporary.write_bytes(content)
            written += 1
    return written


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Rows without their photos."""
    if path.suffix == ".parquet":
        yield from parquet_rows(path, _COLUMNS)
    elif path.suffix == ".jsonl":
        yield from json_lines(path, AGAIN)
    else:
        yield from enumerate(listed(read_json(path, AGAIN), str(path), "the file"))


def _record(sample: Any, row: dict[str, Any], where: str) -> Record:
    needed(sample, ("id", "sentences", "mask"), where)
    number = safe_id(sample["id"], where, "id")
    where += f" (id {number})"
    mask = needed(sample["mask"], ("counts", "size"), f"{where}, mask")
    check_form(mask, where)
    if sample.get("image_id", row["image_id"]) != row["image_id"]:
        raise UserError(
            f"{where}: image_id {shown(sample['image_id'])}, but that of its row is "
            f"{shown(row['image_id'])}. {AGAIN}"
        )
    return Record(
        segment_id=str(number),
        image=safe_path(row["file_name"], where, "file_name"),
        size=image_shape(*mask["size"], where, AGAIN),
        sentences=tuple(read_sentences(sample["sentences"], where)),
        shape={"size": list(mask["size"]), "counts": mask["counts"]},
        where=where,
        category=short_text(sample.get("category"), where, "category", AGAIN),
        bbox=four_numbers(sample.get("bbox"), where, AGAIN),
        ids={"ann_id": number, "image_id": safe_id(row["image_id"], where, "image_id")},
    )
