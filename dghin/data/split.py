"""A split of a prepared data set: its expressions, photos and true masks. Needs no torch.

split = open_split(config, "testA", PreparedSplit)
split.expressions[0].sentence, split.image(0), split.truth(0)
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.photos import DAMAGED, read_photo
from data_preprocess.language.features import CODES, cut_off, read_features
from data_preprocess.language.resources import folder_vocabulary, resolve, vocabulary_digest
from data_preprocess.prepared.annotations import box_of, read_entries
from data_preprocess.prepared.manifest import (
    annotation_path,
    features_path,
    manifest_path,
    masks_path,
    read_manifest,
)
from data_preprocess.raw.datasets import is_drawn
from data_preprocess.raw.forms.photos import check_folder, find_photo
from dghin.run.config import Config

PREPARE = "Make it with: dghin data prepare {} data=FOLDER."


@dataclass(frozen=True)
class Expression:
    """One expression of a split; its row in the split's language features is its position."""

    segment_id: str
    sentence_index: int
    sentence: str
    kind: str  # as the annotations name it, else by its words; "" unknown or none of the kinds
    image: str  # the image's file name
    length: int  # spaCy tokens
    targets: int = 1  # objects meant: several or none in gRefCOCO
    distractors: int | None = None  # other objects of its class in the image; None unknown
    depth: int | None = None  # of the parse: edges from the deepest word to the root
    bbox: tuple[float, ...] = ()  # as annotated: x, y, width, height in pixels; () unknown
    sent_id: str = ""  # REFER's numbers, by which other projects name it; "" unknown
    ann_id: str = ""  # several objects: with commas between
    image_id: str = ""
    cut: bool | None = None  # whether word pieces had no position left; None unknown


class PreparedSplit:
    """The expressions of one split, with photos and masks.

    prepared: the folder with `anns/` and `masks/`. expected_key: the language key that the run
    expects (language_key); features made for another are refused.
    """

    def __init__(
        self,
        prepared: str | Path,
        dataset: str,
        split: str,
        expected_key: dict[str, Any] | None = None,
    ):
        self.prepared, self.split = Path(prepared), split
        self.manifest = read_manifest(self.prepared, dataset)
        self.dataset = self.manifest.get("dataset", dataset)
        if split not in self.manifest["splits"]:
            raise unknown_name(f"split of {dataset}:", split, self.manifest["splits"])
        self.folder = manifest_path(self.prepared, dataset).parent
        entries = read_entries(annotation_path(self.prepared, dataset, split))
        sentences = [s["sent"] for entry in entries for s in entry["sentences"]]
        path = features_path(self.prepared, dataset, split)
        made = {"parser_version": self.manifest["language"].get("parser_version")}
        self.features = read_features(path, {**made, **(expected_key or {})}, sentences)
        self.expressions = self._expressions(entries)
        self._sizes: dict[str, Any] = {}  # a photo → its size, or a mask that has it
        self.photos = self.prepared / self.manifest["images_folder"]
        self.upright = bool(self.manifest.get("upright"))  # photos turned by EXIF
        shared = self.manifest.get("masks_folder")  # of several data sets
        self.masks = self.prepared / shared if shared else masks_path(self.prepared, dataset)

    def _expressions(self, entries: list[dict[str, Any]]) -> list[Expression]:
        features = self.features
        said = [(entry, sentence) for entry in entries for sentence in entry["sentences"]]
        found = cut_off(features, self.manifest.get("end_id"))
        cut = [None] * len(features) if found is None else found.tolist()
        rows = zip(
            features.length.tolist(), features.kind, features.depth.tolist(), cut, strict=True
        )
        return [
            Expression(
                str(entry["segment_id"]),
                sentence["idx"],
                sentence["sent"],
                sentence.get("kind") or CODES[code],
                entry["img_name"],
                length,
                entry.get("targets", 1),
                entry.get("distractors"),
                depth if depth >= 0 else None,  # of an older file, where the parse was cut off
                tuple(box_of(entry, self.manifest) or ()),
                _id(sentence.get("sent_id")),
                _id(entry.get("ann_id")),
                _id(entry.get("image_id")),
                cut_here,
            )
            for (entry, sentence), (length, code, depth, cut_here) in zip(said, rows, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.expressions)

    def name(self, index: int) -> str:
        """An expression's id, its words and its image file, for messages."""
        expression = self.expressions[index]
        return (
            f"{self.dataset} {self.split} {expression.segment_id}/{expression.sentence_index} "
            f"'{expression.sentence}' ({os.path.normpath(self.photos / expression.image)})"
        )

    def photo_file(self, name: str) -> Path:
        """The file of a photo: under its name, or the one that COCO of another year gives it."""
        return self.photos / (find_photo(self.photos, name) or name)

    def image(self, index: int) -> Image.Image:
        """The photo of an expression, RGB, at its own size."""
        return self.photo(self.expressions[index].image)

    def photo(self, name: str) -> Image.Image:
        """A photo of this split as its outlines were drawn over it, RGB."""
        return read_photo(self.photo_file(name), self.upright)

    def photo_size(self, name: str) -> tuple[int, int]:
        """(height, width) of a photo of this split, by the header of one of its masks."""
        if not self._sizes:
            for expression in self.expressions:
                self._sizes.setdefault(expression.image, expression.segment_id)
        found = self._sizes[name]
        if isinstance(found, str):
            path = self.masks / f"{found}.png"
            try:
                with Image.open(path) as mask:
                    found = (mask.height, mask.width)
            except DAMAGED as error:
                raise UserError(
                    f"{path}: not readable as a mask ({error}). {PREPARE.format(self.dataset)}"
                ) from error
            self._sizes[name] = found
        return found

    def truth(self, index: int) -> np.ndarray:
        """The referent's mask, bool, at the photo's own size (H, W)."""
        path = self.masks / f"{self.expressions[index].segment_id}.png"
        try:
            with Image.open(path) as mask:
                return np.asarray(mask.convert("L")) > 127
        except DAMAGED as error:
            raise UserError(
                f"{path}: not readable as a mask ({error}). {PREPARE.format(self.dataset)}"
            ) from error


def _id(value: Any) -> str:
    """An id of the raw data as text; several with commas between, none as ""."""
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def run_manifest(config: Config) -> dict[str, Any]:
    """The manifest of the run's prepared data."""
    return read_manifest(config.data.prepared_root, config.data.dataset)


def language_key(config: Config) -> dict[str, Any]:
    """What the run expects of language features; read_features refuses others.

    The tokenizer's digest takes part where the tokenizer lies on this machine.
    """
    data = config.data
    key = {"parser": data.parser, "words": config.model.words, "alignment": data.alignment}
    vocabulary = folder_vocabulary(resolve(data.tokenizer, data.root))
    return key | ({"tokenizer": vocabulary_digest(vocabulary)} if vocabulary else {})


def open_split(
    config: Config, split: str, kind: type[PreparedSplit] = PreparedSplit, checked: bool = True
) -> Any:
    """A split of the run's prepared data set, checked against the run's settings.

    kind: the class that is made of it. checked: whether its words must have been read as the
    settings say; who reads texts does not mind.
    """
    data = config.data
    expected = language_key(config) if checked else None
    opened = kind(data.prepared_root, data.dataset, split, expected_key=expected)
    if is_drawn(opened.dataset) != data.drawn:  # or drawn scenes would stand beside photos' scores
        raise UserError(
            f"{opened.folder / 'manifest.json'}: prepared as '{opened.dataset}', but this run's "
            f"data set is '{data.dataset}'{', which is drawn' * data.drawn}. Name that one with "
            f"data.dataset={opened.dataset} (and data.shapes=0), or prepare yours anew: dghin data "
            f"prepare {data.dataset} data={data.root}."
        )
    if data.images:
        opened.photos = check_folder(Path(data.images), "data.images")
    members = list(opened.manifest.get("members", ()))
    if data.members and members != list(data.members):
        raise UserError(
            f"{data.prepared_root / 'anns' / data.dataset / 'manifest.json'}: made of {members}, "
            f"but data.members={list(data.members)}. Prepare it anew with these, or ask for those."
        )
    return opened
