"""The data sets by name: where the raw files lie, which splits there are, who reads them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.files import read_json


@dataclass(frozen=True)
class Dataset:
    """One data set as this kit names it. Folders are relative to the raw root.

    `joint` has members instead of raw files: its folder and split_by are empty; so are those of
    a data set of your own ("custom"), whose name is free. reader "form": its files have the one
    form that is named (raw/forms).
    """

    name: str
    reader: Literal["refer", "grefer", "referit", "form", "joint", "custom"]
    folder: str
    split_by: str
    splits: tuple[str, ...]
    images: str
    members: tuple[str, ...] = ()
    form: str = ""

    @property
    def has_unreadable(self) -> bool:
        """Whether its photos are ReferIt's, three of which no one can read."""
        return self.folder in ("referit", "refclef")

    @property
    def refs(self) -> str:
        """The file of referring expressions in a REFER folder; gRefCOCO's is JSON."""
        name = "grefs({}).json" if self.reader == "grefer" else "refs({}).p"
        return f"{self.folder}/{name.format(self.split_by)}"


_COCO, _SAIAPR = "images/train2014", "images/referit/images"
_UNC = ("train", "val", "testA", "testB")

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("refcoco", "refer", "refcoco", "unc", _UNC, _COCO),
        Dataset("refcoco_google", "refer", "refcoco", "google", ("train", "val", "test"), _COCO),
        Dataset("refcoco+", "refer", "refcoco+", "unc", _UNC, _COCO),
        Dataset("refcocog_umd", "refer", "refcocog", "umd", ("train", "val", "test"), _COCO),
        Dataset("refcocog_google", "refer", "refcocog", "google", ("train", "val"), _COCO),
        Dataset(
            "referit", "referit", "referit", "berkeley", ("trainval", "test"),
            "images/referit/images",
        ),
        Dataset("grefcoco", "grefer", "grefcoco", "unc", _UNC, _COCO),
        # ReferIt's text and regions in REFER's layout: other splits and cleaned sentences
        Dataset("refclef_unc", "refer", "refclef", "unc", (*_UNC, "testC"), _SAIAPR),
        Dataset("refclef_berkeley", "refer", "refclef", "berkeley", ("train", "val", "test"),
                _SAIAPR),
        Dataset("refcoco-m", "form", "refcoco-m", "", ("val",), "images/refcoco-m",
                form="refcoco-m"),
        Dataset("arefcoco", "form", "arefcoco", "", ("train", "test"), _COCO, form="arefcoco"),
        Dataset("gseval", "form", "gseval", "", ("test",), "images/unlabeled2017", form="gseval"),
    )
}  # fmt: skip

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")
JOINT, TRAIN = "joint", "train"
DRAWN = {"refcoco": "shapes", "referit": "shapes_referit"}  # a layout → the drawn scenes in it
EMBEDDED = {drawn: replace(DATASETS[layout], name=drawn) for layout, drawn in DRAWN.items()}
KNOWN = DATASETS | EMBEDDED
MARKER = "shapes.json"  # what `dghin data shapes` leaves in a raw root that it has drawn
MEMBERS = ("refcoco", "refcoco+", "refcocog_umd")  # of `joint`, unless others are named


def find_dataset(name: str, members: Iterable[str] = ()) -> Dataset:
    """The data set of that name; an unknown name is an error with the nearest known one.

    members: what `joint` puts together (empty: MEMBERS); no other data set has any.
    """
    if name == JOINT:
        return _joint(tuple(members) or MEMBERS)
    if name not in KNOWN:
        error = unknown_name("data set", name, [*KNOWN, JOINT])
        raise UserError(
            f"{error} For one of your own: dghin data custom {name} table=FILE, or "
            f"dghin data prepare {name} form=NAME raw=FOLDER."
        )
    if members:
        raise UserError(
            f"members=[{','.join(members)}]: '{name}' is put together from nothing. Leave members "
            f"out, or name the data set '{JOINT}'."
        )
    return KNOWN[name]


def check_own_name(name: str, example: str) -> str:
    """The name of a data set of your own: letters and digits, and no known one.

    example: a command that gives it.
    """
    if not _NAME.fullmatch(name) or name in KNOWN or name == JOINT:
        raise UserError(
            f"data set '{name}': give yours a name of its own, of letters, digits, _, + and -, "
            f"first of all words: {example} (taken: {', '.join([*KNOWN, JOINT])})."
        )
    return name


def is_drawn(name: str) -> bool:
    """Whether the data set of that name is the embedded one."""
    return name in EMBEDDED


def has_drawn(data: Path) -> bool:
    """Whether the raw root `data` holds the embedded data set."""
    path = data / MARKER
    found = path.is_file() and read_json(path, "Remove it, and draw the scenes anew.")
    return isinstance(found, dict) and found.get("dataset") == DRAWN["refcoco"]


def true_name(name: str, data: Path) -> str:
    """The name of what the raw root `data` has as data set `name`: drawn scenes in RefCOCO's
    layout are not RefCOCO, but "shapes"."""
    return DRAWN[name] if name in DRAWN and has_drawn(data) else name


def check_drawn(name: str, data: Path) -> None:
    """UserError where the embedded data set is asked for and the raw root holds another one."""
    if is_drawn(name) and not has_drawn(data):
        layout = EMBEDDED[name].folder
        raise UserError(
            f"{data / MARKER}: no such file, which drawn scenes have beside refcoco/instances.json "
            f"and referit/. Draw them with 'dghin data shapes output=FOLDER'. If {data / layout} "
            f"holds other data, name them: {layout}."
        )


def prepared_name(name: str) -> str:
    """The folder of a data set below anns/ and masks/ of the prepared root: its name, but for the
    embedded one, which is prepared where the data set whose layout it has would be."""
    return EMBEDDED[name].folder if name in EMBEDDED else name


def find_raw_dataset(name: str) -> Dataset:
    """As find_dataset, for what reads one data set's own files: `joint` has none."""
    dataset = find_dataset(name)
    if dataset.members:
        raise UserError(
            f"data set '{name}': it has no files of its own. Do this for its members (such as "
            f"{', '.join(dataset.members)}), then: dghin data prepare {name} "
            "data=RAW."
        )
    return dataset


def _joint(members: tuple[str, ...]) -> Dataset:
    """`joint` of these members: train, val, and every member's val and test by their names."""
    joinable = [
        name
        for name, dataset in DATASETS.items()
        if dataset.images == _COCO and dataset.reader != "form"
    ]
    for name in members:
        if name in DATASETS and name not in joinable:
            raise UserError(
                f"members: '{name}' cannot be put together with others (its images: "
                f"{DATASETS[name].images}); {JOINT} takes sets that share those of {_COCO}: "
                f"{', '.join(joinable)}. Leave it out."
            )
        if name not in joinable:
            raise unknown_name(f"member of {JOINT}", name, joinable)
    if len(set(members)) < max(2, len(members)):
        raise UserError(
            f"members=[{','.join(members)}]: give two or more, each once, such as "
            f"[{','.join(MEMBERS)}]."
        )
    held = [f"{n}_{split}" for n in members for split in DATASETS[n].splits if split != TRAIN]
    return Dataset(JOINT, JOINT, "", "", (TRAIN, "val", *held), _COCO, members)


def check_split(dataset: Dataset, split: str) -> str:
    """The split, if the data set has it; else an error that lists those it has."""
    if split not in dataset.splits:
        raise unknown_name(f"split of {dataset.name}:", split, dataset.splits)
    return split
