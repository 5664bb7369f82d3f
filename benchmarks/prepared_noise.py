"""A prepared data set of noise, written by the kit's own writers, for a machine without a parser.

    write_prepared(Path("data"), config, {"train": 96, "val": 24})
    load_config("demo", data_words(Path("data")))        # a run on it

Photos are smooth noise, masks are rectangles, and the language features are drawn at random: no
tokenizer, no spaCy, no pycocotools.
"""

from collections.abc import Mapping
from pathlib import Path

from noise import random_features, write_photos

from data_preprocess.base.files import sha256_json, write_json
from data_preprocess.language.features import CODES, write_features
from data_preprocess.prepared.annotations import annotations, expressions
from data_preprocess.prepared.manifest import (
    annotation_path,
    features_path,
    prepared_root,
    split_entry,
    versions,
    write_manifest,
)
from data_preprocess.prepared.mask_files import masks_digest, write_masks
from data_preprocess.raw.records import Record, Sentence
from dghin.run.config import Config

NAME = "noise"  # of the data set, its tokenizer and its parser


def data_words(root: Path) -> list[str]:
    """The settings of a run on this data set, from random weights."""
    return [
        f"data.root={root}", f"data.dataset={NAME}", "data.test_splits=[]", "data.shapes=0",
        f"data.tokenizer={NAME}", f"data.parser={NAME}", "weights.backbone=", "weights.text=",
    ]  # fmt: skip


def write_prepared(
    root: Path,
    config: Config,
    splits: Mapping[str, int],
    sentences: int = 3,
    size: tuple[int, int] = (640, 480),
) -> None:
    """Write so many images a split, each with one object and so many expressions of it, under a raw
    root. config: how many words the network reads. size: (width, height) of the photos."""
    photos, prepared = root / "photos", prepared_root(str(root), "")
    write_photos(photos, sum(splits.values()), size)
    records, first = {}, 0
    for split, count in splits.items():
        records[split] = [_record(photos, n, sentences) for n in range(first, first + count)]
        first += count
    together = [record for part in records.values() for record in part]
    masks = write_masks(together, photos, prepared / "masks" / NAME, False, workers=1)
    key = dict.fromkeys(("tokenizer", "tokenizer_name", "parser"), NAME)
    key |= {"words": config.model.words, "alignment": "paper"}
    entries = {split: annotations(part, False) for split, part in records.items()}
    for split, listed in entries.items():
        texts = expressions(listed)
        features = random_features(config, len(texts))
        assert features.kind.max() < len(CODES)
        write_json(annotation_path(prepared, NAME, split), listed)
        path = features_path(prepared, NAME, split)
        write_features(path, features, key | {"sentences": sha256_json(texts)})
    write_manifest(
        prepared,
        {
            "dataset": NAME,
            "splits": {s: split_entry(prepared, NAME, s, e, None) for s, e in entries.items()},
            "masks": {"count": len(masks), "sha256": masks_digest(masks)},
            "language": key,
            "images_folder": "../photos",
            "per_sentence_masks": False,
            "dropped": {},
            "versions": versions(),
        },
    )


def _record(photos: Path, number: int, sentences: int) -> Record:
    texts = tuple(Sentence(f"thing {number}, said in way {way}") for way in range(sentences))
    return Record(
        str(number), f"{number}.jpg", None, texts, photos / f"{number}.png", f"photo {number}"
    )
