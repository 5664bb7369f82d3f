"""A table of expressions as JSON Lines: a line an object, outlines and run lengths inside.

    {"image": "cat.jpg", "split": "train", "expression": ["the cat", "the cat on the left"],
     "segmentation": [[10, 10, 90, 10, 90, 70]]}
    {"image": "cat.jpg", "split": "val", "expression": "both", "annotation": [12, 13]}

The names are those of the columns of a CSV table (custom.py); `segmentation` is COCO's: polygons,
run lengths, or a list of run lengths. An expression that means nothing has "annotation": "none".
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import json_lines
from data_preprocess.base.values import shown
from data_preprocess.raw.segmentation import check_form

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz")
SEGMENTATION = "segmentation"
_CORRECT = "Correct the line."
_TEXTS = ("image", "split", "mask", "kind", "category")


def is_json_table(path: Path) -> bool:
    """Whether a table is JSON Lines, by its name."""
    return path.name.endswith(SUFFIXES)


def read_json_table(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of every expression, as of a CSV table; `segmentation` is the
    JSON text of one, empty where the line has none."""
    known = (*columns, SEGMENTATION)
    for number, line in json_lines(path, "Give a table with a JSON object a line."):
        where = f"{path}, line {number}"
        if not isinstance(line, dict) or not line.keys() <= set(known):
            wrong = sorted(line.keys() - set(known)) if isinstance(line, dict) else shown(line)
            raise UserError(f"{where}: {wrong} is unknown. A line is an object with {known}.")
        cells = dict.fromkeys(known, "")
        for name in _TEXTS:
            cells[name] = _text(line.get(name), name, where)
        cells["annotation"] = _annotations(line.get("annotation"), where)
        if line.get(SEGMENTATION) is not None:
            _check_segmentation(line[SEGMENTATION], where)
            cells[SEGMENTATION] = json.dumps(line[SEGMENTATION])
        said = line.get("expression")
        for text in said if isinstance(said, list) and said else [said]:
            yield number, {**cells, "expression": _text(text, "expression", where)}


def _text(value: Any, name: str, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{where}: {name} {shown(value)} is no text. {_CORRECT}")
    return value.strip()


def _annotations(value: Any, where: str) -> str:
    """An annotation, or several, as the cell of a CSV table: 12;13."""
    listed = value if isinstance(value, list) else [] if value is None else [value]
    for number in listed:
        if isinstance(number, bool) or not isinstance(number, int | str):
            raise UserError(f"{where}: annotation {shown(number)} is no id. {_CORRECT}")
    return ";".join(str(number).strip() for number in listed)


def _check_segmentation(value: Any, where: str) -> None:
    check_form(value, where)
    if not value:
        raise UserError(
            f"{where}: segmentation {shown(value)} marks nothing. If the expression means nothing "
            'in the image, write "annotation": "none" instead.'
        )
