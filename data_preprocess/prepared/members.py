"""The members of the joint training set: prepared, of one language key, with one image folder."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file, sha256_json
from data_preprocess.language.features import check_key
from data_preprocess.language.resources import folder_vocabulary, resolve, vocabulary_digest
from data_preprocess.prepared.one_dataset import PrepareSettings
from data_preprocess.raw.datasets import find_dataset
from data_preprocess.raw.refer import refer_sources

from .annotations import read_entries
from .manifest import annotation_path, features_path, manifest_path, read_manifest
from .mask_files import sources_digest
from .one_dataset import prepare_one

Entries = list[dict[str, Any]]
Manifests = Mapping[str, Mapping[str, Any]]


def prepare_members(settings: PrepareSettings, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The members' manifests, by name. A prepared or adopted member is taken as it is.

    One that is not prepared, or from other raw files than lie there now, is prepared. Features of
    another key than the settings ask for, or than the first member has, are an error.
    """
    root, members = settings.root, {}
    for name in names:  # all of them first: nothing is drawn before an error
        if manifest_path(root, name).is_file():
            members[name] = read_manifest(root, name)
            check_key(manifest_path(root, name), members[name]["language"], _asked(settings))
    for name in names:
        own = dataclasses.replace(settings, dataset=name, members=())
        if name not in members:
            members[name] = prepare_one(own)
        elif _is_outdated(own, members[name]):
            form = members[name]["per_sentence_masks"]
            members[name] = prepare_one(dataclasses.replace(own, per_sentence_masks=form))
    members = {name: members[name] for name in names}
    first = next(iter(members.values()))["language"]
    for name, found in members.items():
        check_key(manifest_path(root, name), found["language"], first)
    return members


def read_members(root: Path, members: Manifests) -> dict[str, dict[str, Entries]]:
    """The members' annotations: member -> split -> entries."""
    return {
        name: {split: read_entries(annotation_path(root, name, split)) for split in found["splits"]}
        for name, found in members.items()
    }


def member_digests(root: Path, members: Manifests) -> dict[str, dict[str, Any]]:
    """What the joint set depends on: digests of every member's files, and its masks."""
    return {
        name: {
            "splits": {
                split: {
                    "annotations_sha256": _digest(annotation_path(root, name, split), name),
                    "language_sha256": _digest(features_path(root, name, split), name),
                }
                for split in found["splits"]
            },
            "masks_sha256": found["masks"]["sha256"],
            "images_folder": found["images_folder"],
        }
        for name, found in members.items()
    }


def members_masks(members: Manifests) -> dict[str, Any]:
    """Number and digest of all members' masks, also of those that no joint split needs."""
    masks = [found["masks"] for found in members.values()]
    return {
        "count": sum(entry["count"] for entry in masks),
        "sha256": sha256_json([entry["sha256"] for entry in masks]),
    }


def shared_images_folder(root: Path, members: Manifests) -> str:
    """The image folder of all members, as their manifests say it; two folders are an error."""
    folders = {name: found["images_folder"] for name, found in members.items()}
    (first, folder), *others = folders.items()
    for name, other in others:
        if (root / other).resolve() != (root / folder).resolve():
            raise UserError(
                f"{manifest_path(root, name)}: the images of '{name}' are in {other}, those of "
                f"'{first}' in {folder}. Prepare both with the same data=RAW."
            )
    return folder


def _asked(settings: PrepareSettings) -> dict[str, Any]:
    """The language key that the settings ask for, as far as it shows without spaCy.

    The tokenizer's digest takes part where the tokenizer lies on this machine.
    """
    key = {name: getattr(settings, name) for name in ("parser", "words", "alignment")}
    vocabulary = folder_vocabulary(resolve(settings.tokenizer, settings.data))
    return key | ({"tokenizer": vocabulary_digest(vocabulary)} if vocabulary else {})


def _is_outdated(settings: PrepareSettings, manifest: Mapping[str, Any]) -> bool:
    """Whether the raw files, if they are here, are others than the member was prepared from."""
    sources = refer_sources(Path(settings.data), find_dataset(settings.dataset))
    made_from = manifest.get("sources_sha256")  # adopted data has none
    if made_from is None or not all(path.is_file() for path in sources):
        return False
    return sources_digest(sources, ()) != made_from


def _digest(path: Path, name: str) -> str:
    if not path.is_file():
        raise UserError(
            f"{path}: no such file, but the manifest beside it names it. Make it again: "
            f"dghin data prepare {name} data=RAW."
        )
    return sha256_file(path)
