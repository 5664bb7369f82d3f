"""One door to all raw layouts."""

from pathlib import Path

from data_preprocess.base.errors import UserError

from .datasets import Dataset, check_split
from .grefer import read_grefer
from .records import Raw, Record
from .refer import read_refer
from .referit import read_referit


def read_raw(data: Path, dataset: Dataset, drop: bool = True) -> Raw:
    """All records of a raw data set under the raw root `data`.

    `drop` leaves out the ReferIt images that no one can read (REFER has none).
    """
    if not data.is_dir():
        raise UserError(
            f"{data}: no such folder. Give the raw root with data=FOLDER: the folder that holds "
            f"{dataset.folder}/ and images/."
        )
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
