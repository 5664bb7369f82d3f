"""The embedded data set as its files hold it, for tests."""

import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from data_preprocess.raw.masks import draw_segmentation
from helpers.expressions import COLOURS, UNIT_AREAS, Found


class Written:
    """The data set as its files hold it."""

    def __init__(self, root: Path):
        self.root = root
        self.instances = json.loads((root / "refcoco" / "instances.json").read_text())
        self.refs = pickle.loads((root / "refcoco" / "refs(unc).p").read_bytes())
        self.images = {image["id"]: image for image in self.instances["images"]}
        self.annotations = {entry["id"]: entry for entry in self.instances["annotations"]}

    def referit(self, name: str) -> dict:
        return json.loads((self.root / "referit" / name).read_text())

    def mask(self, annotation: dict) -> np.ndarray:
        image = self.images[annotation["image_id"]]
        size = image["height"], image["width"]
        return draw_segmentation(annotation["segmentation"], *size, where="test").astype(bool)

    def picture(self, image_id: int) -> np.ndarray:
        path = self.root / "images" / "train2014" / self.images[image_id]["file_name"]
        return np.asarray(Image.open(path).convert("RGB"))

    def things(self, image_id: int) -> dict[int, Found]:
        """Annotation id -> the thing, from its category, its mask and its pixels."""
        picture = self.picture(image_id)
        height, width = picture.shape[:2]
        names = {entry["id"]: entry["name"] for entry in self.instances["categories"]}
        found = {}
        for entry in self.instances["annotations"]:
            if entry["image_id"] != image_id:
                continue
            mask, shape = self.mask(entry), names[entry["category_id"]]
            pixels = np.median(picture[mask], axis=0)
            colour = min(COLOURS, key=lambda name: np.abs(pixels - COLOURS[name]).sum())
            radius = float(np.sqrt(mask.sum() / UNIT_AREAS[shape]))
            x, y, w, h = entry["bbox"]
            found[entry["id"]] = Found(
                shape, colour, radius, radius > 0.13 * min(width, height),
                (x + w / 2) / width, (y + h / 2) / height, width, height,
            )  # fmt: skip
        return found
