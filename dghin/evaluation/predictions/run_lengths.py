"""COCO's run lengths as they stand in a file: checked when they are read, drawn when needed.

    part = read_run_lengths({"size": [480, 640], "counts": "PPYo1..."}, where)
    part.mask()                                    # (480, 640) bool
    run_lengths(mask)                              # the way back: {"size": ..., "counts": ...}

counts is a list of numbers or COCO's compressed text, whose rule is that of maskApi.c
(rleToString, cocodataset/cocoapi): of a number, five bits a character, 48 added, the sixth bit
says that more follow, the fifth of the last is the sign; from the fourth number on, it is the
difference from the number two before. No pycocotools is needed to read either.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.values import image_shape, shown, whole

_FORM = 'Write {"size": [height, width], "counts": run lengths}, as pycocotools.mask.encode does.'


@dataclass(frozen=True, slots=True)
class RunLengths:
    """A mask as COCO's run lengths: background first, column by column."""

    height: int
    width: int
    counts: str | np.ndarray  # compressed text stays as it is: it takes the least memory

    def mask(self) -> np.ndarray:
        """(H, W) bool."""
        runs = _runs(self.counts) if isinstance(self.counts, str) else self.counts
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return np.ascontiguousarray(flat.reshape((self.height, self.width), order="F"))


def read_run_lengths(value: Any, where: str) -> RunLengths:
    """Checked run lengths: an error where they are none, or not those of as many pixels as their
    size says."""
    counts = value.get("counts") if isinstance(value, dict) else None
    size = value.get("size") if isinstance(value, dict) else None
    if isinstance(value, list) and value and isinstance(value[0], list):
        raise UserError(f"{where}: its mask is polygons. {_FORM}")
    if not isinstance(counts, str | list) or not isinstance(size, list) or len(size) != 2:
        raise UserError(f"{where}: its mask {shown(value)} is no run lengths. {_FORM}")
    height, width = image_shape(*size, where, _FORM)
    pixels = height * width
    if isinstance(counts, list):
        runs = [whole(count, 0, pixels) for count in counts]
        if None in runs:
            wrong = counts[runs.index(None)]
            raise UserError(
                f"{where}: {shown(wrong)} is no run length of a mask of {height}x{width}. {_FORM}"
            )
        kept, total = np.array(runs, np.uint32), sum(runs)
    else:
        kept, total = counts, _total(counts, where)
    if total != pixels:
        raise UserError(
            f"{where}: the run lengths add up to {total} pixels, but their size is "
            f"{height}x{width} = {pixels}. The line was cut off, or height and width are "
            f"exchanged. {_FORM}"
        )
    return RunLengths(height, width, kept)


def _total(text: str, where: str) -> int:
    """The pixels of compressed run lengths; an error where the text is none."""
    codes = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    fits = len(codes) > 0 and codes.min() >= 48 and codes.max() < 112 and codes[-1] < 48 + 32
    runs = _runs(text) if fits else None
    if runs is None or len(runs) == 0 or runs.min() < 0:
        raise UserError(f"{where}: {shown(text)} is no compressed run lengths. {_FORM}")
    return int(runs.sum())


def _runs(text: str) -> np.ndarray:
    """Compressed text as run lengths; empty where a number is longer than any of an image."""
    codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    last = codes < 32  # of its number
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:  # 35 bits
        return np.empty(0, np.int64)
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
    negative = codes[ends] & 16 > 0
    numbers -= negative * (np.int64(1) << (5 * lengths))
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
