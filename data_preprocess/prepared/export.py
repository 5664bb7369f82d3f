"""A prepared data set -> WebDataset tar shards, for clusters without a shared file system.

    python -m data_preprocess export refcoco data=DATA output=SHARDS

SHARDS/anns/<set>/ holds manifest, annotations and language features as they were; SHARDS/shards/
<set>/ holds <split>-000000.tar, ... and <split>.index.json. A sample is an image with everything
said of it: KEY.jpg (the file's own bytes), KEY.mask0.png, ... (one a referent), and KEY.json (the
image's name, its expressions, their language features and the number of their mask). The trainer
reads it with data.prepared=SHARDS, or with a URL of that folder.
"""

import io
import json
import logging
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from data_preprocess.base.common import (
    UserError,
    atomic_path,
    read_json,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
)
from data_preprocess.base.workers import run_tasks, workers_for
from data_preprocess.language.features import CODES, Features, read_features

from .annotations import expressions, read_entries
from .manifest import (
    annotation_path,
    features_path,
    prepared_root,
    read_manifest,
    write_manifest,
)

log = logging.getLogger(__name__)

FORMAT = 1  # of the index
_FEATURES = ("word_ids", "attention_mask", "pos", "heads")


@dataclass(frozen=True)
class ExportSettings:
    dataset: str = "refcoco"  # a prepared data set
    data: str = "data"  # the raw root
    prepared: str = ""  # the prepared root; DATA/data_v3 if empty
    output: str = ""  # where to write
    split: str = ""  # every split if empty
    shard_mb: int = 256  # megabytes a shard holds at most (one sample at least)
    workers: int = 0  # processes; 0 for one a core

    @property
    def root(self) -> Path:
        """The prepared root."""
        return prepared_root(self.data, self.prepared)


@dataclass(frozen=True)
class Sample:
    """An image, the masks of its referents by segment id, and what is said of them."""

    key: str
    name: str
    image: Path
    masks: Mapping[str, Path]
    expressions: list[dict[str, Any]]

    @property
    def size(self) -> int:
        """Bytes, about: text counts little beside pictures."""
        return sum(path.stat().st_size for path in (self.image, *self.masks.values()))


@dataclass(frozen=True)
class Shard:
    path: Path
    samples: tuple[Sample, ...]


def export(settings: ExportSettings) -> dict[str, int]:
    """Write the shards; → their number by split. Shards that are there and valid are kept."""
    manifest = read_manifest(settings.root, settings.dataset)
    if not settings.output:
        raise UserError("output: name the folder to write to with output=SHARDS.")
    output = Path(settings.output)
    if output.resolve() == settings.root.resolve():
        raise UserError(f"{output}: the prepared data are there. Choose another output=FOLDER.")
    splits = [settings.split] if settings.split else list(manifest["splits"])
    for split in splits:
        if split not in manifest["splits"]:
            known = ", ".join(manifest["splits"])
            raise UserError(f"{settings.dataset} has no split '{split}'. It has: {known}.")
    written = {split: _export_split(settings, manifest, split, output) for split in splits}
    _write_manifest(settings, manifest, output)
    return written


def _write_manifest(settings: ExportSettings, manifest: Mapping[str, Any], output: Path) -> None:
    """The manifest of all splits that are exported from these prepared data, now or earlier.

    What was exported from other data is no longer one data set with these: it is taken out.
    """
    there = {}
    for split, entry in manifest["splits"].items():
        index = index_path(output, settings.dataset, split)
        if not index.is_file():
            continue
        if read_json(index, "Remove it.").get("data") == _data_digest(manifest, split):
            there[split] = dict(entry) | {"index_sha256": sha256_file(index)}
        else:
            log.warning("%s: of other data than these, taken out. Export it again.", index)
            index.unlink()
    write_manifest(output, dict(manifest) | {"splits": there, "shards": FORMAT})


def _data_digest(manifest: Mapping[str, Any], split: str) -> str:
    """What a split's shards hold, whatever their size: annotations, features, masks."""
    entry = manifest["splits"][split]
    digests = [entry["annotations_sha256"], entry["language_sha256"], manifest["masks"]["sha256"]]
    return sha256_json([FORMAT, *digests])


def index_path(root: Path, dataset: str, split: str) -> Path:
    return root / "shards" / dataset / f"{split}.index.json"


def _export_split(
    settings: ExportSettings, manifest: Mapping[str, Any], split: str, output: Path
) -> int:
    root, name = settings.root, settings.dataset
    data, index = _data_digest(manifest, split), index_path(output, name, split)
    shards = _plan(settings, manifest, split, output)
    _claim(output, name, split, sha256_json([data, settings.shard_mb, _photos(shards)]))
    known = {entry["name"]: entry for entry in _entries(index)}
    missing = [shard for shard in shards if not _is_whole(shard.path, known)]
    total, done = len(shards), len(shards) - len(missing)
    with tqdm(desc=f"{name} {split}", total=total, initial=done, unit=" shards") as bar:
        for _ in run_tasks(_write_shard, missing, workers_for(settings.workers, len(missing))):
            bar.update()
    for place in (annotation_path, features_path):
        content = place(root, name, split).read_bytes()
        target = place(output, name, split)
        if not target.is_file() or target.read_bytes() != content:
            with atomic_path(target) as temporary:
                temporary.write_bytes(content)
    if missing or not known:
        write_json(index, {"data": data, **_index(shards)}, indent=None)
    else:
        log.info("%s: up to date", index)
    return len(shards)


def _photos(shards: list[Shard]) -> list[tuple[str, int, int]]:
    """The state of the photos: they have no digest in the manifest."""
    states = [(sample.name, sample.image.stat()) for shard in shards for sample in shard.samples]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in states]


def _claim(output: Path, dataset: str, split: str, made_from: str) -> None:
    """Note what a split's shards are made from; remove those that were made from other files."""
    note = output / "shards" / dataset / f".{split}.export.txt"
    if note.is_file() and note.read_text(encoding="utf-8") == made_from:
        return
    index_path(output, dataset, split).unlink(missing_ok=True)
    for path in note.parent.glob(f"{split}-[0-9]*.tar"):
        path.unlink()
    write_text(note, made_from)


def _entries(index: Path) -> list[dict[str, Any]]:
    """The shards as an index has them; none if there is no whole index."""
    try:
        return read_json(index, "Remove it.")["shards"] if index.is_file() else []
    except (UserError, KeyError, TypeError):
        return []


def _is_whole(path: Path, known: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a shard is there, with the bytes that the index has of it, if there is an index."""
    if not path.is_file():
        return False
    entry = known.get(path.name)
    return not known or (entry is not None and sha256_file(path) == entry["sha256"])


def _plan(
    settings: ExportSettings, manifest: Mapping[str, Any], split: str, output: Path
) -> list[Shard]:
    """Which sample goes into which shard: in the order of the annotations."""
    folder = output / "shards" / settings.dataset
    groups: list[list[Sample]] = []
    size, limit = 0, settings.shard_mb * 1_000_000
    for sample in _samples(settings, manifest, split):
        own = sample.size
        if not groups or size + own > limit:
            groups.append([])
            size = 0
        groups[-1].append(sample)
        size += own
    return [
        Shard(folder / f"{split}-{number:06d}.tar", tuple(group))
        for number, group in enumerate(groups)
    ]


def _samples(settings: ExportSettings, manifest: Mapping[str, Any], split: str) -> Iterator[Sample]:
    """One an image, every file checked to be there before any shard is written."""
    root, name = settings.root, settings.dataset
    entries = read_entries(annotation_path(root, name, split))
    features = read_features(
        features_path(root, name, split), manifest["language"], expressions(entries)
    )
    images = root / manifest["images_folder"]
    masks = root / manifest.get("masks_folder", f"masks/{name}")
    groups: dict[str, list[dict[str, Any]]] = {}
    files: dict[str, dict[str, Path]] = {}
    row = 0
    for entry in entries:
        segment, image = str(entry["segment_id"]), entry["img_name"]
        files.setdefault(image, {})[segment] = masks / f"{segment}.png"
        for sentence in entry["sentences"]:
            described = _describe(entry, sentence, row, features)
            groups.setdefault(image, []).append(described)
            row += 1
    for number, (image, listed) in enumerate(groups.items()):
        sample = Sample(f"{number:08d}", image, images / image, files[image], listed)
        for path in (sample.image, *sample.masks.values()):
            if not path.is_file():
                raise UserError(f"{path}: no such file. Prepare {name} again, then export it.")
        yield sample


def _describe(
    entry: Mapping[str, Any], sentence: Mapping[str, Any], row: int, features: Features
) -> dict[str, Any]:
    """An expression as KEY.json holds it; `index` is its place in the split."""
    segment = str(entry["segment_id"])
    extra = {
        key: entry[key] for key in ("category", "bbox", "targets", "distractors") if key in entry
    }
    language = {key: getattr(features, key)[row].tolist() for key in _FEATURES}
    numbers = {key: int(getattr(features, key)[row]) for key in ("length", "depth")}
    kind = {"kind": CODES[features.kind[row]]} if features.kind[row] else {}  # a label comes first
    own = {"index": row, "segment_id": segment}
    return {**own, **kind, **sentence, **extra, **language, **numbers}


def _write_shard(shard: Shard) -> None:
    """Equal samples give equal bytes: members carry no time and no owner."""
    with atomic_path(shard.path) as temporary, tarfile.open(temporary, "w") as tar:
        for sample in shard.samples:
            numbers = {segment: number for number, segment in enumerate(sample.masks)}
            described = [{**e, "mask": numbers[e["segment_id"]]} for e in sample.expressions]
            text = json.dumps({"image": sample.name, "expressions": described})
            _add(tar, f"{sample.key}{_suffix(sample.image)}", sample.image.read_bytes())
            for segment, path in sample.masks.items():
                _add(tar, f"{sample.key}.mask{numbers[segment]}.png", path.read_bytes())
            _add(tar, f"{sample.key}.json", text.encode("utf-8"))


def _suffix(path: Path) -> str:
    """A photo's suffix; of one without, what its format is called: readers go by it."""
    if path.suffix:
        return path.suffix.lower()
    with Image.open(path) as image:
        return f".{image.format.lower()}"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _index(shards: list[Shard]) -> dict[str, Any]:
    """Where every image and mask is: [shard, first byte, number of bytes]."""
    images: dict[str, list[int]] = {}
    masks: dict[str, list[int]] = {}
    files = []
    for number, shard in enumerate(shards):
        with tarfile.open(shard.path) as tar:
            places = {m.name: [number, m.offset_data, m.size] for m in tar.getmembers()}
        for sample in shard.samples:
            images[sample.name] = places[f"{sample.key}{_suffix(sample.image)}"]
            for place, segment in enumerate(sample.masks):
                masks[segment] = places[f"{sample.key}.mask{place}.png"]
        size = shard.path.stat().st_size
        digest = sha256_file(shard.path)
        files.append({"name": shard.path.name, "bytes": size, "sha256": digest})
    return {"shards": files, "images": images, "masks": masks}
