"""jxu124/refcoco, jxu124/refcocoplus, jxu124/refcocog: Parquet, a row an object.

https://huggingface.co/datasets/jxu124/refcoco (the card lists the columns). `raw_anns` and
`raw_image_info` are REFER's annotation and image as JSON text. `bbox` is x1 y1 x2 y2, while the
one inside raw_anns is COCO's. The hub's split `test` of refcoco and refcocoplus is testA; the
splits are those of unc and, for refcocog, of umd. Only objects that are referred to are in it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.paths import safe_id, safe_path
from data_preprocess.base.values import four_numbers, image_shape, shown
from data_preprocess.raw.datasets import Dataset
from data_preprocess.raw.records import Record
from data_preprocess.raw.refer import raw_ids, read_sentences
from data_preprocess.raw.segmentation import check_form

from .coco_names import category_name
from .entries import AGAIN, from_corners, json_text, needed, parquet_rows, split_name

MARK = "raw_anns"  # the column that tells this form from others
_COLUMNS = ("ref_id", "ann_id", "image_id", "split", "sentences", MARK, "raw_image_info", "bbox")
_NEEDED = _COLUMNS[:-1]


def read_hub(paths: Iterable[Path], dataset: Dataset) -> Iterator[tuple[str, Record]]:
    """(split, record) of every row, in the order of the files."""
    for path in paths:
        for number, row in parquet_rows(path, _COLUMNS):
            where = f"{path}, row {number}"
            needed(row, _NEEDED, where)
            where += f" (ref_id {safe_id(row['ref_id'], where, 'ref_id')})"
            yield split_name(row["split"], dataset, where), _record(row, dataset, where)


def _record(row: dict[str, Any], dataset: Dataset, where: str) -> Record:
    info = json_text(row["raw_image_info"], where, "raw_image_info")
    annotation = json_text(row[MARK], where, MARK)
    needed(info, ("file_name", "height", "width"), f"{where}, raw_image_info")
    needed(annotation, ("segmentation",), f"{where}, {MARK}")
    for kind, found, key, name in (
        ("raw_image_info", info, "id", "image_id"),
        (MARK, annotation, "id", "ann_id"),
        (MARK, annotation, "image_id", "image_id"),
    ):
        safe_id(row[name], where, name)
        if found.get(key, row[name]) != row[name]:
            raise UserError(
                f"{where}: {name} {row[name]}, but '{key}' of its {kind} is {shown(found[key])}. "
                f"{AGAIN}"
            )
    check_form(annotation["segmentation"], where)
    box = four_numbers(annotation.get("bbox"), f"{where}, {MARK}", AGAIN)
    return Record(
        segment_id=str(row["ref_id"]),
        image=safe_path(info["file_name"], where, "file_name"),
        size=image_shape(info["height"], info["width"], f"{where}, raw_image_info", AGAIN),
        sentences=tuple(read_sentences(row["sentences"], where)),
        shape=annotation["segmentation"],
        where=where,
        category=category_name(annotation.get("category_id"), dataset),
        bbox=box or from_corners(row["bbox"], where),
        ids=raw_ids(row),
    )
