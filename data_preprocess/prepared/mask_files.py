"""Mask files of a data set: one PNG an object, drawn by several processes.

The files are the same whatever the number of processes. Each is written under another name and
renamed, so what exists is whole.
"""

import functools
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path, sha256_file, sha256_json
from data_preprocess.base.photos import image_size
from data_preprocess.base.progress import tqdm
from data_preprocess.base.workers import by_image, run_tasks, workers_for
from data_preprocess.raw.masks import check_size, draw_mask
from data_preprocess.raw.records import Record

from .annotations import mask_names


def write_masks(
    records: Iterable[Record],
    images: Path,
    folder: Path,
    per_sentence: bool,
    workers: int = 0,
    upright: bool = False,
) -> dict[str, str]:
    """Write the mask of every record that has none yet; returns file name -> SHA-256 of all.

    workers: processes, 0 for one a core. upright: over photos as their camera held them (EXIF).
    Every image's header is read and compared with its record and masks.
    The first invalid one stops the work with an error that names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = by_image(records, lambda record: record.image)
    draw = functools.partial(
        _draw_all, images=images, folder=folder, per_sentence=per_sentence, upright=upright
    )
    digests: dict[str, str] = {}
    with tqdm(desc="masks", total=sum(map(len, tasks)), unit=" objects") as bar:
        for task, result in run_tasks(draw, tasks, workers_for(workers, len(tasks))):
            digests |= result
            bar.update(len(task))
    return digests


def masks_digest(digests: dict[str, str]) -> str:
    """One digest for all masks of a data set: over the sorted file names and their digests."""
    return sha256_json(sorted(digests.items()))


def _draw_all(
    records: list[Record], images: Path, folder: Path, per_sentence: bool, upright: bool
) -> dict[str, str]:
    """The masks of some records: file name -> SHA-256."""
    digests = {}
    sizes: dict[str, tuple[int, int]] = {}
    for record in records:
        path = images / record.image
        if record.image not in sizes:
            sizes[record.image] = image_size(path, upright)
        size = sizes[record.image]
        if record.size is not None:
            check_size(record.size, size, f"its record ({record.where})", path)
        targets = [folder / f"{name}.png" for name in mask_names(record, per_sentence)]
        if not all(_is_whole(target, size) for target in targets):
            mask = draw_mask(record, size)
            check_size(mask.shape, size, f"the mask of {record.where}", path)
            _write_pngs(mask, targets)
        digests |= {target.name: sha256_file(target) for target in targets}
    return digests


def _write_pngs(mask, targets: list[Path]) -> None:  # noqa: ANN001 - (H, W) uint8 of 0 and 1
    picture = Image.fromarray(mask * 255)
    for target in targets:
        # no fsync: a mask lost with the machine's power is found by _is_whole and drawn again
        with atomic_path(target, sync=False) as temporary:
            picture.save(temporary)


def _is_whole(path: Path, size: tuple[int, int]) -> bool:
    """Whether a mask file exists, can be read and has the size (height, width)."""
    if not path.is_file():
        return False
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            if image.mode != "L" or (image.height, image.width) != size:
                return False
            image.load()  # last: a damaged header may claim very many pixels
            return True
    except Exception:  # PIL raises many kinds on damaged files
        return False


def existing_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """File name -> SHA-256 of masks that must be there; the first missing one is an error."""
    digests = {}
    for name in tqdm(list(names), "masks", unit=" files"):
        path = folder / f"{name}.png"
        if not path.is_file():
            raise UserError(f"{path}: no such mask, but the annotations name it. Prepare it again.")
        digests[path.name] = sha256_file(path)
    return digests


def sources_digest(sources: Iterable[Path], records: Iterable[Record]) -> str:
    """A digest of everything that masks are drawn from: the bytes of raw files and mask images,
    and size and time of the .mat files (there are a hundred thousand of those)."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(sha256_file(source).encode())
    for record in records:
        if isinstance(record.shape, Path) and record.shape.suffix != ".mat":
            digest.update(sha256_file(record.shape).encode())
        elif isinstance(record.shape, Path):
            state = record.shape.stat()
            digest.update(f"{record.shape.name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
