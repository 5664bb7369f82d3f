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
from tqdm import tqdm

from .annotations import expressions, read_entries
from .common import UserError, read_json, sha256_file
from .features import read_features
from .manifest import annotation_path, features_path, read_manifest
from .masks import check_size, draw_mask
from .pool import by_image, run_tasks, workers_for
from .records import Raw, Record

_PREPARE = "Prepare it again."


@dataclass
class Checked:
    """How many files were looked at, and what is wrong with which: (file, what)."""

    images: int = 0
    masks: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)

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


@dataclass(frozen=True)
class Entry:
    """A prepared object: its mask file, and what is said of it."""

    image: Path
    mask: Path
    box: tuple[float, ...]
    targets: int


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
    if "shards" in manifest:
        return _check_shards(root, dataset, manifest)
    checked, items = Checked(), {}
    masks = root / manifest.get("masks_folder", f"masks/{dataset}")
    for split, noted in manifest["splits"].items():
        try:
            entries = read_entries(annotation_path(root, dataset, split))
            checked.problems += _check_split(root, dataset, split, entries, noted)
        except UserError as error:
            checked.problems.append((str(annotation_path(root, dataset, split)), str(error)))
            continue
        for entry in entries:
            mask = masks / f"{entry['segment_id']}.png"
            image = root / manifest["images_folder"] / entry["img_name"]
            box = tuple(entry.get("bbox", ()))
            items[mask] = Entry(image, mask, box, entry.get("targets", 1))
    tasks = by_image(list(items.values()), lambda item: item.image)
    checked.add(_run(_check_entries, tasks, workers))
    return checked


def _check_shards(root: Path, dataset: str, manifest: Mapping[str, Any]) -> Checked:
    """Exported data: the shards' digests stand for all that is in them."""
    checked = Checked()
    for split in manifest["splits"]:
        index = read_json(root / "shards" / dataset / f"{split}.index.json", "Export it again.")
        checked.images += len(index["images"])
        checked.masks += len(index["masks"])
        for shard in tqdm(index["shards"], f"check {split}", unit=" shards"):
            path = root / "shards" / dataset / shard["name"]
            if not path.is_file():
                checked.problems.append((str(path), "no such file. Export it again."))
            elif sha256_file(path) != shard["sha256"]:
                checked.problems.append((str(path), "not the file that the index names."))
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
            sizes[entry.image] = _open_image(entry.image, checked)
        mask = _note(checked, entry.mask, _read_mask, entry.mask)
        where, size = str(entry.mask), sizes[entry.image]
        _check_mask(checked, where, mask, size, entry.box, entry.targets, entry.image)
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


def _open_image(path: Path, checked: Checked) -> tuple[int, int] | None:
    """(height, width) of an image that can be read to its end; a problem otherwise."""
    checked.images += 1
    try:
        with Image.open(path) as image:
            image.load()
            return image.height, image.width
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
    root: Path, dataset: str, split: str, entries: list[dict[str, Any]], noted: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Whether a split's annotations and features are those of the manifest, and of each other."""
    problems = []
    files = {"annotations_sha256": annotation_path, "language_sha256": features_path}
    for key, place in files.items():
        path = place(root, dataset, split)
        if not path.is_file():
            problems.append((str(path), f"no such file. {_PREPARE}"))
        elif sha256_file(path) != noted[key]:
            problems.append((str(path), f"not the file that the manifest names. {_PREPARE}"))
    try:
        read_features(features_path(root, dataset, split), None, expressions(entries))
    except UserError as error:
        problems.append((str(features_path(root, dataset, split)), str(error)))
    return problems


def _note(checked: Checked, where: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's value; None, and a problem, if it has an error for people."""
    try:
        return function(*arguments)
    except UserError as error:
        checked.problems.append((str(where), str(error)))
        return None
