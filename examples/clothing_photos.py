"""Clothing Co-Parsing (photos of people with a label for each pixel) as a data set of one's own.

    git clone https://github.com/bearpaw/clothing-co-parsing    # about 1 GB
    python examples/clothing_photos.py clothing-co-parsing clothes
    dghin data custom clothes data=clothes table=clothes/expressions.csv \
        images=clothing-co-parsing/photos ...

reads photos/NNNN.jpg, annotations/pixel-level/NNNN.mat (`groundtruth`, a label for each pixel) and
label_list.mat, and writes clothes/masks/*.png and clothes/expressions.csv. A label stands once in a
photo, so that its name tells it apart: "the dress". smallest=0.01: labels that cover less of the
photo are left out, as are hair, skin and background. Every fifth photo is val, every fifth test.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

LEFT_OUT = ("null", "hair", "skin", "background")
SPLITS = ("train", "train", "train", "val", "test")


def main(source, target, *options):
    """Write masks and the table, and say what is in it."""
    from scipy.io import loadmat

    smallest = float(dict(option.split("=") for option in options).get("smallest", 0.01))
    source, target = Path(source), Path(target)
    (target / "masks").mkdir(parents=True, exist_ok=True)
    names = [str(np.squeeze(x)) for x in loadmat(source / "label_list.mat")["label_list"].ravel()]
    rows = []
    files = sorted((source / "annotations/pixel-level").glob("*.mat"))
    for number, file in enumerate(files):
        labels = loadmat(file)["groundtruth"]  # (H, W)
        for label in np.unique(labels):
            mask, name = labels == label, names[label]
            if name in LEFT_OUT or mask.mean() < smallest:
                continue
            mask_file = f"masks/{file.stem}_{label:02d}.png"
            Image.fromarray(mask.astype(np.uint8) * 255).save(target / mask_file)
            split = SPLITS[number % len(SPLITS)]
            rows.append([f"{file.stem}.jpg", mask_file, f"the {name}", split, name])
    with open(target / "expressions.csv", "w", encoding="utf-8", newline="") as table:
        header = ["image", "mask", "expression", "split", "category"]
        csv.writer(table).writerows([header, *rows])
    print(f"{target}: {len(files)} photos, {len(rows)} masks and expressions")


if __name__ == "__main__":
    main(*sys.argv[1:])
