"""MDETR's finetune_<set>_<split>.json: COCO's form with an image an expression, without masks.

https://github.com/ashkamath/mdetr: its archive of annotations, and scripts/fine-tuning/
refexp_coco_format.py, which writes the files. An annotation's `original_id` is the id of the COCO
annotation, an image's that of the COCO image; so the masks come from an instances.json of REFER
or of COCO. The splits are those of unc and, for refcocog, of umd.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.base.paths import safe_id
from data_preprocess.base.values import shown
from data_preprocess.raw.records import Record, Sentence, clean_sentence
from data_preprocess.raw.refer import Instances, read_instances

from .entries import AGAIN, listed, needed

NAME = re.compile(r"(?:.*_)?finetune_(?P<set>.+)_(?P<split>[A-Za-z]+)\.json")
_INSTANCES = "Give REFER's instances.json, or COCO's instances_train2014.json, as instances=FILE."

Lot = tuple[str, dict[str, Any], list[Sentence]]  # where, the image, what is said of the object


def read_mdetr(paths: Mapping[str, Path], instances_path: Path) -> Iterator[tuple[str, Record]]:
    """(split, record) of every object: expressions of one `original_id` are of one object."""
    lots = {split: _objects(path) for split, path in paths.items()}
    instances = read_instances(instances_path, _INSTANCES)
    instances = instances.referred_to(number for objects in lots.values() for number in objects)
    for split, objects in lots.items():
        for number, lot in objects.items():
            yield split, _record(number, lot, instances)


def find_instances(given: Path | None, folders: Iterable[Path]) -> Path:
    """The file of objects: as given, or the first that is in one of the folders."""
    if given is not None:
        return given
    names = ("instances.json", "instances_train2014.json", "instances_train2017.json")
    tried = [folder / name for folder in folders for name in names]
    for path in tried:
        if path.is_file() and path.stat().st_size:
            return path
    raise UserError(
        f"{tried[0]}: no such file, but MDETR's files have no masks (looked, too, for "
        f"{', '.join(map(str, tried[1:]))}). {_INSTANCES}"
    )


def _objects(path: Path) -> dict[int | str, Lot]:
    """The objects of a file by `original_id`, in the order of their first expression."""
    content = needed(read_json(path, AGAIN), ("images", "annotations"), str(path))
    images = {}
    for index, image in enumerate(listed(content["images"], str(path), "'images'")):
        where = f"{path}, image number {index}"
        needed(image, ("id", "original_id", "caption"), where)
        images[safe_id(image["id"], where, "id")] = image
    owners: dict[int | str, str] = {}
    objects: dict[int | str, Lot] = {}
    for index, annotation in enumerate(listed(content["annotations"], str(path), "'annotations'")):
        where = f"{path}, annotation number {index}"
        needed(annotation, ("image_id", "original_id"), where)
        number = safe_id(annotation["original_id"], where, "original_id")
        name = safe_id(annotation["image_id"], where, "image_id")
        if name not in images or owners.setdefault(name, where) is not where:
            raise UserError(
                f"{where}: image_id {shown(name)} is no image of this file, or that of another "
                f"annotation, too. Each expression (an image here) means one object. {AGAIN}"
            )
        sentence = Sentence(clean_sentence(images[name]["caption"], f"{path}, image {name}"))
        objects.setdefault(number, (where, images[name], []))[2].append(sentence)
    silent = next((name for name in images if name not in owners), None)
    if silent is not None:
        raise UserError(f"{path}, image {silent}: no annotation says what it means. {AGAIN}")
    return objects


def _record(number: int | str, lot: Lot, instances: Instances) -> Record:
    where, entry, sentences = lot
    image = instances.image(entry["original_id"], where)
    annotation = instances.annotation(number, image, where)
    return Record(
        segment_id=str(number),
        image=image["file_name"],
        size=(image["height"], image["width"]),
        sentences=tuple(sentences),
        shape=annotation["segmentation"],
        where=f"{where}, annotation {number} of {instances.path}",
        category=instances.category(annotation),
        bbox=annotation["bbox"],
        distractors=instances.distractors([annotation]),
        ids={"ann_id": number, "image_id": image["id"]},
    )
