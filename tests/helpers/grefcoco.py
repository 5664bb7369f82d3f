"""A small gRefCOCO tree: one object, two, crowds beside one, none."""

import json
from pathlib import Path
from typing import Any

from helpers.raw_trees import write_refer


def write_grefcoco(root: Path, change: Any = None) -> Path:
    """The trees' REFER images and objects under grefcoco/, with refs that mean several or none."""
    write_refer(root, "grefcoco")
    (root / "grefcoco" / "refs(unc).p").unlink()
    path = root / "grefcoco" / "instances.json"
    instances = json.loads(path.read_text())
    crowd = {**instances["annotations"][0], "id": 104, "iscrowd": 1}
    instances["annotations"].append(crowd)
    path.write_text(json.dumps(instances))
    refs = [
        ref(1, [100], 1, "train", "left man", "the man on the left"),
        ref(2, [100, 101], 1, "train", "both men"),
        ref(3, [100, 104], 1, "train", "the man and the crowd"),
        ref(4, [-1], 2, "val", "the elephant"),
        ref(5, [102], 2, "val", "dog"),
        ref(6, 103, 3, "testA", "woman"),  # some releases give a number
    ]
    if change is not None:
        change(refs)
    (root / "grefcoco" / "grefs(unc).json").write_text(json.dumps(refs))
    return root


def ref(number: int, objects: Any, image: int, split: str, *texts: str) -> dict[str, Any]:
    sentences = [{"sent_id": 10 * number + i, "sent": text} for i, text in enumerate(texts)]
    return {"ref_id": number, "ann_id": objects, "image_id": image, "split": split,
            "category_id": [1], "no_target": objects == [-1], "sentences": sentences}  # fmt: skip
