"""One door to all raw layouts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json

from .datasets import (
    DATASETS,
    KNOWN,
    Dataset,
    check_drawn,
    check_own_name,
    check_split,
    find_dataset,
    true_name,
)
from .forms.photos import check_folder, folders_below, locate
from .forms.read import Form, Place, find_forms, read_form
from .grefer import read_grefer
from .records import Raw, Record
from .refer import REMEDY, checked_entries, read_pickle, read_refer
from .referit import read_referit, without_unreadable


@dataclass(frozen=True)
class Source:
    """Which files a data set is read from. Empty: those of the raw root, by their names."""

    form: Form = "auto"
    raw: str = ""
    images: str = ""
    instances: str = ""


def read_source(name: str, data: Path, source: Source) -> tuple[Dataset, Raw]:
    """A data set and its records, from the files that `source` names or the raw root `data`.

    A data set of your own has any name, and the splits that its files have.
    """
    own = name not in KNOWN
    name = true_name(name, Path(source.raw).parent if source.raw else data)
    named = source.form != "auto" or source.raw or source.instances
    folders = {dataset.folder for dataset in DATASETS.values()}  # "refcocog" is no data set's name
    if not named and not (own and name not in folders and (data / name).is_dir()):
        dataset = find_dataset(name)
        raw = read_raw(data, dataset)
    else:
        dataset = _own(name) if own else find_dataset(name)
        folder = Path(source.raw) if source.raw else data / (name if own else dataset.folder)
        place = _place(data, folder, dataset, source.instances)
        raw = read_form(dataset, source.form, place)
        if own:
            dataset = Dataset(name, "custom", "", "", tuple(raw.splits), "")
    if source.images:
        given = folders_below(check_folder(Path(source.images)))
        return dataset, locate(replace(raw, packed=()), given)
    if raw.packed or _has_first(raw):
        return dataset, raw
    beside = [path.parent for path in raw.sources[:1]]
    return dataset, locate(raw, _folders(data, dataset, beside))


def read_raw(data: Path, dataset: Dataset, drop: bool = True) -> Raw:
    """All records of a raw data set under the raw root `data`.

    `drop` leaves out the ReferIt images that no one can read (COCO has none).
    """
    if drop and dataset.has_unreadable and dataset.reader == "refer":
        return without_unreadable(read_raw(data, dataset, drop=False))
    if not data.is_dir():
        raise UserError(
            f"{data}: no such folder. Give the raw root with data=FOLDER: the folder that holds "
            f"{dataset.folder}/ and images/."
        )
    check_drawn(dataset.name, data)
    folder = data / dataset.folder
    if dataset.reader == "form":
        raw = read_form(dataset, dataset.form, _place(data, folder, dataset))
        return raw if raw.packed else locate(raw, _folders(data, dataset))
    if dataset.reader == "refer" and not (data / dataset.refs).is_file():
        forms = find_forms(folder, dataset) if folder.is_dir() else []
        if forms:  # read_form says so, if there are several
            raw = read_form(dataset, "auto", _place(data, folder, dataset))
            return raw if raw.packed else locate(raw, _folders(data, dataset))
    if dataset.reader == "refer":
        return read_refer(data, dataset)
    if dataset.reader == "grefer":
        return read_grefer(data, dataset)
    return read_referit(data, dataset, drop)


def read_split(data: Path, dataset: Dataset, split: str) -> list[Record]:
    """The records of one split; one that the data set or this copy lacks is an error."""
    check_split(dataset, split)
    raw = read_raw(data, dataset)
    if split not in raw.splits:
        raise UserError(
            f"{raw.sources[-1]}: no object of split '{split}' in this copy of {dataset.name}. "
            f"It has: {', '.join(raw.splits)}."
        )
    return raw.splits[split]


def splits_there(data: Path, dataset: Dataset) -> list[str]:
    """The splits of which a raw data set's own files have objects, as far as a look at its
    expressions tells; all of its splits where it has files of another form."""
    path = data / dataset.refs
    if dataset.reader not in ("refer", "grefer") or not path.is_file():
        return list(dataset.splits)
    content = read_pickle(path) if dataset.reader == "refer" else read_json(path, REMEDY)
    found = {ref["split"] for ref in checked_entries(content, "ref", path)}
    return [split for split in dataset.splits if split in found]


def _own(name: str) -> Dataset:
    """A data set of your own, whose splits only its files know."""
    check_own_name(name, "dghin data prepare mine form=NAME raw=FOLDER")
    return Dataset(name, "custom", "", "", (), "")


def _place(data: Path, raw: Path, dataset: Dataset, instances: str = "") -> Place:
    """Where the files of a form are. Objects may be in REFER's folder or in COCO's."""
    others = [data / dataset.folder] if dataset.folder else []
    return Place(
        raw,
        data / "images" / dataset.name,
        Path(instances) if instances else None,
        (*others, data / "annotations", data),
    )


def _folders(data: Path, dataset: Dataset, beside: Iterable[Path] = ()) -> list[Path]:
    """Where photos may lie that nobody named a folder of: the raw root, or beside the files."""
    usual = [data / dataset.images] if dataset.images else []
    return [*usual, *(place for root in (data, *beside) for place in folders_below(root))]


def _has_first(raw: Raw) -> bool:
    """Whether the first photo is where the reader says."""
    first = next(iter(raw.splits.values()))[0]
    return (raw.images / first.image).is_file()
