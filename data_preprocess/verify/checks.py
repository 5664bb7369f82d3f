"""Is every file of a data set sound? Images open, masks are not empty and fit, boxes meet them.

    check_raw(raw)                        -> Checked: counts and problems, of a raw data set
    check_prepared(root, "refcoco")       -> the same of a prepared one

Nothing is written, and nothing stops at the first problem.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from data_preprocess.base.photos import as_rgb, orientation_of, turned_upright
from data_preprocess.base.progress import tqdm
from data_preprocess.base.values import four_numbers
from data_preprocess.base.workers import by_image, run_tasks, workers_for
from data_preprocess.language.features import read_features
from data_preprocess.prepared.annotations import box_of, expressions, read_entries
from data_preprocess.prepared.manifest import (
    annotation_path,
    features_path,
    masks_path,
    read_manifest,
)
from data_preprocess.prepared.mask_files import masks_digest
from data_preprocess.raw.masks import check_size, draw_mask
from data_preprocess.raw.records import Raw, Record

_PREPARE = "Prepare it again."
_TURNED = (
    "the photo is turned by its camera (EXIF orientation {}), and the manifest does not say "
    "whether outlines are drawn over it as stored. Prepare the data set again."
)


@dataclass
class Checked:
    """How many files were looked at, and what is wrong with which: (file, what).

    digests: file name -> SHA-256 of the prepared masks.
    """

    images: int = 0
    masks: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)

    def lines(self, most: int = 20) -> list[str]:
        """What was looked at, and the first problems, for people."""
        text = f"{self.images:,} images and {self.masks:,} masks looked at: "
        lines = [f"{text}{len(self.problems):,} problems"]
        lines += [f"  {what if where in what else f'{where}: {what}'}"
                  for where, what in self.problems[:most]]  # fmt: skip
        more = len(self.problems) - most
        return lines + ([f"  ... and {more:,} more"] if more > 0 else [])

    def add(self, other: "Checked") -> None:
        self.images += other.images
        self.masks += other.masks
        self.problems += other.problems
        self.digests |= other.digests


@dataclass(frozen=True)
class Entry:
    """A prepared object: its mask file, and what is said of it.

    upright: whether the photo is turned as its camera held it (EXIF); None where nobody said so of
    a data set of one's own.
    """

    image: Path
    mask: Path
    box: Any
    targets: int
    upright: bool | None = False


def check_raw(raw: Raw, workers: int = 0) -> Checked:
    """Every image and every mask of a raw data set. Without its image folder, only that is said."""
    if not raw.images.is_dir():
        return Checked(problems=[(str(raw.images), "no such folder: nothing could be checked")])
    records = [record for listed in raw.splits.values() for record in listed]
    tasks = [(raw.images, part) for part in by_image(records, lambda record: record.image)]
    return _run(_check_records, tasks, workers)


def check_prepared(root: Path, dataset: str, workers: int = 0) -> Checked:
    """Every file of a prepared data set, and whether the manifest holds for it."""
    manifest = read_manifest(root, dataset)
    checked, items = Checked(), {}
    shared = manifest.get("masks_folder")
    masks = root / shared if shared else masks_path(root, dataset)
    upright = manifest.get("upright", None if manifest.get("source") == "custom" else False)
    for split, noted in manifest["splits"].items():
        entries = _check_split(root, dataset, split, noted, checked)
        for entry in entries:
            mask = masks / f"{entry['segment_id']}.png"
            image = root / manifest["images_folder"] / entry["img_name"]
            box, targets = box_of(entry, manifest), entry.get("targets", 1)
            items[mask] = Entry(image, mask, box, targets, upright)
    tasks = by_image(list(items.values()), lambda item: item.image)
    checked.add(_run(_check_entries, tasks, workers))
    if "members" not in manifest and not checked.problems:  # of joint, members have the digests
        if masks_digest(checked.digests) != manifest.get("masks", {}).get("sha256"):
            checked.problems.append((str(masks), f"not the masks of the manifest. {_PREPARE}"))
    return checked


def box_meets(mask: np.ndarray, box: Sequence[float]) -> bool:
    """Whether a pixel of the mask (H, W) is inside the box (x, y, width, height), rounded out."""
    x, y, width, height = box
    rows = slice(max(0, int(np.floor(y))), max(0, int(np.ceil(y + height)) + 1))
    columns = slice(max(0, int(np.floor(x))), max(0, int(np.ceil(x + width)) + 1))
    return bool(mask[rows, columns].any())


def _run(function: Callable[[Any], Checked], tasks: list[Any], workers: int) -> Checked:
    total = Checked()
    with tqdm(desc="check", unit=" images") as bar:
        for _, found in run_tasks(function, tasks, workers_for(workers, len(tasks))):
            total.add(found)
            bar.update(found.images)
    total.problems.sort()
    return total


def _check_records(task: tuple[Path, list[Record]]) -> Checked:
    folder, records = task
    checked, sizes = Checked(), {}
    for record in records:
        path = folder / record.image
        if path not in sizes:
            sizes[path] = _open_image(path, checked)
        size = sizes[path]
        if size is not None and record.size not in (None, size):
            _note(checked, path, check_size, record.size, size, "its record", path)
        mask = _note(checked, record.where, draw_mask, record)
        _check_mask(checked, record.where, mask, size, record.bbox, record.targets, path)
    return checked


def _check_entries(entries: list[Entry]) -> Checked:
    checked, sizes = Checked(), {}
    for entry in entries:
        if entry.image not in sizes:
            sizes[entry.image] = _open_image(entry.image, checked, entry.upright)
        mask = _note(checked, entry.mask, _read_mask, entry.mask)
        where, size = str(entry.mask), sizes[entry.image]
        box = _note(checked, where, four_numbers, entry.box, where, _PREPARE) or ()
        _check_mask(checked, where, mask, size, box, entry.targets, entry.image)
        if mask is not None:
            checked.digests[entry.mask.name] = sha256_file(entry.mask)
    return checked


def _check_mask(
    checked: Checked,
    where: str,
    mask: np.ndarray | None,
    size: tuple[int, int] | None,
    box: Sequence[float],
    targets: int,
    image: Path,
) -> None:
    """Note what is wrong with a mask, if it could be read at all."""
    checked.masks += 1
    if mask is None:
        return
    if size is not None:
        _note(checked, where, check_size, mask.shape, size, "the mask", image)
    if targets and not mask.any():
        checked.problems.append((where, "the mask has no pixel"))
    elif not targets and mask.any():
        checked.problems.append((where, "nothing is meant, but the mask is not empty"))
    elif targets and box and not box_meets(mask, box):
        checked.problems.append((where, f"no pixel of the mask is inside its box {list(box)}"))


def _open_image(
    path: Path, checked: Checked, upright: bool | None = False
) -> tuple[int, int] | None:
    """(height, width) of an image that can be read to its end as RGB; a problem otherwise.

    upright: as of Entry. Where nobody said it, a turned photo is a problem, too.
    """
    checked.images += 1
    try:
        with Image.open(path) as image:
            if upright is None and (orientation := orientation_of(image)) != 1:
                checked.problems.append((str(path), _TURNED.format(orientation)))
            found = as_rgb(turned_upright(image) if upright else image, str(path))
            return found.height, found.width
    except UserError as error:
        checked.problems.append((str(path), str(error)))
    except FileNotFoundError:
        checked.problems.append((str(path), "no such image"))
    except Exception as error:  # PIL raises many kinds on damaged files
        checked.problems.append((str(path), f"cannot be read as an image ({error})"))
    return None


def _read_mask(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return (np.asarray(image.convert("L")) > 127).astype(np.uint8)
    except FileNotFoundError as error:
        raise UserError(f"no such mask. {_PREPARE}") from error
    except Exception as error:  # PIL raises many kinds on damaged files
        raise UserError(f"cannot be read as a mask ({error}). {_PREPARE}") from error


def _check_split(
    root: Path, dataset: str, split: str, noted: Mapping[str, Any], checked: Checked
) -> list[dict[str, Any]]:
    """A split's entries, if its annotations and features are those of the manifest."""
    for key, place in (("annotations", annotation_path), ("language", features_path)):
        path = place(root, dataset, split)
        if not path.is_file():
            checked.problems.append((str(path), f"no such file. {_PREPARE}"))
        elif sha256_file(path) != noted.get(f"{key}_sha256"):
            what = f"not the file that the manifest names. {_PREPARE}"
            checked.problems.append((str(path), what))
    if not annotation_path(root, dataset, split).is_file():
        return []
    path = annotation_path(root, dataset, split)
    entries = _note(checked, path, read_entries, path) or []
    path = features_path(root, dataset, split)
    if entries and path.is_file():
        _note(checked, path, read_features, path, None, expressions(entries))
    return entries


def _note(checked: Checked, where: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's value; None, and a problem, if it has an error for people."""
    try:
        return function(*arguments)
    except UserError as error:
        checked.problems.append((str(where), str(error)))
        return None
