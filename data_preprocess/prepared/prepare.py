"""Raw data sets → prepared data: one, or several put together.

prepare(PrepareSettings(dataset="refcoco", data="data"))     # → data/data_v3
"""

from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.raw.datasets import JOINT, find_raw_dataset, true_name
from data_preprocess.raw.readers import read_raw, read_split

from .annotations import annotations, counts
from .joint import prepare_joint
from .one_dataset import PrepareSettings, SplitSettings, prepare_one, write_language


def prepare(settings: PrepareSettings) -> dict[str, Any]:
    """Prepare a data set; returns its manifest. Everything already there and valid is kept."""
    if settings.dataset == JOINT:
        for key in ("form", "raw", "instances"):
            if getattr(settings, key) not in ("", "auto"):
                raise UserError(
                    f"{key}={getattr(settings, key)}: '{JOINT}' has no files of its own. Prepare "
                    f"each member with it, then: dghin data prepare {JOINT} data=RAW."
                )
        return prepare_joint(settings)
    return prepare_one(settings)


def language(settings: SplitSettings) -> dict[str, int]:
    """Language features of a raw data set; returns the number of expressions by split."""
    dataset = find_raw_dataset(true_name(settings.dataset, Path(settings.data)))
    if settings.split:
        splits = {settings.split: read_split(Path(settings.data), dataset, settings.split)}
    else:
        splits = read_raw(Path(settings.data), dataset).splits
    entries = {split: annotations(records, False) for split, records in splits.items()}
    write_language(settings, entries)
    return {split: counts(listed)["expressions"] for split, listed in entries.items()}
