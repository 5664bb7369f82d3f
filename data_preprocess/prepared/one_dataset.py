"""One data set: raw → annotations, masks, language features, manifest.

The manifest is written last: where it is, everything is there. A run that was cut off goes on
where it stopped; every file is written under another name and renamed.
"""

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import locked, read_json, write_json
from data_preprocess.base.photos import choose_upright
from data_preprocess.base.settings import PathText
from data_preprocess.base.values import shown
from data_preprocess.language.encoder import LanguageEncoder, features_key
from data_preprocess.language.features import is_current, read_features, unread, write_features
from data_preprocess.language.parts import encode_in_parts, remove_parts
from data_preprocess.language.unparsed import NONE, Unparsed
from data_preprocess.raw.datasets import Dataset, find_dataset
from data_preprocess.raw.forms.read import Form
from data_preprocess.raw.forms.refcoco_m import write_photos
from data_preprocess.raw.masks import said_sizes
from data_preprocess.raw.readers import Source, read_source
from data_preprocess.raw.records import Raw, Record
from data_preprocess.raw.segmentation import check_outlines

from .annotations import annotations, expressions
from .manifest import (
    annotation_path,
    check_outputs,
    command,
    features_path,
    images_folder,
    manifest_path,
    masks_path,
    prepared_root,
    relative,
    split_entry,
    versions,
    write_manifest,
)
from .mask_files import masks_digest, sources_digest, write_masks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LanguageSettings:
    """Where the raw data lies, where the prepared goes, and how expressions are read."""

    dataset: str = "refcoco"
    data: PathText = "data"  # the raw root: the folder that holds refcoco/, images/, ...
    output: PathText = ""  # the prepared root; DATA/data_v3 if empty
    tokenizer: str = "bert-base-uncased"  # a folder, package:NAME/FOLDER, or a hub name
    parser: str = "en_core_web_lg"  # a spaCy package; none: for scoring masks only
    words: int = 17  # positions kept, [CLS] and [SEP] included
    alignment: Literal["paper", "aligned"] = "paper"
    workers: int = 0  # processes; 0 for one a core

    @property
    def root(self) -> Path:
        """The prepared root."""
        return prepared_root(self.data, self.output)


@dataclass(frozen=True)
class AdoptSettings(LanguageSettings):
    images: PathText = ""  # the folder of the photos; the data set's own in the raw root if empty


@dataclass(frozen=True)
class MaskSettings(LanguageSettings):
    per_sentence_masks: bool = False  # the original's form: an entry and a mask a sentence
    overwrite: bool = False  # replace prepared data that this kit did not make
    upright: bool | None = None  # of your own: outlines are over photos turned by EXIF; null: tell


@dataclass(frozen=True)
class PrepareSettings(MaskSettings):
    members: tuple[str, ...] = ()  # of `joint`; empty: refcoco, refcoco+, refcocog_umd
    form: Form = "auto"  # of the files (raw/forms/read.py); auto: as they tell
    raw: PathText = ""  # their folder, or one file; the data set's own in the raw root if empty
    images: PathText = ""  # the folder of the photos; looked for in the raw root if empty
    instances: PathText = ""  # form=mdetr: the file of objects; looked for if empty


@dataclass(frozen=True)
class SplitSettings(LanguageSettings):
    split: str = ""  # every split if empty


def prepare_one(settings: PrepareSettings) -> dict[str, Any]:
    """Prepare a raw data set; returns its manifest. Everything already there and valid is kept."""
    if settings.members:
        find_dataset(settings.dataset, settings.members)  # refuses them: this is one data set
    given = {name: getattr(settings, name) for name in ("raw", "images", "instances")}
    dataset, raw = read_source(
        settings.dataset, Path(settings.data), Source(settings.form, **given)
    )
    settings = replace(settings, dataset=dataset.name)
    if raw.packed:
        log.info("%s: %d photos written", raw.images, write_photos(raw.packed, raw.images))
    given = {name: relative(Path(value), settings.root) for name, value in given.items() if value}
    notes = {"form": {"form": raw.form, **given}} if raw.form or given else {}
    return prepare_raw(replace(settings, **given), dataset, raw, "prepare", notes)


def prepare_raw(
    settings: MaskSettings,
    dataset: Dataset,
    raw: Raw,
    name: str,
    notes: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """Prepare what a reader has read. name: the subcommand that does so. It goes into the
    manifest, and so do the notes."""
    _check_files(raw)
    check_outputs(settings.root, dataset.name, raw)
    if dataset.reader == "custom":
        check_outlines(_all(raw))
    upright = _upright(settings, dataset, raw)
    load_encoder(settings)  # a missing parser or tokenizer is said before any mask is drawn
    folder = manifest_path(settings.root, dataset.name).parent
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as held:  # on the folder itself: no file is left behind
        if not held:
            raise UserError(
                f"{folder}: another process prepares this data set at the moment. Wait for it, or "
                "choose another output=FOLDER."
            )
        told = {} if upright is None else {"upright": upright}
        return _prepare(settings, dataset, raw, name, {**notes, **told})


def _prepare(
    settings: MaskSettings, dataset: Dataset, raw: Raw, name: str, notes: Mapping[str, Any]
) -> dict[str, Any]:
    sources = sources_digest(raw.sources, _all(raw))
    claim(settings, dataset, sources)
    masks = _masks(settings, dataset, raw, bool(notes.get("upright")))
    entries = {
        split: annotations(records, settings.per_sentence_masks)
        for split, records in raw.splits.items()
    }
    for split, listed in entries.items():
        write_json(annotation_path(settings.root, dataset.name, split), listed)
    encoder = write_language(settings, entries)
    missed = count_unread(settings, entries, encoder)
    manifest = {
        "dataset": dataset.name,
        "source": dataset.reader,
        "split_by": dataset.split_by,
        "splits": {
            split: split_entry(settings.root, dataset.name, split, listed, encoder.end_id)
            | missed[split]
            for split, listed in entries.items()
        },
        "masks": {"count": len(masks), "sha256": masks_digest(masks)},
        "language": encoder.key(),
        **ids_of(encoder, missed),
        "images_folder": images_folder(settings, dataset, raw),
        "per_sentence_masks": settings.per_sentence_masks,
        "dropped": dict(raw.dropped),
        "sources_sha256": sources,
        "versions": versions(),
        "command": command(name, settings),
    } | dict(notes)
    write_manifest(settings.root, manifest)
    return manifest


def _upright(settings: MaskSettings, dataset: Dataset, raw: Raw) -> bool | None:
    """Whether outlines were drawn over photos turned as their camera held them (EXIF): as the
    settings say, or as the sizes tell. None: no photo is turned, or it is a known data set, whose
    outlines are over the pixels as they are stored."""
    if dataset.reader != "custom":
        if settings.upright is not None:
            raise UserError(
                f"upright={str(settings.upright).lower()}: the outlines of '{dataset.name}' are "
                "over the photos as they are stored. Leave it out; it is for data sets of your own."
            )
        return None
    if settings.upright is not None:
        return settings.upright
    return choose_upright(said_sizes(_all(raw), raw.images).items())


def _masks(settings: MaskSettings, dataset: Dataset, raw: Raw, upright: bool) -> dict[str, str]:
    """Draw the masks that are not there. If those there were altered since, draw all of them."""
    folder = masks_path(settings.root, dataset.name)
    path = manifest_path(settings.root, dataset.name)
    known = read_json(path, "Remove it.")["masks"]["sha256"] if path.is_file() else None
    draw = functools.partial(
        write_masks,
        _all(raw),
        raw.images,
        folder,
        settings.per_sentence_masks,
        settings.workers,
        upright,
    )
    masks = draw()
    if known not in (None, masks_digest(masks)):
        log.warning("%s: altered since they were drawn; drawn anew", folder)
        for name in masks:
            (folder / name).unlink()
        masks = draw()
    return masks


def load_encoder(settings: LanguageSettings) -> LanguageEncoder | Unparsed:
    """The tokenizer and parser of these settings; a missing one is an error that says so."""
    if settings.parser == NONE:
        return Unparsed(settings.words)
    return LanguageEncoder(
        settings.tokenizer,
        settings.parser,
        settings.words,
        settings.alignment,
        Path(settings.data),
    )


def write_language(
    settings: LanguageSettings, entries: Mapping[str, list[dict[str, Any]]]
) -> LanguageEncoder | Unparsed:
    """Write the language features of every split that has none of this key, or outdated ones.

    Returns what encodes them.
    """
    encoder = load_encoder(settings)
    sentences = {split: expressions(listed) for split, listed in entries.items()}
    keys = {split: features_key(encoder, listed) for split, listed in sentences.items()}
    paths = {split: features_path(settings.root, settings.dataset, split) for split in entries}
    missing = [
        split
        for split in entries
        if not paths[split].is_file() or not is_current(paths[split], keys[split])
    ]
    if missing:
        manifest_path(settings.root, settings.dataset).unlink(missing_ok=True)  # holds no longer
        everything = [sentence for split in missing for sentence in sentences[split]]
        folder = manifest_path(settings.root, settings.dataset).parent / ".language"
        # together: splits share expressions
        features = encode_in_parts(encoder, everything, folder, settings.workers)
        start = 0
        for split in missing:
            stop = start + len(sentences[split])
            write_features(paths[split], features[start:stop], keys[split])
            start = stop
        remove_parts(folder)
    return encoder


def ids_of(encoder: LanguageEncoder | Unparsed, missed: Mapping[str, Any]) -> dict[str, int]:
    """What a manifest says of [SEP], and of [UNK] where expressions are unread (`missed`, by
    split); nothing where no words are read."""
    ids = {} if encoder.end_id is None else {"end_id": encoder.end_id}
    if any(missed.values()):
        ids["unknown_id"] = encoder.tokenizer.unk_token_id
    return ids


def count_unread(
    settings: LanguageSettings,
    entries: Mapping[str, list[dict[str, Any]]],
    encoder: LanguageEncoder | Unparsed,
) -> dict[str, dict[str, int]]:
    """{split: {"unread": count}} of expressions that the network cannot read; {split: {}}: none.

    They are kept: a data set is what it is. Each split that has some is warned of.
    """
    unknown = getattr(getattr(encoder, "tokenizer", None), "unk_token_id", None)
    found: dict[str, dict[str, int]] = {split: {} for split in entries}
    if unknown is None:  # parser=none: nothing is read
        return found
    for split, listed in entries.items():
        features = read_features(features_path(settings.root, settings.dataset, split))
        places = np.flatnonzero(unread(features, unknown))
        if len(places):
            found[split] = {"unread": len(places)}
            log.warning(
                "%s %s: of %d of %d expressions the tokenizer knows no word, or half of them at "
                "most, such as %s: the network reads [UNK] there",
                settings.dataset, split, len(places), len(features),
                shown(expressions(listed)[places[0]]),
            )  # fmt: skip
    return found


def _all(raw: Raw) -> list[Record]:
    return [record for records in raw.splits.values() for record in records]


def _check_files(raw: Raw) -> None:
    """An error that names the first image or .mat file that is missing, before anything starts."""
    for record in _all(raw):
        for path in (raw.images / record.image, record.shape):
            if isinstance(path, Path) and not path.is_file():
                others = [str(folder) for folder in raw.looked_in if folder != raw.images]
                looked = f" Looked in {', '.join(others)}, too." if others else ""
                raise UserError(
                    f"{path}: no such file, but {record.where} needs it.{looked} Put the images "
                    "and masks of the data set there ('verify' and 'language' do without), or "
                    "give the folder of the photos with images=FOLDER."
                )


def claim(settings: MaskSettings, dataset: Dataset, sources: str) -> None:
    """Note in the prepared root what its masks are drawn from; clear what no longer holds.

    The note (.prepare.json) is written before the first mask, so that masks found by a later run
    are known to be of these sources. Prepared data without note is not this kit's: left alone.
    """
    folder = manifest_path(settings.root, dataset.name).parent
    masks = masks_path(settings.root, dataset.name)
    note = folder / ".prepare.json"
    wanted = {"sources": sources, "per_sentence_masks": settings.per_sentence_masks}
    found = read_json(note, "Remove it.") if note.is_file() else None
    for leftover in [*masks.glob(".*-*.png"), *folder.glob(".*-*.*")]:  # of a killed process
        leftover.unlink(missing_ok=True)
    if found == wanted:
        return
    foreign = [folder / f"{split}.json" for split in dataset.splits]
    foreign = [path for path in foreign if path.is_file()] or list(masks.glob("*.png"))[:1]
    if found is None and foreign and not settings.overwrite:
        raise UserError(
            f"{foreign[0]}: prepared data of another origin is there already. Keep it with "
            f"'dghin data adopt {dataset.name} ...', choose another output=FOLDER, "
            "or replace it with overwrite=true."
        )
    manifest_path(settings.root, dataset.name).unlink(missing_ok=True)
    for path in masks.glob("*.png"):
        path.unlink()
    write_json(note, wanted)
