"""Answers as JSONL that `read_predictions` reads back.

lines = (answer_line(mask, expression) for mask, expression in answers)
write_answers(Path("predictions.jsonl"), lines)
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.files import atomic_path
from dghin.data.split import Expression

from .run_lengths import run_lengths


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
