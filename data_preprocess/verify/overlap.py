"""Which splits share images, within a data set and across all that are on disk.

RefCOCO, RefCOCO+, G-Ref and gRefCOCO show photos of the same COCO set and split them differently:
what is trained on one may be tested on another. The google splits go by objects, so that even
their own train and val share images.
"""

import itertools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data_preprocess.base.errors import UserError
from data_preprocess.prepared.annotations import read_entries
from data_preprocess.prepared.manifest import annotation_path, read_manifest
from data_preprocess.raw.datasets import (
    JOINT,
    KNOWN,
    TRAIN,
    Dataset,
    has_drawn,
    is_drawn,
    true_name,
)
from data_preprocess.raw.forms.read import find_forms
from data_preprocess.raw.readers import read_raw
from data_preprocess.raw.records import Raw

if TYPE_CHECKING:
    import pandas

log = logging.getLogger(__name__)

COLUMNS = ("Split", "Other split", "Shared images", "Images", "Images, other", "Leak")
BY_OBJECT = ("google",)  # split_by whose own splits are known to share images
_TRAINS = (TRAIN, "trainval")
Images = Mapping[str, Mapping[str, set[Path]]]  # data set -> split -> image files


def images_on_disk(data: Path, root: Path, known: Mapping[str, Raw] = {}) -> Images:
    """The images of every split of every data set under the raw root and the prepared root.

    known: raw data sets that have been read already. One that cannot be read is left out, with a
    warning.
    """
    found: dict[str, dict[str, set[Path]]] = {}
    for name, dataset in KNOWN.items():
        if name in known or _has_raw(data, dataset):
            try:
                raw = known.get(name) or read_raw(data, dataset)
                folder = raw.images.resolve()  # once: it costs a look at every folder above
                found[name] = {
                    split: {folder / record.image for record in records}
                    for split, records in raw.splits.items()
                }
            except UserError as error:
                log.warning("left out of the comparison: %s", error)
    for manifest in sorted(root.glob("anns/*/manifest.json")):
        name = manifest.parent.name
        if name not in found:
            try:
                own = read_manifest(root, name).get("dataset", name)
                if own not in found:  # a folder may be there twice, under a link's name, too
                    found[own] = _prepared_images(root, name)
            except (UserError, KeyError) as error:
                log.warning("left out of the comparison: %s: %s", manifest, error)
    return found


def overlaps(images: Images) -> "pandas.DataFrame":
    """Every two splits that share images, leaks first: a row a pair, see COLUMNS.

    Leak: "own" where a data set's train shares images with its own held-out splits, "other" where
    it does with another's, empty else.
    """
    import pandas

    splits = [(name, split) for name, listed in images.items() for split in listed]
    lines = []
    for one, other in itertools.combinations(splits, 2):
        first, second = images[one[0]][one[1]], images[other[0]][other[1]]
        shared = len(first & second)
        if shared and not (JOINT in (one[0], other[0]) and _is_derived(one, other)):
            names = ":".join(one), ":".join(other)
            lines.append([*names, shared, len(first), len(second), _leak(one, other)])
    table = pandas.DataFrame(lines, columns=list(COLUMNS))
    order = {"own": 0, "other": 1, "": 2}
    return table.sort_values("Leak", key=lambda kinds: kinds.map(order), kind="stable",
                             ignore_index=True)  # fmt: skip


def _is_derived(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether a pair with the joint set says nothing new: its splits are those of its members.

    What remains is its train split beside held-out ones of any data set.
    """
    mine, theirs = (one, other) if one[0] == JOINT else (other, one)
    return mine[1] not in _TRAINS or theirs[1] in _TRAINS


def unexpected(table: "pandas.DataFrame", dataset: Dataset) -> "pandas.DataFrame":
    """The rows that should not be: a data set's own train and held-out splits share images."""
    own = table[(table["Leak"] == "own") & table["Split"].str.startswith(f"{dataset.name}:")]
    return own.iloc[:0] if dataset.split_by in BY_OBJECT else own


def _leak(one: tuple[str, str], other: tuple[str, str]) -> str:
    if (one[1] in _TRAINS) == (other[1] in _TRAINS):
        return ""
    return "own" if one[0] == other[0] else "other"


def _has_raw(data: Path, dataset: Dataset) -> bool:
    if true_name(dataset.name, data) != dataset.name or (
        is_drawn(dataset.name) and not has_drawn(data)
    ):
        return False  # drawn scenes have one name, and photos another
    folder = data / dataset.folder
    if dataset.reader == "referit":
        return (folder / "referit_query_test.json").is_file()
    if dataset.reader == "form":
        return folder.is_dir()
    return (data / dataset.refs).is_file() or folder.is_dir() and bool(find_forms(folder, dataset))


def _prepared_images(root: Path, name: str) -> dict[str, set[Path]]:
    manifest = read_manifest(root, name)
    folder = (root / manifest["images_folder"]).resolve()
    return {
        split: {folder / e["img_name"] for e in read_entries(annotation_path(root, name, split))}
        for split in manifest["splits"]
    }
