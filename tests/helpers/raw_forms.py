"""The small raw tree in the forms in which people hold data sets today, with their field names."""

import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from data_preprocess.raw.masks import draw_segmentation
from data_preprocess.raw.segmentation import run_lengths

Tree = tuple[dict[int, Any], dict[int, Any], list[dict[str, Any]]]


def read_tree(root: Path, folder: str = "refcoco") -> Tree:
    """Images and annotations by id, and refs, of a tree that `write_refer` made."""
    instances = json.loads((root / folder / "instances.json").read_text())
    refs = pickle.loads(next((root / folder).glob("refs(*).p")).read_bytes())
    images, annotations = (
        {entry["id"]: entry for entry in instances[name]} for name in ("images", "annotations")
    )
    return images, annotations, refs


def hub_rows(root: Path) -> list[dict[str, Any]]:
    """Rows as jxu124/refcoco has them: boxes x1 y1 x2 y2, `validation` and `test`."""
    images, annotations, refs = read_tree(root)
    hub = {"val": "validation", "testA": "test"}
    rows = []
    for ref in refs:
        annotation = annotations[ref["ann_id"]]
        x, y, width, height = annotation["bbox"]
        rows.append({
            **{name: ref[name] for name in ("ref_id", "ann_id", "image_id", "sentences")},
            "split": hub.get(ref["split"], ref["split"]),
            "raw_anns": json.dumps(annotation),
            "raw_image_info": json.dumps(images[ref["image_id"]]),
            "bbox": [x, y, x + width, y + height],
        })  # fmt: skip
    return rows


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as Parquet, two in a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    return path


def write_mdetr(root: Path, folder: Path) -> None:
    """finetune_refcoco_<split>.json: an image an expression, ids that start anew in each."""
    images, annotations, refs = read_tree(root)
    folder.mkdir(parents=True, exist_ok=True)
    for split in dict.fromkeys(ref["split"] for ref in refs):
        content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
        for ref in (ref for ref in refs if ref["split"] == split):
            for sentence in ref["sentences"]:
                number = len(content["images"])
                image = {**images[ref["image_id"]], "id": number, "original_id": ref["image_id"]}
                content["images"].append({**image, "caption": sentence["sent"]})
                annotation = {**annotations[ref["ann_id"]], "id": number, "image_id": number}
                annotation.pop("segmentation")
                content["annotations"].append({**annotation, "original_id": ref["ann_id"]})
        (folder / f"finetune_refcoco_{split}.json").write_text(json.dumps(content))


def write_seqtr(root: Path, folder: Path) -> None:
    """SeqTR's instances.json."""
    images, annotations, refs = read_tree(root)
    content: dict[str, list[Any]] = {}
    for ref in refs:
        image, annotation = images[ref["image_id"]], annotations[ref["ann_id"]]
        content.setdefault(ref["split"], []).append({
            "image_id": ref["image_id"],
            "expressions": [sentence["sent"] for sentence in ref["sentences"]],
            "bbox": annotation["bbox"],
            "mask": annotation["segmentation"],
            "width": image["width"],
            "height": image["height"],
            "category_id": annotation["category_id"],
        })  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instances.json").write_text(json.dumps(content))


def gseval_lines(root: Path) -> list[dict[str, Any]]:
    """Lines as GSEval has them: an expression each, boxes x1 y1 x2 y2, photos in a folder."""
    images, annotations, refs = read_tree(root)
    lines = []
    for ref in refs:
        image, annotation = images[ref["image_id"]], annotations[ref["ann_id"]]
        mask = draw_segmentation(annotation["segmentation"], image["height"], image["width"], "")
        x, y, width, height = annotation["bbox"]
        for sentence in ref["sentences"]:
            lines.append({
                "idx": len(lines),
                "image_path": f"unlabeled2017/{image['file_name']}",
                "class_id": 1 + len(lines) % 4,
                "label": "thing",
                "caption": sentence["sent"],
                "box": [x, y, x + width, y + height],
                "segmentation": run_lengths(mask),
            })  # fmt: skip
    return lines


def write_gseval(root: Path, path: Path) -> Path:
    """GSEval's file, packed where its name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(line)}\n" for line in gseval_lines(root)).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def write_arefcoco(root: Path, folder: Path) -> Path:
    """arefcoco.json about the first refs of refcoco and refcocog, which must both be in `root`."""
    content = {"annotations": [
        {"entity_id": 500 + number, "split": split, "ref_id": ref["ref_id"],
         "original_dataset": name, "descriptions": [f"not {ref['sentences'][0]['sent']}", "it"]}
        for number, (name, index, split) in enumerate(
            [("refcoco", 0, "train"), ("refcoco", 2, "test"), ("refcocog", 2, "test")])
        for ref in [read_tree(root, name)[2][index]]
    ]}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "arefcoco.json").write_text(json.dumps(content))
    return folder / "arefcoco.json"


def refcoco_m_rows(root: Path) -> list[dict[str, Any]]:
    """Rows as moondream/refcoco-m has them: a photo with all its objects, the photo inside."""
    images, annotations, refs = read_tree(root)
    rows = []
    for image in images.values():
        size = image["height"], image["width"]
        samples = []
        for ref in (ref for ref in refs if ref["image_id"] == image["id"]):
            annotation = annotations[ref["ann_id"]]
            mask = draw_segmentation(annotation["segmentation"], *size, "")
            samples.append({
                "id": annotation["id"],
                "image_id": image["id"],
                "category": "thing",
                "sentences": [sentence["sent"] for sentence in ref["sentences"]],
                "bbox": annotation["bbox"],
                "mask": run_lengths(mask),
            })  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(np.full((*size, 3), image["id"], np.uint8)).save(buffer, "JPEG")
        photo = {"bytes": buffer.getvalue(), "path": image["file_name"]}
        rows.append({"image": photo, "image_id": image["id"], "file_name": image["file_name"],
                     "samples": samples})  # fmt: skip
    return rows
