"""The scenes of the embedded data set as raw files: the REFER layout and the ReferIt layout."""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_preprocess.base.files import atomic_path, write_json, write_text

from .phrases import KINDS, Description
from .scene import CONVEX, SHAPES, Scene, Thing, clip_outside, outline

IMAGES = "images/train2014"
REFERIT_IMAGES = "images/referit/images"
REFERIT_MASKS = "images/referit/mask"
_LICENSE = {
    "url": "https://creativecommons.org/publicdomain/zero/1.0/",
    "id": 1,
    "name": "CC0: drawn by this project",
}


@dataclass(frozen=True)
class Phrase:
    """One expression: as typed, as cleaned, its kind, and the description that it words."""

    raw: str
    text: str
    kind: str
    said: Description


@dataclass(frozen=True)
class Page:
    """One image with all that the raw files say of it; JSON-like, so that it can be pickled."""

    number: int
    split: str
    width: int
    height: int
    annotations: tuple[dict[str, Any], ...]
    phrases: tuple[tuple[Phrase, ...], ...]  # for each thing; empty if nobody refers to it

    @property
    def file_name(self) -> str:
        return f"COCO_train2014_{self.number:012d}.jpg"


def annotations(scene: Scene, masks: list[np.ndarray]) -> tuple[dict[str, Any], ...]:
    """COCO annotations: polygons; run lengths for rings (a hole is no polygon)."""
    return tuple(
        {
            "segmentation": _segmentation(scene, index, masks[index]),
            "area": float(masks[index].sum()),
            "iscrowd": int(thing.shape == "ring"),
            "image_id": scene.number,
            "bbox": [float(value) for value in _box(masks[index])],
            "category_id": SHAPES.index(thing.shape) + 1,
            "id": annotation_id(scene, thing),
        }
        for index, thing in enumerate(scene.things)
    )


def annotation_id(scene: Scene, thing: Thing) -> int:
    """The annotation's id of a thing."""
    return scene.number * 10 + thing.number


def _segmentation(scene: Scene, index: int, mask: np.ndarray) -> Any:
    """Polygons, overlapping where the pieces do; or run lengths, every other one as text."""
    thing = scene.things[index]
    if thing.shape == "ring":
        return _run_lengths(mask, as_text=(scene.number + index) % 2 == 0)
    pieces = outline(thing)
    for front in scene.things[index + 1 :]:
        distance = np.hypot(front.x - thing.x, front.y - thing.y)
        if front.shape in CONVEX and distance < 1.2 * (front.radius + thing.radius):
            pieces = [part for piece in pieces for part in clip_outside(piece, outline(front)[0])]
    return [[round(float(value), 2) for value in piece.ravel()] for piece in pieces]


def _run_lengths(mask: np.ndarray, as_text: bool) -> dict[str, Any]:
    """COCO's run lengths, column by column: a list of counts, or the same packed into text."""
    if as_text:
        from pycocotools import mask as coco

        packed = coco.encode(np.asfortranarray(mask))["counts"]
        return {"size": list(mask.shape), "counts": packed.decode("ascii")}
    flat = np.concatenate([[0], mask.ravel(order="F"), [2]])  # counts start with the background
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    counts = np.diff(np.concatenate([[0], edges]))
    return {"size": list(mask.shape), "counts": [int(count) for count in counts]}


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(x, y, width, height) in pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def mat_bytes(mask: np.ndarray) -> bytes:
    """ReferIt's mask file: `segimg_t` is 0 on the object and -1 elsewhere."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    labels = np.where(mask, 0, -1).astype(np.int16)
    savemat(buffer, {"segimg_t": labels}, do_compression=True)
    header = b"MATLAB 5.0 MAT-file, written by data_preprocess shapes"  # scipy's names the hour
    return header.ljust(116) + buffer.getvalue()[116:]


def write_refer(root: Path, pages: list[Page]) -> None:
    """refcoco/instances.json and refcoco/refs(unc).p."""
    instances = {
        "info": {"description": "The embedded data set: drawn shapes", "version": "1.0"},
        "licenses": [_LICENSE],
        "images": [_image(page) for page in pages],
        "annotations": [entry for page in pages for entry in page.annotations],
        "categories": [
            {"supercategory": "shape", "id": number, "name": name}
            for number, name in enumerate(SHAPES, 1)
        ],
    }
    write_json(root / "refcoco" / "instances.json", instances, indent=None)
    with atomic_path(root / "refcoco" / "refs(unc).p") as temporary:
        with open(temporary, "wb") as file:
            pickler = pickle.Pickler(file, protocol=2)
            pickler.fast = True  # no references between equal strings: equal data, equal bytes
            pickler.dump(_refs(pages))


def _image(page: Page) -> dict[str, Any]:
    return {
        "license": 1,
        "file_name": page.file_name,
        "coco_url": "",
        "height": page.height,
        "width": page.width,
        "date_captured": "",
        "flickr_url": "",
        "id": page.number,
    }


def _refs(pages: list[Page]) -> list[dict[str, Any]]:
    refs, sent_id = [], 0
    for page in pages:
        for annotation, phrases in zip(page.annotations, page.phrases, strict=True):
            if not phrases:
                continue
            sentences = [
                {
                    "sent_id": sent_id + index,
                    "sent": phrase.text,
                    "raw": phrase.raw,
                    "tokens": phrase.text.split(),
                    "kind": phrase.kind,
                }
                for index, phrase in enumerate(phrases)
            ]
            sent_id += len(sentences)
            refs.append(
                {
                    "ref_id": len(refs),
                    "ann_id": annotation["id"],
                    "image_id": page.number,
                    "split": page.split,
                    "sent_ids": [sentence["sent_id"] for sentence in sentences],
                    "sentences": sentences,
                    "category_id": annotation["category_id"],
                    "file_name": page.file_name.replace(".jpg", f"_{annotation['id']}.jpg"),
                }
            )
    return refs


def write_referit(root: Path, pages: list[Page]) -> None:
    """The annotation files of referit/; the masks are written with the images."""
    folder = root / "referit"
    kinds: dict[str, list[str]] = {}
    for split, parts in (("trainval", ("train", "val")), ("test", ("testA", "testB"))):
        chosen = [page for page in pages if page.split in parts]
        queries: dict[str, list[str]] = {}
        for page in chosen:
            for number, phrases in enumerate(page.phrases, 1):
                if phrases:
                    queries[f"{page.number}_{number}"] = [phrase.raw for phrase in phrases]
                    kinds[f"{page.number}_{number}"] = [phrase.kind for phrase in phrases]
        write_json(folder / f"referit_query_{split}.json", queries)
        write_text(
            folder / f"referit_{split}_imlist.txt", "\n".join(str(page.number) for page in chosen)
        )
    boxes = {
        f"{page.number}_{number}": _corners(annotation["bbox"])
        for page in pages
        for number, annotation in enumerate(page.annotations, 1)
        if page.phrases[number - 1]
    }
    write_json(folder / "referit_bbox.json", boxes, indent=None)
    sizes = {f"{page.number}.jpg": [page.width, page.height] for page in pages}
    write_json(folder / "referit_imsize.json", sizes, indent=None)
    write_json(folder / "referit_kind.json", kinds, indent=None)


def _corners(box: list[float]) -> list[int]:
    """ReferIt's inclusive corners (x0, y0, x1, y1)."""
    x, y, width, height = (int(value) for value in box)
    return [x, y, x + width - 1, y + height - 1]


def count(pages: list[Page]) -> dict[str, dict[str, Any]]:
    """For each split: images, objects referred to, expressions, and expressions by kind."""
    counts: dict[str, dict[str, Any]] = {}
    for page in pages:
        entry = counts.setdefault(
            page.split,
            {"images": 0, "objects": 0, "expressions": 0, "kinds": dict.fromkeys(KINDS, 0)},
        )
        entry["images"] += 1
        for phrases in page.phrases:
            entry["objects"] += bool(phrases)
            entry["expressions"] += len(phrases)
            for phrase in phrases:
                entry["kinds"][phrase.kind] += 1
    return counts
