"""The gRefCOCO layout: grefs(<split_by>).json and instances.json, several referents or none.

https://github.com/henghuiding/gRefCOCO. A ref's `ann_id` is a list: the objects that are meant, or
[-1] where the expression names nothing in the image. Crowds are left out of a referent, as ReLA's
reader does.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json

from .datasets import Dataset
from .records import Raw, Record, Shapes
from .refer import (
    Instances,
    by_split,
    checked_entries,
    is_crowd,
    meant_by,
    raw_ids,
    read_instances,
    read_sentences,
    refer_sources,
)

log = logging.getLogger(__name__)

NO_TARGET = -1
_REMEDY = "Put the file of the gRefCOCO release there (see 'Real data' in the README)."


def read_grefer(data: Path, dataset: Dataset) -> Raw:
    """All records of a gRefCOCO data set, by split, in the order of the grefs file."""
    instances_path, refs_path = refer_sources(data, dataset)
    instances = read_instances(instances_path)
    refs = list(checked_entries(read_json(refs_path, _REMEDY), "ref", refs_path))
    instances = instances.referred_to(meant_by(refs))
    pairs = [(ref["split"], _record(ref, instances, refs_path)) for ref in refs]
    dropped = Counter(split for split, record in pairs if record is None)
    if dropped:
        log.warning("%s: left out refs of crowds only: %s", refs_path, dict(dropped))
    records = ((split, record) for split, record in pairs if record is not None)
    found = by_split(records, dataset, refs_path)
    return Raw(found, data / dataset.images, (instances_path, refs_path), dict(dropped))


def _record(ref: dict[str, Any], instances: Instances, refs_path: Path) -> Record | None:
    """A ref as a record; None if it means crowds only."""
    where = f"{refs_path}, ref_id {ref['ref_id']}"
    image = instances.image(ref["image_id"], where)
    ids = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
    if not ids or (NO_TARGET in ids and len(ids) > 1):
        raise UserError(
            f"{where}: ann_id {ids} is neither a list of annotations nor [{NO_TARGET}], which "
            f"says that nothing is meant. {_REMEDY}"
        )
    chosen = [instances.annotation(i, image, where) for i in dict.fromkeys(ids) if i != NO_TARGET]
    objects = [annotation for annotation in chosen if not is_crowd(annotation)]
    if chosen and not objects:
        return None
    names = dict.fromkeys(instances.category(annotation) for annotation in objects)
    return Record(
        segment_id=str(ref["ref_id"]),
        image=image["file_name"],
        size=(image["height"], image["width"]),
        sentences=tuple(read_sentences(ref["sentences"], where)),
        shape=Shapes(tuple(annotation["segmentation"] for annotation in objects)),
        where=where,
        category=", ".join(name for name in names if name),
        bbox=_around([annotation["bbox"] for annotation in objects if annotation.get("bbox")]),
        targets=len(objects),
        distractors=instances.distractors(chosen),  # crowds that are meant are none
        ids=raw_ids(ref),
    )


def _around(boxes: list[Any]) -> tuple[float, ...]:
    """The box around several (x, y, width, height); empty where there is none."""
    if not boxes:
        return ()
    x0, y0 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    x1, y1 = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    return (x0, y0, x1 - x0, y1 - y0)
