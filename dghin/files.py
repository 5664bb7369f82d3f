"""The files of a prepared split, wherever they are: in folders, in tar shards, behind a URL.

    FolderFiles(prepared, manifest).image("COCO_1.jpg")     a Source: what PIL opens, and its place
    ShardFiles(prepared, dataset, split, url).image(...)    the same out of a shard

Shards are made by `python -m data_preprocess export`. Behind a URL, a shard is fetched whole when
its first sample is asked for, once a machine, and kept.
"""

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_preprocess.common import UserError, read_json

from .config import DataConfig, is_url

log = logging.getLogger(__name__)
EXPORT = "Export it again: python -m data_preprocess export {} data=RAW output=SHARDS."
ATTEMPTS = 3  # at fetching a file, each going on where the one before was cut off


@dataclass(frozen=True)
class Source:
    """Something that PIL opens, and where it is, for messages."""

    file: Path | io.BytesIO
    place: str


class FolderFiles:
    """Images and masks as files of their own."""

    def __init__(self, prepared: Path, dataset: str, manifest: Mapping[str, Any]):
        self.images = prepared / manifest["images_folder"]
        self.masks = prepared / manifest.get("masks_folder", f"masks/{dataset}")

    def image(self, name: str) -> Source:
        path = self.images / name
        return Source(path, os.path.normpath(path))

    def mask(self, segment_id: str) -> Source:
        path = self.masks / f"{segment_id}.png"
        return Source(path, str(path))


class ShardFiles:
    """Images and masks inside the tar shards of one split."""

    def __init__(self, prepared: Path, dataset: str, split: str, url: str = ""):
        self.folder, self.remedy = prepared / "shards" / dataset, EXPORT.format(dataset)
        self.url = f"{url}/shards/{dataset}" if url else ""
        path = self.folder / f"{split}.index.json"
        self._fetch(path.name)
        self.index = read_json(path, self.remedy)

    def image(self, name: str) -> Source:
        return self._read("images", name)

    def mask(self, segment_id: str) -> Source:
        return self._read("masks", segment_id)

    def _read(self, kind: str, name: str) -> Source:
        if name not in self.index[kind]:
            raise UserError(f"{self.folder}: no {kind[:-1]} '{name}' in the index. {self.remedy}")
        number, start, count = self.index[kind][name]
        shard = self.index["shards"][number]
        path = self.folder / shard["name"]
        self._fetch(path.name, shard["bytes"], shard["sha256"])
        try:
            with open(path, "rb") as file:
                file.seek(start)
                content = file.read(count)
        except OSError as error:
            raise UserError(f"{path}: not readable ({error.strerror}). {self.remedy}") from error
        return Source(io.BytesIO(content), f"{path}, {kind[:-1]} {name}")

    def _fetch(self, name: str, size: int | None = None, sha256: str = "") -> None:
        if self.url:
            fetch(f"{self.url}/{name}", self.folder / name, size, sha256)


def bring(data: DataConfig, split: str = "") -> None:
    """Fetch what is read of prepared data behind a URL: the manifest, and a split's two files."""
    if not is_url(data.prepared):
        return
    names = ["manifest.json"]
    names += [f"{split}.json", f"{split}.language.npz"] if split else []
    for name in names:
        place = f"anns/{data.dataset}/{name}"
        fetch(f"{data.prepared.rstrip('/')}/{place}", data.prepared_root / place)


def fetch(url: str, path: Path, size: int | None = None, sha256: str = "") -> None:
    """Bring a file here unless it is here; one process of a machine does it, the others wait."""
    from data_preprocess.download import MirrorError, WrongFile, check, download, note_path

    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f".{path.name}.part"
    with _alone(path.parent / f".{path.name}.lock"):
        if path.is_file():
            return
        for attempt in range(1, ATTEMPTS + 1):
            try:
                download(url, part, size, bool(sha256))
                check(part, size, sha256, "")
                break
            except MirrorError as error:
                if isinstance(error, WrongFile):
                    part.unlink(missing_ok=True)
                log.warning("%s: %s (attempt %d of %d)", url, error, attempt, ATTEMPTS)
                if attempt == ATTEMPTS:
                    raise UserError(
                        f"{url}: {error}. Check data.prepared, and that this machine reaches it; "
                        f"or copy the file to {path}."
                    ) from error
        note_path(part).unlink(missing_ok=True)
        os.replace(part, path)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Held by one process of this machine at a time, where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
