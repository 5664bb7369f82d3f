"""A data set of your own -> prepared data: a table of expressions, photos, COCO JSON or masks.

    dghin data custom mine table=expressions.csv images=photos \
        coco=annotations.json data=DATA

The table is a CSV file with a line an expression:

    image,annotation,mask,expression,split
    cat.jpg,12,,the cat on the left,train          the object is annotation 12 of the COCO file
    cat.jpg,12;13,,both cats,train                 several objects at once
    dog.jpg,,masks/dog.png,a sleeping dog,val      or it is what is not black in a mask image
    dog.jpg,none,,the parrot,val                   nothing in the image is meant

The table may also be JSON Lines, with outlines or run lengths inside (json_table.py).

Lines of one image, split and object become one referent. `kind` and `category` may be added as
columns; `annotation` or `mask` may be left out. Paths of masks begin at the table's folder.
"""

import csv
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.paths import known_id, safe_path
from data_preprocess.base.settings import PathText
from data_preprocess.prepared.one_dataset import MaskSettings, prepare_raw
from data_preprocess.raw.datasets import TRAIN, Dataset, check_own_name
from data_preprocess.raw.records import Raw, Record, Sentence, Shapes, clean_sentence
from data_preprocess.raw.refer import Id, Instances, read_instances

from .json_table import SEGMENTATION, is_json_table, read_json_table
from .manifest import read_manifest, relative
from .mask_files import sources_digest

log = logging.getLogger(__name__)

COLUMNS = ("image", "annotation", "mask", "expression", "split", "kind", "category")
NEEDED = ("image", "expression", "split")
NOTHING = "none"  # in the column `annotation`: the expression names nothing in the image
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")
_WHOLE = re.compile(r"([0-9]{1,18})(?:\.0*)?")
_COCO = "Give your COCO file with coco=FILE (images, annotations, categories), or correct it."
_SHOWN = 10  # errors of a table that are listed at once


@dataclass(frozen=True)
class CustomSettings(MaskSettings):
    dataset: str = ""  # a name of your own
    table: PathText = ""  # the table of expressions: CSV, or JSON Lines
    images: PathText = ""  # the folder of the photos; the table's own if empty
    coco: PathText = ""  # a COCO JSON file, for the column `annotation`


Row = Mapping[str, str]


def prepare_custom(settings: CustomSettings) -> dict[str, Any]:
    """Prepare a data set of your own; returns its manifest. What is valid already is kept."""
    _check_settings(settings)
    raw = read_custom(settings)
    dataset = Dataset(settings.dataset, "custom", "", "", tuple(raw.splits), settings.images)
    _warn_of_leaks(raw)
    paths = {
        name: relative(Path(value), settings.root)
        for name in ("table", "images", "coco")
        if (value := getattr(settings, name))
    }
    return prepare_raw(replace(settings, **paths), dataset, raw, "custom", {"custom": paths})


def outdated(root: Path, dataset: str) -> list[tuple[str, str]]:
    """(file, what) if prepared data are no longer those of the table, photos and masks they were
    made from. Where these are not on this machine, nothing can be said."""
    manifest = read_manifest(root, dataset)
    paths = {name: str(root / place) for name, place in manifest.get("custom", {}).items()}
    table = paths.get("table", "")
    if not table or not Path(table).is_file():
        return []
    try:
        raw = read_custom(CustomSettings(dataset=dataset, **paths))
        records = [record for listed in raw.splits.values() for record in listed]
        if sources_digest(raw.sources, records) == manifest["sources_sha256"]:
            return []
        what = "it, its COCO file or a mask was changed since"
    except (UserError, OSError) as error:
        what = f"no longer readable ({error})"
    return [(table, f"{what}. Run 'dghin data custom {dataset} ...' again.")]


def read_custom(settings: CustomSettings) -> Raw:
    """The records of a table by split, in its order. All that is invalid is listed at once."""
    table = Path(settings.table)
    images = Path(settings.images) if settings.images else table.parent
    if not images.is_dir():
        raise UserError(f"{images}: no such folder. Give the photos' with images=FOLDER.")
    coco = read_instances(Path(settings.coco), _COCO) if settings.coco else None
    groups: dict[tuple[str, ...], list[Row]] = {}
    errors = []
    for number, row in read_table(table):
        where = f"{table}, line {number}"
        try:
            groups.setdefault(_check_row(row, where), []).append({**row, "where": where})
        except UserError as error:
            errors.append(str(error))
    if coco is not None:
        coco = coco.referred_to(_all_ids((rows[0] for rows in groups.values()), coco))
    splits: dict[str, list[Record]] = {}
    for number, rows in enumerate(groups.values()):
        try:
            record = _record(str(number), rows, coco, table.parent, settings.coco)
            splits.setdefault(rows[0]["split"], []).append(record)
        except UserError as error:
            errors.append(str(error))
    if errors:
        more = len(errors) - _SHOWN
        listed = errors[:_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
        count = f"{len(errors)} lines are" if len(errors) > 1 else "a line is"
        raise UserError("\n  ".join([f"{table}: {count} invalid:", *listed]))
    if not splits:
        raise UserError(f"{table}: no line but the header. Add a line an expression.")
    sources = (table, Path(settings.coco)) if settings.coco else (table,)
    return Raw(splits, images, sources)


def read_table(path: Path) -> Iterator[tuple[int, Row]]:
    """(line number, cells by column) of a CSV file; every column is there, empty if left out."""
    if not path.is_file():
        raise UserError(f"{path}: no such file. Give the table of expressions with table=FILE.")
    if is_json_table(path):
        yield from read_json_table(path, COLUMNS)
        return
    last = 0  # the line that ended last: a quote that is never closed begins in the next one
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = [name.strip().lower() for name in reader.fieldnames or ()]
            _check_header(path, header)
            reader.fieldnames, last = header, reader.line_num
            for row in reader:
                last = reader.line_num
                where = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(
                        f"{where}: not as many cells as the header has. Put an expression that "
                        'has a comma between double quotes ("...").'
                    )
                cells = {name: row.get(name, "").strip() for name in COLUMNS}
                for name in ("image", "mask"):
                    cells[name] = cells[name].removeprefix("./")
                if any(cells.values()):
                    yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not readable as UTF-8 ({error}). Save it so.") from error
    except csv.Error as error:
        raise UserError(
            f"{path}, line {last + 1}: not readable as CSV ({error}). Put a cell with quotes in it "
            'between quotes, each of its own doubled: """red"" thing".'
        ) from error


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in NEEDED if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    if header and header[0].startswith("sep="):
        raise UserError(f"{path}, line 1: '{header[0]}' is for a spreadsheet. Remove this line.")
    for sign, name in ((";", "';'"), ("\t", "tabs")):
        if len(header) == 1 and sign in header[0]:
            raise UserError(f"{path}: its cells are apart by {name}. Save it with commas.")
    if twice := [name for name in dict.fromkeys(header) if name and header.count(name) > 1]:
        raise UserError(
            f"{path}: the column '{twice[0]}' is there twice. Keep one; a second expression of an "
            "object is a line of its own."
        )
    if missing or unknown or not {"annotation", "mask"} & set(header):
        raise UserError(
            f"{path}: its columns are {', '.join(header) or 'none'}. Needed: {', '.join(NEEDED)} "
            f"and annotation or mask; known, too: kind, category."
        )


def _check_settings(settings: CustomSettings) -> None:
    check_own_name(settings.dataset, "dghin data custom mine table=...")
    if not settings.table:
        raise UserError("table: give the CSV file of expressions with table=FILE (see --help).")


def _check_row(row: Row, where: str) -> tuple[str, ...]:
    """What lines of one referent have in common; an error for a line that cannot be used."""
    clean_sentence(row["expression"], where)
    if not _NAME.fullmatch(row["split"]) or row["split"] == "manifest":
        raise UserError(
            f"{where}: split '{row['split']}'. Name it with letters, digits, _, + and -, such as "
            "train, val or test."
        )
    if sum(map(bool, (row["annotation"], row["mask"], row.get(SEGMENTATION)))) != 1:
        drawn = f" and a {SEGMENTATION}" if row.get(SEGMENTATION) else ""
        raise UserError(
            f"{where}: annotation '{row['annotation']}' and mask '{row['mask']}'{drawn}. Give one "
            f"of them (annotation: numbers of the COCO file apart by ;, or {NOTHING})."
        )
    if not row["image"]:
        raise UserError(f"{where}: no image. Give its file name in the folder of the photos.")
    safe_path(row["image"], where)
    return tuple(
        row.get(name, "") for name in ("split", "image", "annotation", "mask", SEGMENTATION)
    )


def _record(
    number: str, rows: list[Row], coco: Instances | None, folder: Path, coco_name: str
) -> Record:
    first = rows[0]
    where = first["where"]
    sentences = tuple(Sentence(clean_sentence(r["expression"], where), r["kind"]) for r in rows)
    plain = Record(number, first["image"], None, sentences, None, where, first["category"])
    if first.get(SEGMENTATION):
        return replace(plain, shape=json.loads(first[SEGMENTATION]))
    if first["mask"]:
        return replace(plain, shape=folder / safe_path(first["mask"], where))
    if first["annotation"] == NOTHING:
        return replace(plain, shape=Shapes(), targets=0)
    if coco is None:
        raise UserError(f"{where}: annotation {first['annotation']}, but no coco=FILE is given.")
    return _annotated(plain, _numbers(first["annotation"], where, coco), coco, coco_name)


def _numbers(text: str, where: str, coco: Instances) -> list[Id]:
    """The ids of annotations in a cell; those of a COCO file may be text."""
    ids = [_id(part) for part in text.split(";")]
    if not all(isinstance(one, int) or one in coco.annotations for one in ids):
        raise UserError(
            f"{where}: annotation '{text}'. Give the id of an annotation, several apart by ;, or "
            f"{NOTHING}."
        )
    return list(dict.fromkeys(ids))


def _id(text: str) -> Id:
    """An id as a number where it is one. 11.0 is 11: pandas writes it so beside empty cells."""
    found = _WHOLE.fullmatch(text.strip())
    return int(found[1]) if found else text.strip()


def _all_ids(rows: Iterable[Row], coco: Instances) -> set[Id]:
    """The annotations that a table names; cells that cannot be read are said elsewhere."""
    cells = (_id(cell) for row in rows for cell in row["annotation"].split(";"))
    ids = (known_id(cell, coco.annotations) for cell in cells)
    return {one for one in ids if one is not None}


def _annotated(plain: Record, ids: list[Id], coco: Instances, coco_name: str) -> Record:
    """The record with the shapes of COCO annotations; they must be of the record's image."""
    annotations = [coco.annotation(number, None, plain.where) for number in ids]
    for number, annotation in zip(ids, annotations, strict=True):
        image = coco.image(annotation["image_id"], plain.where)
        if not _is_same(plain.image, image["file_name"], coco):
            raise UserError(
                f"{plain.where}: image '{plain.image}', but annotation {number} of {coco_name} is "
                f"of '{image['file_name']}'. Correct one of the two."
            )
    boxes = [annotation["bbox"] for annotation in annotations if annotation.get("bbox")]
    names = dict.fromkeys(coco.category(annotation) for annotation in annotations)
    single = len(annotations) == 1
    shapes = tuple(annotation["segmentation"] for annotation in annotations)
    return replace(
        plain,
        size=(image["height"], image["width"]),
        shape=shapes[0] if single else Shapes(shapes),
        category=plain.category or ", ".join(name for name in names if name),
        bbox=tuple(boxes[0]) if single and boxes else (),
        targets=len(annotations),
        distractors=coco.distractors(annotations),
    )


def _is_same(row: str, file_name: str, coco: Instances) -> bool:
    """Whether a row's image is a COCO file's: by path, or by bare name where that is told apart."""
    if row == file_name:
        return True
    one, other = Path(row).name, Path(file_name).name
    return one == other and (one == row or other == file_name) and coco.has_one_image_called(other)


def _warn_of_leaks(raw: Raw) -> None:
    """Say how many images of a split are in train, too."""
    images = {split: {r.image for r in records} for split, records in raw.splits.items()}
    for split, found in images.items():
        shared = found & images.get(TRAIN, set()) if split != TRAIN else ()
        if shared:
            log.warning(
                "%s: %d of its %d images are in %s, too (such as %s): its scores will be too good",
                split, len(shared), len(found), TRAIN, min(shared),
            )  # fmt: skip
