"""The data sets by name: where the raw files lie, which splits there are, who reads them."""

from dataclasses import dataclass
from typing import Literal

from .common import unknown_name


@dataclass(frozen=True)
class Dataset:
    """One data set as this kit names it. Folders are relative to the raw root."""

    name: str
    reader: Literal["refer", "referit"]
    folder: str
    split_by: str
    splits: tuple[str, ...]
    images: str

    @property
    def refs(self) -> str:
        """The file of referring expressions in a REFER folder."""
        return f"{self.folder}/refs({self.split_by}).p"


_COCO = "images/train2014"
_UNC = ("train", "val", "testA", "testB")

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("refcoco", "refer", "refcoco", "unc", _UNC, _COCO),
        Dataset("refcoco+", "refer", "refcoco+", "unc", _UNC, _COCO),
        Dataset("refcocog_umd", "refer", "refcocog", "umd", ("train", "val", "test"), _COCO),
        Dataset("refcocog_google", "refer", "refcocog", "google", ("train", "val"), _COCO),
        Dataset(
            "referit", "referit", "referit", "berkeley", ("trainval", "test"),
            "images/referit/images",
        ),
    )
}  # fmt: skip


def find_dataset(name: str) -> Dataset:
    """The data set of that name; an unknown name is an error with the nearest known one."""
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    return DATASETS[name]


def check_split(dataset: Dataset, split: str) -> str:
    """The split, if the data set has it; else an error that lists those it has."""
    if split not in dataset.splits:
        raise unknown_name(f"split of {dataset.name}:", split, dataset.splits)
    return split
