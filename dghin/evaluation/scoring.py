"""One row an expression: what is known of it, and what its answer scores. Needs no torch.

groups = image_groups(split, len(split))
row = row_of(split, index, truth, answer)     # Row(columns, mask)
frame = frame_of(rows, split)                 # a DataFrame, in the order of the split
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dghin.data.split import PreparedSplit

from .answers import AT_ONCE, Counts, as_answer
from .masks import compared
from .metrics import intersection_union

WHOLE = ("distractors", "depth")  # columns of whole numbers that may be unknown


class Row(NamedTuple):
    """A row's columns, and the mask that its first protocol makes; None where only counts are
    known."""

    columns: dict[str, Any]
    mask: np.ndarray | None


def image_groups(dataset: PreparedSplit, count: int) -> list[list[int]]:
    """The first `count` expressions, by image: each group is answered together.

    A group depends on the data only, and so does its arithmetic: no number of ranks or workers,
    and no size of batches, changes a digit of the result. The number of CPU threads can: sums are
    then added up in another order, and a pixel whose two logits are all but equal may change
    sides (one of 957 unions did, by a pixel, between one thread and two). So the rows say how many
    there were, and `train.threads` sets them.
    """
    images: dict[str, list[int]] = {}
    for index in range(count):
        images.setdefault(dataset.expressions[index].image, []).append(index)
    return [
        members[start : start + AT_ONCE]
        for members in images.values()
        for start in range(0, len(members), AT_ONCE)
    ]


def row_of(dataset: PreparedSplit, index: int, truth: np.ndarray, given: Any) -> Row:
    """The row of one expression. given: an answer in any form (see dghin.evaluation.answers)."""
    columns = {"index": index, **describe(dataset, index, truth)}
    if isinstance(given, Counts):
        columns[f"{given.protocol}_intersection"] = given.intersection
        columns[f"{given.protocol}_union"] = given.union
        if given.no_target is not None:
            columns["no_target"] = given.no_target
        return Row(columns, None)
    answer = as_answer(given, truth.shape, dataset.name(index))
    found = compared(answer, truth, dataset.expressions[index].bbox)
    return Row(columns | found.columns, found.mask)


def describe(dataset: PreparedSplit, index: int, truth: np.ndarray) -> dict[str, Any]:
    """The columns of a row that do not depend on the model."""
    expression = dataset.expressions[index]
    return {
        "dataset": dataset.dataset,
        "split": dataset.split,
        "segment_id": expression.segment_id,
        "sentence_index": expression.sentence_index,
        "sent_id": expression.sent_id,
        "ann_id": expression.ann_id,
        "image_id": expression.image_id,
        "sentence": expression.sentence,
        "kind": expression.kind,
        "image": expression.image,
        "length": expression.length,
        "targets": expression.targets,
        "distractors": expression.distractors,
        "depth": expression.depth,
        "height": truth.shape[0],
        "width": truth.shape[1],
        "area": int(truth.sum()),
    }


def add_agreement(row: Row, read: str, plain: np.ndarray | None) -> Row:
    """A control's row with the words that were read, and how far its mask is the one before.

    plain: the mask of the same expression as it is; None where it is not known.
    """
    columns = row.columns | {"read": read}
    if row.mask is not None and plain is not None:
        same = intersection_union(row.mask, plain)
        columns["agreement_intersection"], columns["agreement_union"] = same
    return Row(columns, row.mask)


def frame_of(rows: Sequence[dict[str, Any]], expected: int, split: str) -> pd.DataFrame:
    """Rows of all ranks in the order of the split; a wrong number of them is an error."""
    if len(rows) != expected:
        raise RuntimeError(f"{len(rows)} rows for {expected} expressions of {split}")
    frame = pd.DataFrame(rows)
    if len(frame):
        frame = frame.sort_values("index").drop(columns="index").reset_index(drop=True)
        kinds = {name: "Int64" for name in WHOLE}
        kinds |= {"no_target": "boolean"} if "no_target" in frame else {}
        frame = frame.astype(kinds)
    return frame
