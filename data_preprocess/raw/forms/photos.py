"""Photos where they are: in one of several folders, under COCO's names of 2014 or of 2017.

COCO's train2017 holds the photos of train2014 under shorter names: 000000000001.jpg is
COCO_train2014_000000000001.jpg.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from data_preprocess.base.errors import UserError
from data_preprocess.raw.records import Raw

# folders of photos below a raw root, as REFER, COCO, LISA (refer_seg) and RRSIS-D have them
_BELOW = (
    "",
    "images",
    "images/train2014",
    "images/train2017",
    "train2014",
    "train2017",
    "images/mscoco/images/train2014",
    "coco/train2014",
    "coco/train2017",
    "images/unlabeled2017",
    "unlabeled2017",
    "coco/unlabeled2017",
    "JPEGImages",
    "images/rrsisd/JPEGImages",
    "photos",
    "images/saiapr_tc-12",
    "saiapr_tc-12",
)
_LONG = re.compile(r"COCO_(?:train|val)2014_(\d{12}\.jpg)")
_SHORT = re.compile(r"\d{12}\.jpg")
_SAIAPR = re.compile(r"\d{1,5}\.jpg")  # ReferIt's 1234.jpg is 01/images/1234.jpg in its archive
_TRIED = 20  # photos that are looked for in every folder


def folders_below(root: Path) -> list[Path]:
    """The folders in which photos may lie, if their root is this one."""
    return [root / name for name in _BELOW]


def locate(raw: Raw, folders: Sequence[Path]) -> Raw:
    """The records with the folder and the names under which their photos are there.

    The folder is the one that has most of the first photos. If none has any, the first folder and
    the given names stay: `prepare` then says which folders were looked in.
    """
    folders = list(dict.fromkeys(folders))
    names = {record.image: None for records in raw.splits.values() for record in records}
    first = list(islice(names, _TRIED))
    hits = [sum(bool(find_photo(folder, name)) for name in first) for folder in folders]
    folder = folders[hits.index(max(hits))]
    found = {name: find_photo(folder, name) or name for name in names}
    splits = {
        split: [
            record
            if found[record.image] == record.image
            else replace(record, image=found[record.image])
            for record in records
        ]
        for split, records in raw.splits.items()
    }
    return replace(raw, splits=splits, images=folder, looked_in=tuple(folders))


def check_folder(folder: Path, key: str = "images") -> Path:
    """The folder given as images=FOLDER, or under another key, if there is one."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Give the photos' with {key}=FOLDER.")
    return folder


def find_photo(folder: Path, name: str) -> str | None:
    """The name under which a photo is in a folder; None if it is not there."""
    for other in _names(name):
        if (folder / other).is_file():
            return other
    return None


def _names(name: str) -> list[str]:
    """The names a photo may have: as given, without its folder, and COCO's of the other year."""
    bare = name.rpartition("/")[2]
    names = [name, bare]
    if long := _LONG.fullmatch(bare):
        names.append(long[1])
    elif _SHORT.fullmatch(bare):
        names += [f"COCO_train2014_{bare}", f"COCO_val2014_{bare}"]
    elif _SAIAPR.fullmatch(bare):
        names.append(f"{int(bare[:-4]) // 1000:02d}/images/{bare}")
    return list(dict.fromkeys(names))
