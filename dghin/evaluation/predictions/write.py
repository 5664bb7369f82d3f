"""Answers as JSONL that `read_predictions` reads back, and what a model is asked, in the same form.

    lines = (answer_line(mask, expression) for mask, expression in answers)
    write_answers(Path("predictions.jsonl"), lines)

    items = [request("shuffled", "val", expression, sentence="words of another photo")]
    write_answers(Path("requests.jsonl"), items)

Who has only files to hand over answers every line of requests for its `image` and `sentence`, and
hands it back with the mask as `size` and `counts`: `read_predictions(path, splits, control=...)`.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.files import atomic_path
from data_preprocess.raw.segmentation import run_lengths
from dghin.data.split import Expression


def answer_line(
    mask: np.ndarray, expression: Expression, no_target: bool | None = None
) -> dict[str, Any]:
    """An answer, a mask (H, W) of foreground or not, as an entry with the names that it goes by.

    no_target: whether the model itself says that nothing is meant; None where it cannot say so.
    """
    if mask.ndim != 2:
        raise ValueError(f"a mask (H, W) is expected, not the shape {mask.shape}")
    said = {} if no_target is None else {"no_target": bool(no_target)}
    return names(expression) | said | run_lengths(mask)


def request(
    control: str,
    split: str,
    expression: Expression,
    sentence: str | None = None,
    image: str | None = None,
) -> dict[str, Any]:
    """A line of requests; sentence and image: those to ask with, where the control changes them."""
    changed = {"sentence": sentence, "image": image}
    changed = {key: value for key, value in changed.items() if value is not None}
    return {"control": control, "split": split} | names(expression) | changed


def names(expression: Expression) -> dict[str, Any]:
    """What an expression is named by, in entries of answers and of requests."""
    return {
        "segment_id": expression.segment_id,
        "sentence_index": expression.sentence_index,
        "sent_id": expression.sent_id,
        "image": expression.image,
        "sentence": expression.sentence,
    }


def write_answers(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write entries as JSONL, the whole file or nothing; they may come one by one."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
