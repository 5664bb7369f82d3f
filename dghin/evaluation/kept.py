"""Answers on the disk: kept while an evaluation runs, so that it goes on after an interruption,
and stored beside the rows when it ends, so that figures need no model.

    reports/<run>/answers/<split>.jsonl               a line an expression: COCO run lengths
    reports/<run>/answers/<control>/<split>.jsonl     under a control
    reports/<run>/answers/.kept/<split>-<rank>.jsonl  of an evaluation that has not ended yet

The stored ones are predictions in a form that `dghin evaluate predictions=` reads.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_text
from data_preprocess.raw.segmentation import run_lengths_mask
from dghin.data.split import PreparedSplit
from dghin.run.folder import RunFolder

from .answers import Answer
from .masks import mask_of
from .metrics import MaskSample
from .scoring import Answered

NAMED = ("segment_id", "sentence_index", "sent_id", "image")  # of a row, in a stored answer


class Kept:
    """What one rank has answered of a split, and what all ranks had before an interruption.

    A line is a control and the expressions that were answered together (their positions), with
    `digest`: of model, data, settings and code. Lines of another digest are not used; so is a last
    line that was cut off. folder: the run's.
    """

    def __init__(self, folder: Path, split: str, digest: str, rank: int = 0):
        parts = RunFolder(folder).kept_answers
        self.digest, self.path = digest, parts / f"{split}-{rank}.jsonl"
        self.known: dict[tuple[str, tuple[int, ...]], list[Answered]] = {}
        for path in sorted(parts.glob(f"{split}-*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._read(line)
        parts.mkdir(parents=True, exist_ok=True)

    def _read(self, line: str) -> None:
        try:
            values = json.loads(line)
            if values["digest"] != self.digest:
                return
            answers = [Answered(*pair) for pair in values["answers"]]
            self.known[values["control"], tuple(values["members"])] = answers
        except (ValueError, KeyError, TypeError):  # cut off, or not a line of ours
            return

    def get(self, control: str, members: Sequence[int]) -> list[Answered] | None:
        """What was answered of these expressions before; None if they are still to be answered."""
        return self.known.get((control, tuple(members)))

    def add(self, control: str, members: Sequence[int], answers: Iterable[Answered]) -> None:
        """Note what was answered, in one write at the end of the rank's file."""
        line = json.dumps(
            {"digest": self.digest, "control": control, "members": list(members),
             "answers": list(answers)}
        )  # fmt: skip
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")  # the line before may have been cut off


def forget(folder: Path, splits: Iterable[str]) -> None:
    """Remove what was kept of these splits, by all ranks: their evaluation has ended."""
    parts = RunFolder(folder).kept_answers
    for split in splits:
        for path in parts.glob(f"{split}-*.jsonl"):
            path.unlink(missing_ok=True)
    if parts.is_dir() and not any(parts.iterdir()):
        parts.rmdir()


def store(path: Path, answers: Iterable[Answered]) -> None:
    """Write the answers of a split in the order of the split, atomically: a line an expression."""
    lines = []
    for columns, mask in sorted(answers, key=lambda one: one.columns["index"]):
        entry = {name: columns[name] for name in NAMED}
        entry["sentence"] = columns.get("read", columns["sentence"])
        if "no_target" in columns:
            entry["no_target"] = bool(columns["no_target"])
        lines.append(json.dumps(entry | (mask or {}), ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def stored_samples(
    folder: Path, dataset: PreparedSplit, indices: Sequence[int]
) -> list[MaskSample]:
    """Some expressions of a split with photo, truth and the stored mask, at the photo's size.

    A mask at the network's size is enlarged to it. UserError where nothing is stored.
    """
    path = RunFolder(folder).answers(dataset.split)
    truths = {index: dataset.truth(index) for index in indices}
    masks = _stored(path, {index: truth.shape for index, truth in truths.items()})
    return [
        MaskSample(
            np.asarray(dataset.image(index)),
            truths[index],
            masks[index],
            dataset.expressions[index].sentence,
        )
        for index in indices
    ]


def _stored(path: Path, sizes: Mapping[int, tuple[int, int]]) -> dict[int, np.ndarray]:
    """The masks of some lines of a stored file, bool (H, W), by line number: that of the rows."""
    if not path.is_file():
        raise UserError(f"{path}: no stored answers. Score the run again: dghin evaluate run=RUN.")
    found = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number not in sizes:
                continue
            place = f"{path}:{number + 1}"
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise UserError(
                    f"{place}: not readable as JSON ({error}). Score the run again."
                ) from error
            found[number] = mask_in(entry, sizes[number], place)
    if len(found) < len(sizes):
        raise UserError(f"{path}: fewer answers than rows. Score the run again.")
    return found


def mask_in(entry: Mapping[str, Any], size: tuple[int, int], place: str) -> np.ndarray:
    """The mask of a stored answer, bool (H, W) of the photo's size, to which one at the network's
    size is enlarged. place: names the answer in messages. UserError where it holds no mask."""
    if "counts" not in entry:
        raise UserError(f"{place}: holds a score only, and no mask that could be drawn.")
    height, width = entry["size"]
    mask = run_lengths_mask(dict(entry), height, width, place).astype(bool)
    answer = Answer(mask, "mask" if mask.shape == tuple(size) else "small")
    return np.asarray(mask_of(answer, size, answer.protocols[0]))
