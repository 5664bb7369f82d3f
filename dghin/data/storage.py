"""The files of a prepared split, wherever they are: in folders, in tar shards, behind a URL.

    FolderFiles(prepared, manifest).image("COCO_1.jpg")     a Source: what PIL opens, and its place
    ShardFiles(prepared, dataset, split, url).image(...)    the same out of a shard

Shards are made by `python -m data_preprocess export`. Behind a URL, a shard is fetched whole when
its first sample is asked for, once a machine, and kept.
"""

import functools
import io
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from data_preprocess.base.common import UserError, locked, read_json
from data_preprocess.prepared.manifest import manifest_path, read_manifest
from dghin.run.config import DataConfig, is_url

log = logging.getLogger(__name__)
EXPORT = "Export it again: python -m data_preprocess export {} data=RAW output=SHARDS."
ATTEMPTS = 3  # at fetching a file, each going on where the one before was cut off


@dataclass(frozen=True)
class Source:
    """Something that PIL opens, and where it is, for messages."""

    file: Path | io.BytesIO
    place: str
    remedy: str = ""  # for one that cannot be read


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

    def __init__(self, prepared: Path, dataset: str, split: str, url: str = "", sha256: str = ""):
        self.folder, self.remedy = prepared / "shards" / dataset, EXPORT.format(dataset)
        self.url = f"{url}/shards/{quote(dataset)}" if url else ""
        path = self.folder / f"{split}.index.json"
        self._fetch(path.name, sha256=sha256)
        self.index = read_json(path, self.remedy)
        if not isinstance(self.index, dict) or not {"shards", "images", "masks"} <= set(self.index):
            raise UserError(f"{path}: no index of shards. {self.remedy}")

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
        remedy = f"Remove {path}: it is then fetched again." if self.url else self.remedy
        return Source(io.BytesIO(content), f"{path}, {kind[:-1]} {name}", remedy)

    def _fetch(self, name: str, size: int | None = None, sha256: str = "") -> None:
        if self.url:
            fetch(f"{self.url}/{quote(name)}", self.folder / name, size, sha256)


def bring(data: DataConfig, splits: Iterable[str] = ()) -> None:
    """Fetch what is read of prepared data behind a URL: the manifest, and two files a split.

    The manifest is looked at once a process: if it is no longer the one that was fetched before,
    the cache holds other data, which is an error.
    """
    if not is_url(data.prepared):
        if "://" in data.prepared:
            raise UserError(f"data.prepared={data.prepared}: give a folder, or http(s)://...")
        return
    url, folder = data.prepared.rstrip("/"), f"anns/{data.dataset}"
    _bring_manifest(url, data.dataset, data.prepared_root)
    entries = read_manifest(data.prepared_root, data.dataset)["splits"]
    for split in splits:
        digests = entries.get(split, {})
        for name, key in ((f"{split}.json", "annotations"), (f"{split}.language.npz", "language")):
            path = data.prepared_root / folder / name
            fetch(f"{url}/{quote(folder)}/{quote(name)}", path,
                  sha256=digests.get(f"{key}_sha256", ""))  # fmt: skip


@functools.cache
def _bring_manifest(url: str, dataset: str, root: Path) -> None:
    place = manifest_path(root, dataset)
    source = f"{url}/anns/{quote(dataset)}/manifest.json"
    if not place.is_file():
        fetch(source, place)
        return
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as scratch:
        fresh = Path(scratch) / "anns" / dataset / "manifest.json"
        try:
            fetch(source, fresh, attempts=1)
        except UserError as error:
            log.warning("%s What was fetched before is taken.", error)
            return
        changed = fresh.read_bytes() != place.read_bytes()
    if changed:
        raise UserError(
            f"{url}: other data than those in {root} now. Remove that folder, and they are fetched "
            "again; or name another with data.cache=FOLDER."
        )


def fetch(
    url: str, path: Path, size: int | None = None, sha256: str = "", attempts: int = ATTEMPTS
) -> None:
    """Bring a file here unless it is here; one process of a machine does it, the others wait."""
    from data_preprocess.fetch.download import (
        MirrorError,
        WrongFile,
        download_checked,
        no_space,
        note_path,
    )

    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part, lock = path.parent / f".{path.name}.part", path.parent / f".{path.name}.lock"
    lock.touch()
    with locked(lock, wait=True):
        for attempt in range(1, attempts + 1):
            if path.is_file():  # of another process
                return
            try:
                download_checked(url, part, size, sha256)
                note_path(part).unlink(missing_ok=True)
                os.replace(part, path)
            except MirrorError as error:
                log.warning("%s: %s (attempt %d of %d)", url, error, attempt, attempts)
                if attempt == attempts or isinstance(error, WrongFile):
                    raise UserError(
                        f"{url}: {error}. Check data.prepared, and that this machine reaches it; "
                        f"if the data there were exported anew, remove {path.parents[2]}."
                    ) from error
            except OSError as error:
                raise no_space(path, error) from error
