"""GSEval: GroundingSuite-Eval.jsonl, a line an expression with its own run lengths.

https://github.com/hustvl/GroundingSuite (Apache-2.0). A line has idx, image_path, class_id, label,
caption, box (x1 y1 x2 y2) and segmentation {size, counts}. Its photos are COCO's unlabeled2017.
There is one split, called `test` here. The category of a record is the class of the expression, by
which the authors break their scores down.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import json_lines
from data_preprocess.base.paths import safe_id, safe_path
from data_preprocess.base.values import image_shape, shown
from data_preprocess.raw.datasets import Dataset
from data_preprocess.raw.records import Record, Sentence, clean_sentence
from data_preprocess.raw.segmentation import check_form

from .entries import AGAIN, from_corners, needed, split_name

# the four classes of the paper, in this order by what the lines of each are about: smoke and roads,
# heads and screens, several windows or donuts, one flag
CLASSES = {1: "stuff", 2: "part", 3: "multi", 4: "single"}
SUFFIXES = (".jsonl", ".jsonl.gz")
_NEEDED = ("idx", "image_path", "caption", "segmentation")


def read_gseval(paths: Iterable[Path], dataset: Dataset) -> Iterator[tuple[str, Record]]:
    """("test", record) of every line."""
    for path in paths:
        split = split_name("test", dataset, str(path))
        for number, line in json_lines(path, AGAIN):
            yield split, _record(line, f"{path}, line {number}")


def is_gseval(path: Path) -> bool:
    """Whether the first line of a file has GSEval's keys."""
    if not path.name.endswith(SUFFIXES):
        return False
    try:
        first = [line for _, line in islice(json_lines(path, AGAIN), 1)]
    except UserError:
        return False
    return bool(first) and isinstance(first[0], dict) and first[0].keys() >= set(_NEEDED)


def _record(line: Any, where: str) -> Record:
    needed(line, _NEEDED, where)
    number = safe_id(line["idx"], where, "idx")
    where += f" (idx {number})"
    mask = needed(line["segmentation"], ("counts", "size"), f"{where}, segmentation")
    check_form(mask, where)
    kind = line.get("class_id")
    if kind is not None and kind not in CLASSES:
        known = ", ".join(f"{key} {name}" for key, name in CLASSES.items())
        raise UserError(f"{where}: class_id {shown(kind)} is none of {known}. {AGAIN}")
    return Record(
        segment_id=str(number),
        image=safe_path(line["image_path"], where, "image_path"),
        size=image_shape(*mask["size"], where, AGAIN),
        sentences=(Sentence(clean_sentence(line["caption"], where)),),
        shape={"size": list(mask["size"]), "counts": mask["counts"]},
        where=where,
        category=CLASSES.get(kind, ""),
        bbox=from_corners(line.get("box"), where),
    )
