"""Expressions by rule from any COCO instances file: a table for `dghin data custom`.

    python examples/coco_expressions.py instances.json expressions.csv
    python examples/coco_expressions.py instances.json expressions.csv smallest=0.01 val=0.4 seed=0

An object gets an expression for each thing that tells it from the others of its category in its
photo: "the dog" where it is alone, "the dog on the left" and "the left dog", "the dog at the top",
"the largest dog" where it is so by a clear margin. smallest: objects that cover less of their photo
get none (they still count as the others). val: the share of the photos that make the split val; no
photo is in both. Boxes and areas are the file's; crowds get no expression, and where there is one
of its category, nothing there is said to be alone, leftmost or largest.
"""

import csv
import json
import random
import sys
from collections import defaultdict
from pathlib import Path

MARGIN = 0.1  # of the photo's side: by so much a leftmost object's middle lies before the next
LARGER = 1.5  # times the next in size


def main(words):
    """Write the table, and say what is in it."""
    source, target, *options = words
    settings = {"smallest": 0.01, "val": 0.4, "seed": 0}
    for option in options:
        name, _, value = option.partition("=")
        settings[name] = type(settings[name])(value)
    coco = json.loads(Path(source).read_text(encoding="utf-8"))
    rows = list(expressions(coco, settings["smallest"]))
    held_out = val_images(coco, settings["val"], settings["seed"])
    with open(target, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "annotation", "expression", "split"])
        for image, annotation, expression in rows:
            split = "val" if image["id"] in held_out else "train"
            table.writerow([image["file_name"], annotation["id"], expression, split])
    images = {image["id"] for image, _, _ in rows}
    objects = {annotation["id"] for _, annotation, _ in rows}
    print(f"{target}: {len(rows)} expressions of {len(objects)} objects in {len(images)} photos")


def val_images(coco, share, seed):
    """The ids of the photos that are held out."""
    ids = sorted(image["id"] for image in coco["images"])
    return set(random.Random(seed).sample(ids, round(share * len(ids))))


def expressions(coco, smallest):
    """(image, annotation, expression), photo by photo."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    groups = defaultdict(list)
    for annotation in coco["annotations"]:
        groups[annotation["image_id"], annotation["category_id"]].append(annotation)
    for image in coco["images"]:
        area = image["width"] * image["height"]
        for category, name in names.items():
            group = groups.get((image["id"], category), [])
            if any(annotation.get("iscrowd") for annotation in group):
                continue
            for annotation in group:
                if annotation["area"] >= smallest * area:
                    for expression in told_apart(annotation, group, name, image):
                        yield image, annotation, expression


def told_apart(annotation, group, name, image):
    """What an object of a category is called, if that tells it from the others of the group."""
    others = [other for other in group if other is not annotation]
    if not others:
        return [f"the {name}", name]
    x, y = middle(annotation, image)
    beside = [middle(other, image) for other in others]
    found = []
    if all(x < other - MARGIN for other, _ in beside):
        found += [f"the {name} on the left", f"left {name}"]
    if all(x > other + MARGIN for other, _ in beside):
        found += [f"the {name} on the right", f"right {name}"]
    if all(y < other - MARGIN for _, other in beside):
        found.append(f"the {name} at the top")
    if all(y > other + MARGIN for _, other in beside):
        found.append(f"the {name} at the bottom")
    if all(annotation["area"] > LARGER * other["area"] for other in others):
        found.append(f"the largest {name}")
    return found


def middle(annotation, image):
    """The middle of an object's box, as shares of the photo's width and height."""
    x, y, width, height = annotation["bbox"]
    return (x + width / 2) / image["width"], (y + height / 2) / image["height"]


if __name__ == "__main__":
    main(sys.argv[1:])
