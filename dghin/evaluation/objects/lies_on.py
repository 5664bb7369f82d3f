"""What an answered mask lies on: the object meant, another of its class, nothing, ...

    place_of(mask, objects)                     # one mask beside the photo's objects
    with_objects(rows, answers, data)           # the rows of a split, with these columns:

lies_on     one of PLACES; None unknown
named       how many objects of the photo the expression's name fits ("star", "small one")
on_named    whether the mask lies on one of them
on_anchor   whether it lies on the object that a relation names; NA: the expression is no relation
rank        which of the named an ordinal means, from 1; NA: it is no ordinal
places_off  how many places after it the mask's is (negative: before); NA: on none of the named

`lies_on` needs the raw data's file of objects; the others are known of drawn scenes alone, whose
expressions are made again (data_preprocess/shapes/meaning.py). Photos' words do not say so safely
which objects they name.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json_or
from data_preprocess.raw.datasets import MARKER, is_drawn
from data_preprocess.shapes.meaning import Meaning, meanings
from dghin.evaluation.kept import mask_in

from .photos import Photo, objects_file, read_photos

log = logging.getLogger(__name__)

RIGHT = 0.5  # from this IoU with the object meant on, a mask lies on it, whatever else it covers
HALF = 0.5  # of an object: it is covered
LEAST = 0.1  # below this IoU with every object, a mask lies on none
PLACES: Mapping[str, str] = {
    "meant": "the object meant",
    "same class": "another object of its class",
    "other class": "an object of another class",
    "several": "several objects: at least half of each is marked",
    "no object": "no annotated object: every IoU is below 0.1",
    "nothing": "nothing is marked",
}
KINDS = {  # of the columns that may be unknown
    "named": "Int64", "on_named": "boolean", "on_anchor": "boolean", "rank": "Int64",
    "places_off": "Int64",
}  # fmt: skip


def place_of(mask: np.ndarray, objects: np.ndarray) -> int | str:
    """Which object a mask (H, W) lies on, by its position in `objects` (N, H, W): that with the
    greatest IoU. Else "nothing", "several" or "no object". The first object is the one meant.

    Several are covered: at least half of the one that it lies on most, and of another that is not
    for the most part inside that one, as a tie is inside the person who wears it.
    """
    if not mask.any():
        return "nothing"
    areas = objects.sum(axis=(1, 2))
    both = objects[:, mask].sum(axis=1)
    iou = both / (mask.sum() + areas - both)
    best = int(iou.argmax())
    if iou[0] >= RIGHT:
        return 0
    outside = (objects & ~objects[best]).sum(axis=(1, 2))
    covered = (areas > 0) & (both >= HALF * areas)
    others = covered & (outside >= HALF * areas)
    others[best] = False
    if covered[best] and others.any():
        return "several"
    return best if iou[best] >= LEAST else "no object"


def columns_of(place: int | str, photo: Photo, meant: int, said: Meaning | None) -> dict[str, Any]:
    """The columns of a row. place: of the photo's objects, as in `place_of`; meant: the position of
    the object meant; said: what the expression says, where that is known."""
    on = photo.objects[place] if isinstance(place, int) else None
    columns: dict[str, Any] = {"lies_on": place}
    if on is not None:
        same = on.category == photo.objects[meant].category
        columns["lies_on"] = "meant" if place == meant else f"{'same' if same else 'other'} class"
    if said is not None:
        fits = [str(number) for number in said.fits]
        named = on is not None and on.id in fits
        columns |= {"named": len(fits), "on_named": named}
        if said.anchor is not None:
            columns["on_anchor"] = on is not None and on.id == str(said.anchor)
        if said.rank:
            columns["rank"] = said.rank
            columns["places_off"] = fits.index(on.id) + 1 - said.rank if on and named else None
    return columns


def with_objects(rows: pd.DataFrame, answers: Path, data: Path) -> pd.DataFrame:
    """The rows of a split with the columns of this module; as they are where nothing is known.

    answers: the split's stored masks, a line a row. data: the raw root. Known are expressions with
    one target, where the file of objects is there and holds all objects of its photos: those whose
    number of distractors is known.
    """
    asked = (rows["targets"] == 1) & rows["distractors"].notna()
    asked &= (rows["ann_id"] != "") & (rows["image_id"] != "")
    if not asked.any() or not answers.is_file():
        return rows
    lines = answers.read_text(encoding="utf-8").split("\n")
    found: dict[int, dict[str, Any]] = {}
    try:
        for path, chosen in _by_file(rows.reset_index(drop=True)[asked.to_numpy()], data):
            photos = read_photos(path, set(chosen["image_id"]))
            for image, group in chosen.groupby("image_id", sort=False):
                if image in photos:
                    found |= _of_photo(group, photos[image], lines, data)
    except (UserError, ImportError) as error:  # pycocotools draws the objects
        log.warning("what masks lie on stays unknown: %s", error)
        return rows
    return _joined(rows, found) if found else rows


def _by_file(rows: pd.DataFrame, data: Path) -> Iterator[tuple[Path, pd.DataFrame]]:
    """The rows by the file of objects that they are about, where it is there."""
    files = [
        str(objects_file(data, dataset, segment) or "")
        for dataset, segment in zip(rows["dataset"], rows["segment_id"], strict=True)
    ]
    for name, chosen in rows.groupby(pd.Series(files, rows.index), sort=False):
        if name and Path(name).is_file():
            yield Path(name), chosen


def _of_photo(
    rows: pd.DataFrame, photo: Photo, lines: list[str], data: Path
) -> dict[int, dict[str, Any]]:
    """The columns of one photo's rows, by their position in the split."""
    masks, found = photo.masks(), {}
    positions = {one.id: number for number, one in enumerate(photo.objects)}
    said = _said(rows, data)
    for number, row in zip(rows.index, rows.itertuples(index=False), strict=True):
        entry = json.loads(lines[number])
        meant = positions.get(row.ann_id)
        if meant is None or "counts" not in entry or photo.size != (row.height, row.width):
            continue  # another file's object, a score without a mask, a photo that was turned
        order = [meant, *(place for place in positions.values() if place != meant)]
        place = place_of(mask_in(entry, photo.size, f"answer {number + 1}"), masks[order])
        place = order[place] if isinstance(place, int) else place
        found[number] = columns_of(place, photo, meant, said.get((row.ann_id, row.sentence)))
    return found


def _said(rows: pd.DataFrame, data: Path) -> dict[tuple[str, str], Meaning]:
    """What a photo's expressions say, by the object meant and the words; nothing of real photos."""
    first = rows.iloc[0]
    marker = read_json_or(data / MARKER, {}) if is_drawn(first["dataset"]) else {}
    seed = marker.get("settings", {}).get("seed")
    if seed is None or not first["image_id"].isdigit():
        return {}
    known = meanings(seed, int(first["image_id"]), first["split"])
    return {(str(number), text): said for (number, text), said in known.items()}


def _joined(rows: pd.DataFrame, found: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """The rows with the columns that were found of at least one of them."""
    columns = [found.get(number, {}) for number in range(len(rows))]
    added = {}
    for name in ("lies_on", *KINDS):
        values = [entry.get(name) for entry in columns]
        if any(value is not None for value in values):
            added[name] = pd.array(values, dtype=KINDS.get(name, object))
    if not added:
        return rows
    joined = rows.assign(**added)
    joined.attrs = rows.attrs
    return joined
