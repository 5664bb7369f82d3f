"""The run's data, from nothing: the embedded data set drawn if asked for, then prepared."""

import contextlib
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.prepared.manifest import cut_counts, manifest_path
from data_preprocess.raw.datasets import JOINT, KNOWN, find_dataset
from data_preprocess.raw.readers import splits_there
from data_preprocess.verify.published import (
    NOT_PUBLISHED,
    beside_published,
    published_counts,
    published_sources,
)
from dghin.run.config import Config

from .split import run_manifest

if TYPE_CHECKING:
    from data_preprocess.prepared.one_dataset import PrepareSettings
    from data_preprocess.verify.verify import Verification

log = logging.getLogger(__name__)
_REMEDIES = {
    "train_split": "Name the one to train on: data.train_split=NAME.",
    "val_split": "Name another, data.val_split=NAME, or data.val_split= for none.",
    "test_splits": "Name others, data.test_splits=[NAME], or data.test_splits=[] for none: val is "
    "then scored and shown.",
}
CUT_ROW = "expressions cut"  # in the split card: those that have more word pieces than positions


def prepare_data(config: Config) -> dict[str, Any]:
    """Draw (data.shapes > 0), prepare; → the manifest. What is there already is kept.

    Data that was prepared elsewhere and brought here without its raw files is taken as it is; so
    is a data set of your own (`dghin data custom`).
    """
    from data_preprocess.prepared.adopt import adopt
    from data_preprocess.prepared.custom import outdated
    from data_preprocess.prepared.prepare import prepare
    from data_preprocess.shapes.dataset import ShapesSettings, write_shapes

    data = config.data
    if _manifest_path(config).is_file():
        found = run_manifest(config)
        if set(found.get("form", {})) - {"form"}:  # its files were named: no run knows them
            return found
        if found.get("source") == "custom":  # it has no raw form that it could be prepared from
            for file, what in outdated(data.prepared_root, data.dataset):
                log.warning("%s: %s", file, what)
            return found
    if data.shapes:
        write_shapes(Path(data.root), ShapesSettings(images=data.shapes))
    dataset = find_dataset(data.dataset, data.members)
    alone = [with_dataset(config, name) for name in dataset.members]
    if not alone and is_of_the_original(config):
        return adopt(prepare_settings(config))
    for member in alone:
        if is_of_the_original(member) and not _manifest_path(member).is_file():
            adopt(prepare_settings(member))
    folders = [Path(data.root) / find_dataset(one.data.dataset).folder for one in alone or [config]]
    if _manifest_path(config).is_file() and not any(folder.is_dir() for folder in folders):
        found = run_manifest(config)
        if tuple(found.get("members", ())) == dataset.members:
            return found
    return prepare(prepare_settings(config))


def check_splits(config: Config, trains: bool = True, prepared: bool = False) -> None:
    """An error for a split that the run names and its data do not have, before any work.

    trains: whether the run trains, so that it needs `data.train_split`. prepared: whether the data
    are prepared by now, so that the manifest knows more than the raw files' names.
    """
    data = config.data
    if trains and not data.train_split:
        raise UserError("data.train_split is empty, so nothing can be trained on. Name a split.")
    if not data.scored_splits:
        raise UserError(
            "data.val_split and data.test_splits are empty, so nothing can be scored. Name a split."
        )
    there = _splits_there(config, prepared)
    named = {"val_split": [data.val_split], "test_splits": data.test_splits}
    named |= {"train_split": [data.train_split]} if trains else {}
    for key, splits in named.items():
        for split in filter(None, splits):
            if split not in there:
                raise UserError(
                    f"data.{key}: '{data.dataset}' has no split '{split}'; it has "
                    f"{', '.join(there) or 'none'}. {_REMEDIES[key]}"
                )


def _splits_there(config: Config, prepared: bool) -> list[str]:
    """The splits that the run's data have, or will have when they are prepared."""
    data, found = config.data, None
    remade = data.shapes or data.dataset == JOINT  # where they are not as the run wants them
    raw = data.dataset in KNOWN and (Path(data.root) / KNOWN[data.dataset].folder).is_dir()
    if _manifest_path(config).is_file() and (prepared or not remade):
        with contextlib.suppress(UserError):  # of a damaged manifest, which notebook 01 names
            found = run_manifest(config)
    if found is not None:
        as_it_is = found.get("adopted") or set(found.get("form", {})) - {"form"}
        if prepared or as_it_is or not raw:
            return list(found["splits"])
    if raw and not remade:
        return splits_there(Path(data.root), KNOWN[data.dataset])
    return list(find_dataset(data.dataset, data.members).splits)


def prepare_settings(config: Config) -> "PrepareSettings":
    """What `prepare` and `adopt` are told for the run's data set."""
    from data_preprocess.prepared.one_dataset import PrepareSettings

    data = config.data
    return PrepareSettings(
        dataset=data.dataset,
        data=data.root,
        output=data.prepared,
        tokenizer=data.tokenizer,
        parser=data.parser,
        words=config.model.words,
        alignment=data.alignment,
        members=data.members,
        images=data.images,
    )


def with_dataset(config: Config, name: str) -> Config:
    """The config of a run on another data set, such as a member of `joint` alone."""
    data = dataclasses.replace(config.data, dataset=name, members=())
    return dataclasses.replace(config, data=data)


def _manifest_path(config: Config) -> Path:
    """Where the manifest of the run's prepared data is."""
    return manifest_path(config.data.prepared_root, config.data.dataset)


def is_of_the_original(config: Config) -> bool:
    """Whether the prepared data there were made by the original's code: they are taken as they are.

    Such data have annotations, but neither a manifest of ours nor the note that `prepare` leaves.
    """
    folder = _manifest_path(config).parent
    if _manifest_path(config).is_file():
        return bool(run_manifest(config).get("adopted"))
    return any(folder.glob("*.json")) and not (folder / ".prepare.json").is_file()


def published_lines(config: Config) -> list[str]:
    """Where the published counts come from; nothing for drawn data and one's own."""
    if config.data.drawn or run_manifest(config).get("source") == "custom":
        return []
    return published_sources(find_dataset(config.data.dataset, config.data.members))


def verification(config: Config, files: bool = True) -> "Verification":
    """The run's prepared data looked at: every file, and images that splits on this disk share."""
    from data_preprocess.verify.verify import VerifySettings, verify_all

    data = config.data
    return verify_all(
        VerifySettings(
            dataset=data.dataset,
            data=data.root,
            output=str(data.prepared_root),
            form="prepared",
            files=files,
            members=data.members,
        )
    )


def alignment_card(config: Config, sentences: Sequence[str], count: int = 0) -> pd.DataFrame:
    """How far the run's parses drift from the word pieces, and what `aligned` changes, in percent.

    count: so many expressions, evenly spread (0: all). Real data sets' figures stand beside.
    """
    from data_preprocess.verify.alignment import alignment_table, beside_recorded

    data, step = config.data, max(1, len(sentences) // count if count else 1)
    table, _ = alignment_table(
        sentences[::step], data.tokenizer, data.parser, config.model.words, Path(data.root)
    )
    return beside_recorded(table, "Here")


def split_card(config: Config) -> pd.DataFrame:
    """Counts of every split beside the published ones: Split, Count, Here, Published, Verdict.

    Of `joint`, also what every member's train split lost: its images are held out elsewhere.
    """
    manifest, published = run_manifest(config), {}
    if not config.data.drawn and manifest.get("source") != "custom":
        published = published_counts(find_dataset(config.data.dataset, config.data.members))
    parts = {
        # prepared ReferIt lacks its unreadable images
        split: (entry, published.get(f"{split}_after_drop") or published.get(split, {}))
        for split, entry in manifest["splits"].items()
    }
    cut = cut_counts(config.data.prepared_root, manifest)
    removed = manifest.get("removed", {})
    parts |= {f"removed from {name}": (entry, {}) for name, entry in removed.items()}
    rows = []
    for split, (entry, known) in parts.items():
        rows += [[split, *row.values()] for row in beside_published(entry, known)]
        if split in cut:
            rows.append([split, CUT_ROW, cut[split], None, NOT_PUBLISHED])
    card = pd.DataFrame(rows, columns=["Split", "Count", "Here", "Published", "Verdict"])
    card["Verdict"] = card["Verdict"].replace(NOT_PUBLISHED, "")
    return card.astype({"Published": "Int64"})  # whole numbers, though some are not known
