"""manifest.json: what a prepared data set holds, written when everything else is in place."""

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json, sha256_file, write_json

from .annotations import counts

_PACKAGES = ("numpy", "pillow", "pycocotools", "scipy", "spacy", "transformers", "tokenizers")


def prepared_root(data: str, prepared: str) -> Path:
    """The folder of prepared data: as it is named, or data_v3 in the raw root `data`."""
    return Path(prepared) if prepared else Path(data) / "data_v3"


def annotation_path(root: Path, dataset: str, split: str) -> Path:
    return root / "anns" / dataset / f"{split}.json"


def features_path(root: Path, dataset: str, split: str) -> Path:
    return root / "anns" / dataset / f"{split}.language.npz"


def manifest_path(root: Path, dataset: str) -> Path:
    return root / "anns" / dataset / "manifest.json"


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


def split_entry(root: Path, dataset: str, split: str, entries: list[dict]) -> dict[str, Any]:
    """Counts and digests of one split whose files are written."""
    return counts(entries) | {
        "annotations_sha256": sha256_file(annotation_path(root, dataset, split)),
        "language_sha256": sha256_file(features_path(root, dataset, split)),
    }


def write_manifest(root: Path, manifest: Mapping[str, Any]) -> None:
    write_json(manifest_path(root, manifest["dataset"]), manifest)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the prepared files depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
