"""A small data set of one's own: a photo, a table, a COCO file of one square."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

SQUARE = [5, 5, 20, 5, 20, 20, 5, 20]
HEAD = "image,annotation,expression,split"


def write_own(
    root: Path,
    annotation: dict[str, Any] | None = None,
    table: str = "a.jpg,11,the red thing,train",
    **content: Any,
) -> Path:
    """A photo, a table of a line, and a COCO file of one square, changed as asked for."""
    Image.new("RGB", (40, 30)).save(root / "a.jpg")
    square = {"id": 11, "image_id": 1, "category_id": 1, "bbox": [5, 5, 15, 15],
              "segmentation": [SQUARE]}  # fmt: skip
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 30, "width": 40}],
        "annotations": [square | (annotation or {})],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (root / "coco.json").write_text(json.dumps(coco | content))
    (root / "table.csv").write_text(table if "\n" in table else f"{HEAD}\n{table}\n")
    return root
