"""What a model is asked under a control, for people who have only files to hand over.

    items = [request("shuffled", "val", expression, sentence="words of another photo")]
    write_requests(Path("requests.jsonl"), items)

The model of others answers every line for its `image` and `sentence`, and hands the line back with
its mask as `size` and `counts`: `read_predictions(path, splits, control="shuffled")`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dghin.data.split import Expression

from .write import names, write_answers


def request(
    control: str,
    split: str,
    expression: Expression,
    sentence: str | None = None,
    image: str | None = None,
) -> dict[str, Any]:
    """A line of requests; sentence and image: those to ask with, where the control changes them."""
    changed = {"sentence": sentence, "image": image}
    changed = {key: value for key, value in changed.items() if value is not None}
    return {"control": control, "split": split} | names(expression) | changed


def write_requests(path: Path, items: Iterable[Mapping[str, Any]]) -> None:
    """Write requests as JSONL, the whole file or nothing."""
    write_answers(path, items)
