"""COCO segmentations that anyone may have written, checked before pycocotools sees them.

Its C code trusts what it gets: where run lengths add up to less than the image, the rest of the
mask is whatever was in memory; text that is cut off is read beyond its end; a polygon with far-away
corners takes memory for every pixel on the way there.
"""

import contextlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.values import is_number, shown, whole

from .records import Record, Shapes

log = logging.getLogger(__name__)

LISTED = 10  # problems of outlines that are said at once
_AGAIN = "Correct it, or get the file again."
# a character of compressed run lengths: 48 + five bits of a number, + 32 where more of it follow
_CHARACTERS, _LAST = frozenset(range(48, 112)), 48 + 32
# limits of an outline, in height + width (real ones: below 3). One polygon's is memory, that of all
# is time: an object behind a fence of others can be in a thousand pieces
_OUTLINE, _OUTLINES = 100, 5000
_PIECES = 10_000  # polygons of an object: pycocotools takes time for the square of their number


def check_form(segmentation: Any, where: str) -> None:
    """An error for what is neither polygons (a list of lists of numbers) nor run lengths: one
    mapping, or a list of them, as ReferIt's regions (refclef) and RRSIS-D's objects are. Forms
    that other programs write are named."""
    if _is_run_lengths(segmentation):
        return
    if isinstance(segmentation, list) and (
        all(map(_is_flat, segmentation)) or all(map(_is_run_lengths, segmentation))
    ):
        return
    raise UserError(
        f"{where}: its segmentation {shown(segmentation)} is neither polygons nor run lengths"
        f"{_other_form(segmentation)}. {_AGAIN}"
    )


def _is_run_lengths(value: Any) -> bool:
    """Whether it is a mapping with counts (a list, or compressed text) and a size."""
    if not isinstance(value, dict):
        return False
    counts, size = value.get("counts"), value.get("size")
    known = isinstance(counts, str | bytes) or _is_flat(counts)
    return known and _is_flat(size) and len(size) == 2


def _other_form(segmentation: Any) -> str:
    """What a segmentation of another form is, and how it is written here; "" for any other."""
    if not isinstance(segmentation, list) or not segmentation:
        return ""
    if _is_flat(segmentation):
        return ": a flat list of numbers. Write a list of polygons, [[x1, y1, x2, y2, ...]]"
    first = segmentation[0]
    pairs = first[0] if isinstance(first, list) and first and isinstance(first[0], list) else first
    if _is_flat(pairs) and len(pairs) == 2 or isinstance(first, dict) and {"x", "y"} <= set(first):
        return ": pairs of numbers. Write a polygon as one list, [[x1, y1, x2, y2, ...]]"
    return ""


def usable_polygons(segmentation: list[Any], where: str) -> list[Any]:
    """The polygons of three points or more; an error if there are others only, which are mostly a
    box that was given as the outline."""
    found = [p for p in segmentation if len(p) >= 6 and len(p) % 2 == 0]
    if not found:
        box = next((p for p in segmentation if len(p) == 4), None)
        what = f" ({shown(box)} is a box, no outline)" if box else ""
        if len(segmentation) > 2 and all(len(p) == 2 for p in segmentation):
            what = " (pairs of numbers: write each polygon as one list)"
        raise UserError(
            f"{where}: no polygon of three points or more{what}. Give its outline, "
            "[[x1, y1, x2, y2, x3, y3, ...]], or remove the object."
        )
    return found


def outline_problem(segmentation: Any, height: int, width: int, where: str) -> str:
    """What is wrong with an outline that can be drawn, but cannot be meant; "" if nothing is.

    Corners of which all lie within 0 to 1 are shares of the image's sides, as YOLO's files have.
    """
    try:
        check_form(segmentation, where)
        drawn = isinstance(segmentation, list) and not any(map(_is_run_lengths, segmentation))
        polygons = usable_polygons(segmentation, where) if drawn else []
    except UserError as error:
        return str(error)
    shares = all(0 <= value <= 1 for polygon in polygons for value in polygon)
    if polygons and shares and max(height, width) > 1:
        return (
            f"{where}: all corners of its outline lie within 0 to 1, so they are shares of the "
            f"image's sides and no pixels. Multiply x by the width ({width}), y by the height "
            f"({height})."
        )
    return ""


def _is_flat(values: Any) -> bool:
    """Whether it is a list of numbers, finite or not."""
    return isinstance(values, list | tuple) and set(map(type, values)) <= {int, float}


def check_outlines(records: Iterable[Record]) -> None:
    """An error that lists the outlines that cannot be meant, before any is drawn; a warning that
    counts the polygons of fewer than three points, which are left out."""
    problems, left_out = [], []
    for record in records:
        shape = record.shape
        if record.size is None or isinstance(shape, Path):
            continue
        for part in shape.parts if isinstance(shape, Shapes) else (shape,):
            if problem := outline_problem(part, *record.size, record.where):
                problems.append(problem)
            elif isinstance(part, list) and any(len(polygon) < 6 for polygon in part):
                left_out.append(record.where)
    if problems:
        more = len(problems) - LISTED
        lines = problems[:LISTED] + ([f"... and {more} more"] if more > 0 else [])
        raise UserError("\n  ".join(lines))
    if left_out:
        log.warning(
            "%d objects lose a polygon of fewer than three points, such as %s",
            len(left_out), left_out[0],
        )  # fmt: skip


def run_lengths_mask(
    segmentation: dict[str, Any], height: int, width: int, where: str, remedy: str = _AGAIN
) -> np.ndarray:
    """COCO's run lengths, plain or as compressed text, as (H, W) uint8 of 0 and 1.

    remedy: the end of messages about what cannot be drawn.
    """
    size = tuple(segmentation["size"])
    if size != (height, width):
        raise UserError(
            f"{where}: the run lengths are of size {shown(size[0])}x{shown(size[1])}, the image is "
            f"recorded as {height}x{width} (height x width). Correct the size or the mask."
        )
    counts, pixels = segmentation["counts"], height * width
    if isinstance(counts, str | bytes):
        return _compressed_mask(counts, height, width, where, remedy)
    runs = [whole(count, 0, pixels) for count in counts]
    if None in runs:
        wrong = counts[runs.index(None)]
        raise UserError(
            f"{where}: {shown(wrong)} is no run length in an image of {height}x{width}. {remedy}"
        )
    if sum(runs) != pixels:
        raise UserError(
            f"{where}: the run lengths add up to {sum(runs)} pixels, the image has "
            f"{pixels} ({height}x{width}). {remedy}"
        )
    values = (np.arange(len(runs)) % 2).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(values, runs).reshape((height, width), order="F"))


def _compressed_mask(
    counts: str | bytes, height: int, width: int, where: str, remedy: str
) -> np.ndarray:
    """Compressed run lengths as (H, W) uint8. They are those of the image if they fit into it, but
    not into one pixel less."""
    from pycocotools import mask as coco

    text = counts.encode("utf-8", "replace") if isinstance(counts, str) else counts
    mask = None
    if text and _CHARACTERS.issuperset(text) and text[-1] < _LAST:
        with contextlib.suppress(ValueError):  # they do not fit
            mask = coco.decode({"size": [height, width], "counts": text})
            coco.decode({"size": [height * width - 1, 1], "counts": text})
            mask = None
    if mask is None:
        raise UserError(
            f"{where}: {shown(counts)} is no compressed run lengths of {height * width} pixels "
            f"({height}x{width}). {remedy}"
        )
    return np.ascontiguousarray(mask)


def check_polygons(
    polygons: Sequence[Sequence[float]], height: int, width: int, where: str
) -> None:
    """An error for corners far outside of the image, and for an outline that no object has."""
    if len(polygons) > _PIECES:
        raise UserError(
            f"{where}: it has {len(polygons):,} polygons (at most {_PIECES:,}). Give run lengths."
        )
    total = 0.0
    for polygon in polygons:
        for values, side in ((polygon[::2], width), (polygon[1::2], height)):
            low, high = -side - 100, 2 * side + 100
            wrong = [value for value in values if not is_number(value) or not low <= value <= high]
            if wrong:
                raise UserError(
                    f"{where}: a polygon has the coordinate {shown(wrong[0])}, far outside of the "
                    f"image of {height}x{width} (height x width). Correct the polygon."
                )
        corners = np.array(polygon, np.float64).reshape(-1, 2)
        steps = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1)
        outline = float(steps.sum()) + len(steps)
        total += outline
        for length, limit in ((outline, _OUTLINE), (total, _OUTLINES)):
            if length > limit * (height + width) + 1000:
                raise UserError(
                    f"{where}: its outline is {length:,.0f} pixels long, too long for an image of "
                    f"{height}x{width} (height x width). Correct the polygons, or give run lengths."
                )


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W), foreground where not 0, as COCO's run lengths: {"size", "counts"}.

    counts is compressed text where pycocotools is installed, else a list: both are read back by
    `run_lengths_mask`, a list without pycocotools.
    """
    size = [int(side) for side in mask.shape]
    try:
        from pycocotools import mask as coco
    except ImportError:
        flat = np.concatenate(
            [[False], (mask != 0).ravel(order="F")]
        )  # the first run is background
        changes = np.flatnonzero(flat[1:] != flat[:-1])
        return {"size": size, "counts": np.diff([0, *changes, mask.size]).tolist()}
    found = coco.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return {"size": size, "counts": found["counts"].decode("ascii")}
