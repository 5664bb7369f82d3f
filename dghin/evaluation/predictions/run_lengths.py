"""COCO's run lengths as they stand in a file: their size is checked when they are read, the mask is
drawn, and checked, when it is needed (data_preprocess.raw.segmentation, by pycocotools).

    part = read_run_lengths({"size": [480, 640], "counts": "PPYo1..."}, where)
    part.mask()                                    # (480, 640) bool
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.values import image_shape, shown
from data_preprocess.raw.segmentation import run_lengths_mask

_FORM = 'Write {"size": [height, width], "counts": run lengths}, as pycocotools.mask.encode does.'


@dataclass(frozen=True, slots=True)
class RunLengths:
    """A mask as COCO's run lengths: background first, column by column."""

    height: int
    width: int
    counts: str | list[Any]  # compressed text, or numbers
    where: str

    def mask(self) -> np.ndarray:
        """(H, W) bool. UserError where these are no run lengths of so many pixels."""
        size = self.height, self.width
        found = {"size": size, "counts": self.counts}
        return run_lengths_mask(found, *size, self.where, _FORM).astype(bool)


def read_run_lengths(value: Any, where: str) -> RunLengths:
    """Run lengths with their size: an error where they are none."""
    counts = value.get("counts") if isinstance(value, dict) else None
    size = value.get("size") if isinstance(value, dict) else None
    if isinstance(value, list) and value and isinstance(value[0], list):
        raise UserError(f"{where}: its mask is polygons. {_FORM}")
    if not isinstance(counts, str | list) or not isinstance(size, list) or len(size) != 2:
        raise UserError(f"{where}: its mask {shown(value)} is no run lengths. {_FORM}")
    if isinstance(counts, str) and counts.startswith(("b'", 'b"')):
        raise UserError(f"{where}: {shown(counts)} is text of bytes. Write counts.decode().")
    height, width = size
    return RunLengths(*image_shape(height, width, where, _FORM), counts, where)
