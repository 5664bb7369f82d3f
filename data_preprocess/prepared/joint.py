"""The joint training set: several members' train splits without their held-out images.

    dghin data prepare joint data=DATA members=[refcoco,refcoco+,refcocog_umd]

The members share photos, but split them each in its own way. An image that is in a val or test
split of any member, by its file name, is in no training sample here.

Splits: `train`; `val`, the val splits of all members; and every member's own val and test splits,
such as `refcoco_testA`. Ids carry the member (`refcoco/123`), since those of different members
clash; so masks are found where they lie, in masks/refcoco/. Language features are the members' own.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json, sha256_file, sha256_json, write_json
from data_preprocess.base.progress import tqdm
from data_preprocess.language.features import (
    Features,
    concatenate,
    read_features,
    unread,
    write_features,
)
from data_preprocess.prepared.one_dataset import PrepareSettings, claim
from data_preprocess.raw.datasets import TRAIN, Dataset, find_dataset

from .annotations import counts, expressions, shown
from .manifest import (
    annotation_path,
    command,
    features_path,
    manifest_path,
    split_entry,
    versions,
    write_manifest,
)
from .members import (
    Entries,
    member_digests,
    members_masks,
    prepare_members,
    read_members,
    shared_images_folder,
)

log = logging.getLogger(__name__)

TOGETHER = (TRAIN, "val")  # splits of all members that become one
Held = Mapping[str, list[str]]  # image -> the splits that hold it out


def prepare_joint(settings: PrepareSettings) -> dict[str, Any]:
    """Put the members together, prepared where they are not; returns the manifest.

    It is kept where the digests of the members' files are those that it was made from.
    """
    dataset, root = find_dataset(settings.dataset, settings.members), settings.root
    members = prepare_members(settings, dataset.members)
    made_from = member_digests(root, members)
    if (found := _up_to_date(root, dataset.name, made_from)) is not None:
        log.info("%s: up to date", manifest_path(root, dataset.name))
        return found
    images_folder = shared_images_folder(root, members)
    entries = read_members(root, members)
    held = held_out({name: image_names(splits) for name, splits in entries.items()})
    removed = removals(root, entries, held)
    claim(settings, dataset, sha256_json(list(made_from.items())))
    manifest_path(root, dataset.name).unlink(missing_ok=True)  # also where one file is damaged
    language = next(iter(members.values()))["language"]
    ids = {k: one[k] for one in members.values() for k in ("end_id", "unknown_id") if k in one}
    manifest = {
        "dataset": dataset.name,
        "source": dataset.reader,
        "split_by": dataset.split_by,
        "splits": _write_splits(root, dataset, entries, held, language, ids),
        "members": made_from,
        "removed": removed,
        "masks": members_masks(members),
        "masks_folder": "masks",  # segment ids begin with the member's own
        "language": language,
        **ids,
        "images_folder": images_folder,
        "per_sentence_masks": all(found["per_sentence_masks"] for found in members.values()),
        "dropped": {},
        "versions": versions(),
        "command": command("prepare", settings),
    }
    write_manifest(root, manifest)
    return manifest


def held_out(images: Mapping[str, Mapping[str, Iterable[str]]]) -> dict[str, list[str]]:
    """Image -> the splits that hold it out, such as `refcoco_testA`. images: member -> split."""
    held: dict[str, list[str]] = {}
    for name, splits in images.items():
        for split, files in splits.items():
            for file in set(files) if split != TRAIN else ():
                held.setdefault(file, []).append(f"{name}_{split}")
    return held


def image_names(splits: Mapping[str, Entries]) -> dict[str, list[str]]:
    """The image of every entry, by split."""
    return {split: [entry["img_name"] for entry in listed] for split, listed in splits.items()}


def removals(
    root: Path, entries: Mapping[str, Mapping[str, Entries]], held: Held
) -> dict[str, dict[str, Any]]:
    """What every member's train split loses: counts, and those of every split that is a cause.

    An image that several splits hold out counts for each of them. A train split of which nothing
    is left is an error.
    """
    removed = {}
    for name, splits in entries.items():
        train = splits.get(TRAIN, [])
        gone = [entry for entry in train if entry["img_name"] in held]
        causes: dict[str, Entries] = {}
        for entry in gone:
            for split in held[entry["img_name"]]:
                causes.setdefault(split, []).append(entry)
        if len(gone) == len(train):
            why = f"all its images are in {', '.join(causes)}" if gone else "there is none"
            raise UserError(
                f"{annotation_path(root, name, TRAIN)}: nothing of this train split is left for "
                f"the joint one: {why}. Leave '{name}' out of members=[...]."
            )
        by_split = {split: counts(causes[split]) for split in sorted(causes)}
        removed[name] = counts(gone) | {"held_out_in": by_split}
    for line in removal_card(removed):
        log.info("%s", line)
    return removed


def removal_card(removed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The manifest's `removed` as lines: a member, and below it the splits that are the cause."""
    lines = []
    for name, entry in removed.items():
        lines.append(f"removed from {name} {TRAIN}: {shown(entry)}")
        lines += [f"  held out in {s}: {shown(found)}" for s, found in entry["held_out_in"].items()]
    return lines


def _up_to_date(root: Path, dataset: str, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest, if it is of these members in this order and its files are as it says."""
    path = manifest_path(root, dataset)
    if not path.is_file():
        return None
    manifest = read_json(path, "Remove it; the joint set is then made again.")
    if list(manifest.get("members", {}).items()) != list(made_from.items()):
        return None
    for split, entry in manifest["splits"].items():
        files = annotation_path(root, dataset, split), features_path(root, dataset, split)
        wanted = entry["annotations_sha256"], entry["language_sha256"]
        if any(not f.is_file() or sha256_file(f) != w for f, w in zip(files, wanted, strict=True)):
            return None
    return manifest


def _write_splits(
    root: Path,
    dataset: Dataset,
    entries: Mapping[str, Mapping[str, Entries]],
    held: Held,
    language: Mapping[str, Any],
    ids: Mapping[str, int],
) -> dict[str, dict[str, Any]]:
    """Write every split's annotations and features; returns what the manifest says of them."""
    sources = {split: [(n, split) for n in entries if split in entries[n]] for split in TOGETHER}
    sources |= {f"{n}_{s}": [(n, s)] for n in entries for s in entries[n] if s != TRAIN}
    sources = {split: pairs for split, pairs in sources.items() if pairs}
    _remove_others(manifest_path(root, dataset.name).parent, sources)
    written = {}
    for split, pairs in tqdm(sources.items(), dataset.name, unit=" splits"):
        lots = [_part(root, n, s, entries[n][s], held, language) for n, s in pairs]
        listed = [entry for part, _ in lots for entry in part]
        write_json(annotation_path(root, dataset.name, split), listed)
        key = {**language, "sentences": sha256_json(expressions(listed))}
        features = concatenate([lot for _, lot in lots])
        write_features(features_path(root, dataset.name, split), features, key)
        written[split] = split_entry(root, dataset.name, split, listed, ids.get("end_id"))
        if "unknown_id" in ids and (missed := int(unread(features, ids["unknown_id"]).sum())):
            written[split]["unread"] = missed
    return written


def _remove_others(folder: Path, splits: Iterable[str]) -> None:
    """Remove the files of splits that an earlier joint set had, of other members."""
    for path in [*folder.glob("[!.]*.json"), *folder.glob("[!.]*.language.npz")]:
        if path.name.partition(".")[0] not in splits:
            path.unlink()


def _part(
    root: Path, name: str, split: str, entries: Entries, held: Held, language: Mapping[str, Any]
) -> tuple[Entries, Features]:
    """A member's split as part of a joint one: new ids; of train, only images not held out."""
    kept = [split != TRAIN or entry["img_name"] not in held for entry in entries]
    rows = np.repeat(kept, [len(entry["sentences"]) for entry in entries])
    features = read_features(features_path(root, name, split), language, expressions(entries))
    named = [entry | {"segment_id": f"{name}/{entry['segment_id']}"} for entry in entries]
    return [entry for entry, keep in zip(named, kept, strict=True) if keep], features[rows]
