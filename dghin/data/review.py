"""Which expressions reviewers keep: Ref-L4's review of RefCOCO, RefCOCO+ and RefCOCOg.

    store_review(folder, Path("reviewed"))       # joined onto the rows of a run, kept beside them
    with_review(rows, folder)                    # the rows, with a column `reviewed`

https://huggingface.co/datasets/JierunChen/Ref-L4, refcocos_annotation_reviewed/: MDETR's form, in
which an annotation has caption_quality 1 (keep) or 0 (exclude). Scores on kept expressions follow
from rows that are there already: nothing is answered again.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json, read_json_or, write_json
from data_preprocess.base.values import shown
from dghin.run.folder import RunFolder

COLUMN, KEPT, EXCLUDED = "reviewed", "kept", "excluded"
_QUALITY = {1: KEPT, 0: EXCLUDED}
_ENDING = "_reviewed.json"
_AGAIN = "Correct it, or get the file again: dghin data fetch SET form=reviewed data=DATA"
# by the COCO annotation and the sentence: a verdict each time that the object is called so
Verdicts = dict[tuple[str, str], list[str]]


def store_review(folder: Path, given: Path) -> dict[str, tuple[int, int]]:
    """Join a review onto a run's rows and keep it in the run's folder; split -> (kept, all).

    given: a reviewed file, or a folder of them. A split that none of them is about is left out.
    UserError where no expression of the run is reviewed.
    """
    verdicts: Verdicts = {}
    for path in _files(given):
        for key, names in read_review(path).items():
            verdicts.setdefault(key, []).extend(names)
    found, counts = {}, {}
    for path in sorted(RunFolder(folder).all_rows.glob("*.parquet")):
        rows = pd.read_parquet(path)
        names = _verdicts(rows, verdicts)
        reviewed = {key: name for key, name in zip(row_keys(rows), names, strict=True) if name}
        if reviewed:
            found[path.stem] = reviewed
            counts[path.stem] = (list(reviewed.values()).count(KEPT), len(reviewed))
    if not found:
        count = sum(map(len, verdicts.values()))
        raise UserError(
            f"{given}: none of its {count:,} expressions is one of the rows in "
            f"{RunFolder(folder).all_rows} (they are compared by the COCO annotation and the "
            "words). Give the review of the run's data set."
        )
    write_json(RunFolder(folder).review, found, indent=None)
    return counts


def with_review(rows: pd.DataFrame, split: str, folder: Path) -> pd.DataFrame:
    """The rows of a split with what reviewers say of them, where the run's folder holds it."""
    noted = read_json_or(RunFolder(folder).review, {}).get(split)
    if not isinstance(noted, dict):
        return rows
    return rows.assign(**{COLUMN: [noted.get(key, "") for key in row_keys(rows)]})


def read_review(path: Path) -> Verdicts:
    """(COCO annotation, sentence) -> kept or excluded, of one reviewed file. An object may be
    called the same twice: then there are two verdicts, in the order of the file."""
    content = read_json(path, _AGAIN)
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        raise UserError(
            f"{path}: no 'images' and 'annotations' in it, as MDETR's form has. {_AGAIN}"
        )
    try:
        captions = {image["id"]: image["caption"] for image in content["images"]}
        entries = [
            ((str(entry["original_id"]), captions[entry["image_id"]].strip()), entry)
            for entry in content["annotations"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: an image or annotation without {error}. {_AGAIN}") from error
    for number, (_, entry) in enumerate(entries):
        quality = entry.get("caption_quality")
        if quality not in _QUALITY:
            raise UserError(
                f"{path}, annotation number {number}: caption_quality {shown(quality)} is neither "
                f"1 (keep) nor 0 (exclude). {_AGAIN}"
            )
    verdicts: Verdicts = {}
    for key, entry in entries:
        verdicts.setdefault(key, []).append(_QUALITY[entry["caption_quality"]])
    return verdicts


def row_keys(rows: pd.DataFrame) -> Iterable[str]:
    """The name of each row's expression in its split."""
    pairs = zip(rows["segment_id"], rows["sentence_index"], strict=True)
    return [f"{segment}/{index}" for segment, index in pairs]


def _verdicts(rows: pd.DataFrame, verdicts: Verdicts) -> list[str]:
    """What the review says of each row; "" where it says nothing. Of one phrase that an object has
    twice, the first row takes the first verdict."""
    if "ann_id" not in rows:
        raise UserError(
            "the rows do not name the COCO annotations (ann_id): they are of an older version. "
            "Evaluate again."
        )
    left = {key: list(names) for key, names in verdicts.items()}
    found = []
    for key in zip(rows["ann_id"].astype(str), rows["sentence"].str.strip(), strict=True):
        names = left.get(key) or [""]
        found.append(names.pop(0) if len(names) > 1 else names[0])
    return found


def _files(given: Path) -> list[Path]:
    paths = sorted(given.glob(f"*{_ENDING}")) if given.is_dir() else [given]
    if not paths or not paths[0].is_file():
        raise UserError(f"{given}: no such file, or no *{_ENDING} in it. {_AGAIN}")
    return paths
