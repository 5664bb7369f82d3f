"""The run's data, from nothing: the embedded data set drawn if asked for, then prepared."""

from pathlib import Path
from typing import Any

import pandas as pd

from .config import Config
from .data import read_manifest

MANIFEST = "manifest.json"
COUNTS = ("images", "objects", "expressions")


def prepare_data(config: Config) -> dict[str, Any]:
    """Draw (data.shapes > 0), prepare; → the manifest. What is there already is kept.

    Data that was prepared elsewhere and brought here without its raw files is taken as it lies.
    """
    from data_preprocess.datasets import find_dataset
    from data_preprocess.prepare import PrepareSettings, prepare
    from data_preprocess.shapes import ShapesSettings, write_shapes

    data = config.data
    if data.shapes:
        write_shapes(Path(data.root), ShapesSettings(images=data.shapes))
    settings = PrepareSettings(
        dataset=data.dataset,
        data=data.root,
        output=data.prepared,
        tokenizer=data.tokenizer,
        parser=data.parser,
        words=config.model.words,
        alignment=data.alignment,
    )
    if is_of_the_original(config):
        from data_preprocess.adopt import adopt

        return adopt(settings)
    manifest = data.prepared_root / "anns" / data.dataset / MANIFEST
    raw = Path(data.root) / find_dataset(data.dataset).folder
    if manifest.is_file() and not raw.is_dir():
        return read_manifest(data.prepared_root, data.dataset)
    return prepare(settings)


def is_of_the_original(config: Config) -> bool:
    """Whether the prepared data there were made by the original's code: they are taken as they lie.

    Such data have annotations, but neither a manifest of ours nor the note that `prepare` leaves.
    """
    data = config.data
    folder = data.prepared_root / "anns" / data.dataset
    if (folder / MANIFEST).is_file():
        return bool(read_manifest(data.prepared_root, data.dataset).get("adopted"))
    return any(folder.glob("*.json")) and not (folder / ".prepare.json").is_file()


def split_card(config: Config) -> pd.DataFrame:
    """Counts of every split beside the published ones: Split, Count, Here, Published, Verdict."""
    from data_preprocess.datasets import find_dataset
    from data_preprocess.verify import published_counts

    manifest = read_manifest(config.data.prepared_root, config.data.dataset)
    published = {} if config.data.shapes else published_counts(find_dataset(config.data.dataset))
    lines = []
    for split, entry in manifest["splits"].items():
        for count in COUNTS:
            after = published.get(f"{split}_after_drop", {})  # ReferIt without unreadable images
            known = (after or published.get(split, {})).get(count)
            verdict = "" if known is None else "same" if known == entry[count] else "differs"
            lines.append([split, count, entry[count], known, verdict])
    return pd.DataFrame(lines, columns=["Split", "Count", "Here", "Published", "Verdict"])
