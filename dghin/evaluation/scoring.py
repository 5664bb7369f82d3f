"""One row an expression: what is known of it, and what its answer scores. Needs no torch.

groups = image_groups(split, len(split))
row = row_of(split, index, truth, answer)     # Row(columns, mask)
frame = frame_of(rows, split)                 # a DataFrame, in the order of the split
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from data_preprocess.base.workers import run_tasks, workers_for
from data_preprocess.raw.segmentation import run_lengths
from dghin.data.split import PreparedSplit
from dghin.run.config import Config

from .answers import AT_ONCE, Counts, as_answer
from .masks import compared, intersection_union
from .segmenters.answerers import Answerer

if TYPE_CHECKING:
    from .controls import Altered

Rows = dict[str, list["Answered"]]  # by control

WHOLE = ("distractors", "depth", "cut")  # columns of whole numbers that may be unknown


class Answered(NamedTuple):
    """A row's columns, and its mask as run lengths; None where it is not known or not wanted."""

    columns: dict[str, Any]
    mask: dict[str, Any] | None


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


def row_of(
    dataset: PreparedSplit,
    index: int,
    truth: np.ndarray,
    given: Any,
    shown: tuple[int, int] | None = None,
) -> Row:
    """The row of one expression. given: an answer in any form (see dghin.evaluation.answers).

    shown: (height, width) of the photo that it is about, where that is another one (the control
    `other-image`): a mask at its size is stretched over this expression's photo.
    """
    columns = {"index": index, **describe(dataset, index, truth)}
    if isinstance(given, Counts):
        columns[f"{given.protocol}_intersection"] = given.intersection
        columns[f"{given.protocol}_union"] = given.union
        if given.no_target is not None:
            columns["no_target"] = given.no_target
        return Row(columns, None)
    answer = as_answer(given, shown or truth.shape, dataset.name(index))
    if answer.form == "mask" and shown:
        answer = replace(answer, values=_stretched(answer.values, truth.shape))
    found = compared(answer, truth, dataset.expressions[index].bbox)
    return Row(columns | found.columns, found.mask)


def _stretched(mask: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask (h, w) as large as `size`, by its nearest pixels: bool (H, W)."""
    image = Image.fromarray(np.asarray(mask).astype(np.uint8))
    return np.asarray(image.resize(size[::-1], Image.Resampling.NEAREST)) != 0


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
        "cut": None if expression.cut is None else int(expression.cut),
        "height": truth.shape[0],
        "width": truth.shape[1],
        "area": int(truth.sum()),
    }


def answered(row: Row) -> Answered:
    """A row as it is kept."""
    return Answered(row.columns, None if row.mask is None else run_lengths(row.mask))


def without_mask(row: Row) -> Answered:
    """A row of which nobody keeps the mask."""
    return Answered(row.columns, None)


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


class Pass(NamedTuple):
    """One image with the expressions of it that are answered together."""

    number: int
    image: Any  # what the answerer has loaded
    shown: Any  # the image in its place under the control `other-image`
    truths: list[np.ndarray]  # the expressions' masks at the photo's own size, (H, W) bool


class Passes:
    """What evaluation reads, pass by pass."""

    def __init__(
        self,
        answerer: Answerer,
        dataset: PreparedSplit,
        groups: list[list[int]],
        other: "Altered | None",
    ):
        self.load, self.dataset = answerer.load, dataset
        self.groups, self.other = groups, other

    def name(self, number: int) -> str:
        return self.dataset.name(self.groups[number][0])

    def __getitem__(self, number: int) -> Pass:
        members = self.groups[number]
        name = self.dataset.expressions[members[0]].image
        image = self.load(self.dataset, name)
        shown = self.load(self.dataset, self.other.image(name)) if self.other else None
        return Pass(number, image, shown, [self.dataset.truth(index) for index in members])


class Scorer:
    """The rows of groups of expressions, by control."""

    def __init__(
        self,
        answerer: Answerer,
        dataset: PreparedSplit,
        altered: "Mapping[str, Altered]",
        with_masks: bool,
    ):
        """with_masks: whether the answers' masks are wanted, too, as run lengths."""
        self.answerer, self.dataset, self.altered = answerer, dataset, altered
        self.pack = answered if with_masks else without_mask

    def chosen(self, members: Sequence[int]) -> dict[str, list[int]]:
        """Which of a group's expressions are scored, by control."""
        return {
            control: np.intersect1d(members, inputs.indices).tolist()
            for control, inputs in self.altered.items()
        }

    def run(self, groups: list[list[int]], config: Config) -> Iterator[tuple[list[int], Rows]]:
        """Every group with its rows: photos are read ahead; without photos, on all cores."""
        if not self.answerer.reads_photos:
            size = 64  # groups that a process takes at a time
            tasks = [groups[start : start + size] for start in range(0, len(groups), size)]
            workers = workers_for(config.train.threads, len(tasks) // 4)
            for task, found in run_tasks(_scored, tasks, workers, _begin, (self,)):
                yield from zip(task, found, strict=True)
            return
        from dghin.data.loading import load_batches

        total, size = len(groups), config.evaluate.batch
        batches = [list(range(start, min(start + size, total))) for start in range(0, total, size)]
        loaded = load_batches(self.passes(groups), batches, list, config.evaluate.workers)
        with contextlib.closing(loaded):
            for batch in loaded:
                for one in batch:
                    yield groups[one.number], self.score(one, groups[one.number])

    def passes(self, groups: list[list[int]]) -> Passes:
        """What is read for groups of expressions."""
        return Passes(self.answerer, self.dataset, groups, self.altered.get("other-image"))

    def score(self, one: Pass, members: Sequence[int]) -> Rows:
        """The rows of one pass, by control: `members` are its expressions; "" comes first."""
        image = self.answerer.look(one.image)
        plain: dict[int, np.ndarray | None] = {}  # which those under controls are compared with
        rows: Rows = {}
        for control, chosen in self.chosen(members).items():
            inputs = self.altered[control]
            rows[control] = []
            if not chosen:
                continue
            seen = self.answerer.look(one.shown) if control == "other-image" else image
            try:
                answers = self.answerer.answer(seen, inputs, np.array(chosen), control)
            except Exception as error:
                error.add_note(
                    f"while answering {self.dataset.name(chosen[0])}"
                    + (f", {control}" * bool(control))
                )
                raise
            shown = self._shown_size(members[0]) if control == "other-image" else None
            for index, given in zip(chosen, answers, strict=True):
                row = row_of(self.dataset, index, one.truths[members.index(index)], given, shown)
                if control == "":
                    plain[index] = row.mask
                else:
                    row = add_agreement(row, inputs.sentences[index], plain[index])
                rows[control].append(self.pack(row))
        return rows

    def _shown_size(self, index: int) -> tuple[int, int]:
        """(height, width) of the photo that is shown instead of an expression's own."""
        name = self.altered["other-image"].image(self.dataset.expressions[index].image)
        return self.dataset.photo_size(name)


_of_process: list[Scorer] = []  # of a worker process


def _begin(scorer: Scorer) -> None:
    _of_process[:] = [scorer]


def _scored(groups: list[list[int]]) -> list[Rows]:
    """The rows of some groups, in a worker process that has no photos to read."""
    scorer = _of_process[0]
    passes = scorer.passes(groups)
    return [scorer.score(passes[number], members) for number, members in enumerate(groups)]
