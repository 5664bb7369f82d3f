"""manifest.json: what a prepared data set holds, written when everything else is in place."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json, sha256_file, write_json
from data_preprocess.base.settings import to_mapping
from data_preprocess.language.features import cut_off, read_features
from data_preprocess.language.resources import short_name
from data_preprocess.raw.datasets import Dataset, prepared_name
from data_preprocess.raw.records import Raw

from .annotations import counts

_PACKAGES = ("numpy", "pillow", "pycocotools", "scipy", "spacy", "transformers", "tokenizers")


CUT = "cut"  # in a split's entry
MANY = 0.05  # of a split's expressions: more that are cut is a warning


def prepared_root(data: str, prepared: str) -> Path:
    """The folder of prepared data: as it is named, or data_v3 in the raw root `data`."""
    return Path(prepared) if prepared else Path(data) / "data_v3"


def annotation_path(root: Path, dataset: str, split: str) -> Path:
    return root / "anns" / prepared_name(dataset) / f"{split}.json"


def features_path(root: Path, dataset: str, split: str) -> Path:
    return root / "anns" / prepared_name(dataset) / f"{split}.language.npz"


def manifest_path(root: Path, dataset: str) -> Path:
    return root / "anns" / prepared_name(dataset) / "manifest.json"


def masks_path(root: Path, dataset: str) -> Path:
    return root / "masks" / prepared_name(dataset)


def read_manifest(root: Path, dataset: str) -> dict[str, Any]:
    """The manifest of a prepared data set; a missing one says how to prepare."""
    path = manifest_path(root, dataset)
    remedy = (
        f"Prepare the data first: dghin data prepare {dataset} data=RAW (prepared "
        f"data of the original: dghin data adopt {dataset} data=RAW)."
    )
    manifest = read_json(path, remedy)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("splits"), dict):
        raise UserError(f"{path}: no manifest of a prepared data set. {remedy}")
    if not all(isinstance(entry, dict) for entry in manifest["splits"].values()):
        raise UserError(f"{path}: its splits are no counts and digests. {remedy}")
    return manifest


def split_entry(
    root: Path, dataset: str, split: str, entries: list[dict], end_id: int | None
) -> dict[str, Any]:
    """Counts and digests of one split whose files are written. `cut`: the expressions whose last
    word pieces had no position left; without it where no words were read (`parser=none`).

    end_id: as of language.features.cut_off.
    """
    path = features_path(root, dataset, split)
    cut = cut_off(read_features(path), end_id)
    return (
        counts(entries)
        | ({} if cut is None else {CUT: int(cut.sum())})
        | {
            "annotations_sha256": sha256_file(annotation_path(root, dataset, split)),
            "language_sha256": sha256_file(path),
        }
    )


def cut_counts(root: Path, manifest: Mapping[str, Any]) -> dict[str, int]:
    """split -> how many of its expressions are cut, as the manifest says; of an older one, as the
    features do. Splits of which nobody knows are left out."""
    found = {}
    for split, entry in manifest["splits"].items():
        if CUT in entry:
            found[split] = entry[CUT]
            continue
        path = features_path(root, manifest.get("dataset", ""), split)
        cut = cut_off(read_features(path)) if path.is_file() else None
        if cut is not None:
            found[split] = int(cut.sum())
    return found


def cut_text(cut: int, expressions: int, words: int) -> str:
    """How many expressions are cut, as text for people; with the remedy where they are many."""
    share = cut / max(1, expressions)
    text = f"{cut:,} of {expressions:,} expressions cut after {words} word pieces ({share:.1%})"
    if share > MANY:
        text += (
            f". Warning: the network never reads what is cut. Prepare with words=N, larger than "
            f"{words}, and train with model.words=N"
        )
    return text


def cut_lines(root: Path, manifest: Mapping[str, Any]) -> list[str]:
    """A line for every split of which it is known how many expressions are cut."""
    words = manifest["language"]["words"]
    return [
        f"{split}: {cut_text(cut, manifest['splits'][split]['expressions'], words)}"
        for split, cut in cut_counts(root, manifest).items()
    ]


def write_manifest(root: Path, manifest: Mapping[str, Any]) -> None:
    write_json(manifest_path(root, manifest["dataset"]), manifest)


def check_outputs(root: Path, dataset: str, raw: Raw) -> None:
    """UserError where the prepared data would be written over what they are made from: an input
    that lies in one of their folders, or a file where one of them would be."""
    outputs = [
        Path(os.path.realpath(folder))
        for folder in (manifest_path(root, dataset).parent, masks_path(root, dataset))
    ]
    records = [record for listed in raw.splits.values() for record in listed]
    inputs = [*raw.sources, *(record.shape for record in records if isinstance(record.shape, Path))]
    for path in dict.fromkeys([*inputs, *(raw.images / record.image for record in records)]):
        real = Path(os.path.realpath(path))
        for folder in outputs:
            if real.is_relative_to(folder) or real.is_file() and folder.is_relative_to(real):
                raise UserError(
                    f"{path}: is read here, and the prepared data go to {folder}: it could be "
                    "written over or removed. Name another folder with output=FOLDER, or move "
                    "what is read."
                )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the prepared files depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def relative(path: Path, root: Path) -> str:
    """A folder as seen from the prepared root: prepared data can move with its raw root."""
    return Path(os.path.relpath(path.resolve(), root.resolve())).as_posix()


def images_folder(settings: Any, dataset: Dataset, raw: Raw | None = None) -> str:
    """The image folder as seen from the prepared root. A link inside the raw root stays one.

    Photos of a data set of your own (of a `raw` one), and those that were found elsewhere, may
    lie anywhere.
    """
    place = Path(settings.data) / dataset.images
    if raw is not None and (dataset.reader == "custom" or raw.images != place):
        return relative(raw.images, settings.root)
    return (Path(relative(Path(settings.data), settings.root)) / dataset.images).as_posix()


def command(name: str, settings: Any) -> str:
    """The command that makes the same files, with paths as seen from the prepared root."""
    root, default = settings.root, to_mapping(type(settings)())
    words = [f"dghin data {name} {settings.dataset}"]
    words.append(f"data={relative(Path(settings.data), root)} output=.")
    for key, value in to_mapping(settings).items():
        if key not in ("dataset", "data", "output", "workers", "overwrite") and (
            value != default[key]
        ):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            text = f"[{','.join(value)}]" if isinstance(value, list) else text
            words.append(f"{key}={short_name(text) if key == 'tokenizer' else text}")
    return " ".join(words)
