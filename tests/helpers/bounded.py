"""The readers of data_preprocess in a process of their own, with a limit on memory and time.

As a script (READER FOLDER): reads what lies in the folder and says as JSON what came out. Whatever
is no UserError ends it with a traceback, and a crash with a signal.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.language.features import CODES, Features, adjacency, read_features, read_key
from data_preprocess.prepared.annotations import annotations, read_entries
from data_preprocess.prepared.mask_files import _is_whole
from data_preprocess.raw.datasets import DATASETS
from data_preprocess.raw.masks import (
    draw_mask,
    draw_segmentation,
    image_size,
    read_mask_image,
    read_mat,
)
from data_preprocess.raw.readers import read_raw
from data_preprocess.raw.records import Record
from data_preprocess.raw.refer import read_pickle

HEIGHT, WIDTH = 20, 30
MEMORY = 400 << 20  # bytes that a reader may take for a small file, whatever the file claims
SECONDS = 20


def limit_memory() -> None:
    """Give this process so much memory beyond what it has taken for its modules."""
    import pycocotools.mask  # noqa: F401 - or it would count as the reader's

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(script: str, *arguments: object, seconds: float) -> subprocess.CompletedProcess:
    """A script of this folder in a process of its own, killed after so many seconds."""
    here = Path(__file__).parent
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    paths = {"PYTHONPATH": os.pathsep.join([str(here.parents[1]), str(here.parent)])}
    command = [sys.executable, str(here / script), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, env=os.environ | one | paths
    )


def outcome(reader: str, folder: Path) -> dict[str, str]:
    """{"error": message} or {"value": ...} of a reader; anything else fails the test."""
    done = run("bounded.py", reader, folder, seconds=SECONDS)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def refused(reader: str, folder: Path) -> str:
    """The message of the UserError that the reader must end with."""
    found = outcome(reader, folder)
    assert "error" in found, found
    return found["error"]


def check_pickle(folder: Path) -> str:
    return str(type(read_pickle(folder / "refs.p")))


def check_json(folder: Path) -> str:
    return str(type(read_json(folder / "a.json", "Get it again.")))


def check_refer(folder: Path, dataset: str = "refcoco") -> str:
    """Records of which everything can be used: names, text, sizes, masks."""
    raw = read_raw(folder, DATASETS[dataset])
    masks = (folder / "images/referit/mask").resolve()
    count = 0
    for records in raw.splits.values():
        json.dumps(annotations(records, False), ensure_ascii=False, allow_nan=False).encode()
        for record in records:
            count += 1
            path = Path(os.path.normpath(raw.images / record.image))
            assert path.is_relative_to(raw.images) and "/" not in record.segment_id
            assert all(
                sentence.text.strip() == sentence.text != "" for sentence in record.sentences
            )
            if isinstance(record.shape, Path):
                assert record.shape.resolve().is_relative_to(masks), record.shape
            else:
                _check_drawn(record)
    assert count
    return str(count)


def check_referit(folder: Path) -> str:
    return check_refer(folder, "referit")


def _check_drawn(record: Record) -> None:
    assert all(type(side) is int and side > 0 for side in record.size)
    try:
        check_mask(draw_mask(record), record.size)
    except UserError:
        pass


def check_mask(mask: np.ndarray, size: tuple[int, int] | None = None) -> str:
    assert mask.dtype == np.uint8 and mask.ndim == 2 and mask.max(initial=0) <= 1
    assert size is None or mask.shape == size, (mask.shape, size)
    return str(mask.shape)


def check_mat(folder: Path) -> str:
    return check_mask(read_mat(folder / "a.mat", (HEIGHT, WIDTH)))


def check_segmentation(folder: Path) -> str:
    shape = json.loads((folder / "a.json").read_text())
    return check_mask(draw_segmentation(shape, HEIGHT, WIDTH, "annotation 1"), (HEIGHT, WIDTH))


def check_image(folder: Path) -> str:
    path = folder / "a.png"
    whole = _is_whole(path, (HEIGHT, WIDTH))
    size = image_size(path)
    assert size == (HEIGHT, WIDTH) or not whole
    return check_mask(read_mask_image(path, (HEIGHT, WIDTH)), size)


def check_features(folder: Path) -> str:
    key = read_key(folder / "a.npz")
    found: Features = read_features(folder / "a.npz", {"words": key.get("words")})
    count, positions = found.word_ids.shape
    assert found.heads.shape == found.pos.shape == (count, positions)
    assert found.length.shape == found.kind.shape == found.depth.shape == (count,)
    assert found.kind.max(initial=0) < len(CODES)
    adjacency(found.heads)
    return str(count)


def check_entries(folder: Path) -> str:
    entries = read_entries(folder / "train.json")
    for entry in entries:
        for name in (f"{entry['segment_id']}.png", entry["img_name"]):
            assert Path(os.path.normpath(folder / name)).is_relative_to(folder), name
        assert all(sentence["sent"].strip().encode() for sentence in entry["sentences"])
    return str(len(entries))


READERS = {
    "pickle": check_pickle, "json": check_json, "refer": check_refer, "referit": check_referit,
    "mat": check_mat, "segmentation": check_segmentation, "image": check_image,
    "features": check_features, "entries": check_entries,
}  # fmt: skip


def read(reader: str, folder: Path) -> dict[str, str]:
    """What a reader makes of the folder. A UserError for lack of memory is none."""
    try:
        return {"value": READERS[reader](folder)}
    except UserError as error:
        assert not isinstance(error.__cause__, MemoryError), "it took too much memory"
        return {"error": str(error)}


if __name__ == "__main__":
    limit_memory()
    print(json.dumps(read(sys.argv[1], Path(sys.argv[2]))))
