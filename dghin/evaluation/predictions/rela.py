"""ReLA's detailed results: scores without masks.

`ReferEvaluator.evaluate` in gres_model/evaluation/refer_evaluation.py of henghuiding/ReLA makes a
list of one object an expression, which it writes as <dataset>_detailed_results.json:

    {"source": "grefcoco", "img_id": 98304, "gt_nt": false, "pred_nt": false, "sent": "two men",
     "sent_info": {"raw": "two men", "sent_id": 3, "ref_id": 1}, "I": 812, "U": 1024, "cIoU": 0.79}

I and U are the pixels of intersection and union at the photo's size, with the mask that was
enlarged before its classes were compared, as the protocol `resized` does. Where `pred_nt` (the
model says that nothing is meant) ReLA has set I to 0 already.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.values import MAX_PIXELS, shown, whole
from dghin.evaluation.answers import Counts


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """An answer of which only its score is known."""

    file: Path
    where: str
    counts: Counts
    form: str = "counts"
    shape: None = None

    @property
    def no_target(self) -> bool | None:
        return self.counts.no_target

    def load(self) -> Counts:
        return self.counts


def is_detailed_result(entry: dict[str, Any]) -> bool:
    return "I" in entry and "U" in entry


def read_counts(
    entry: dict[str, Any], no_target: bool | None, file: Path, where: str
) -> StoredCounts:
    """The score of an entry, checked."""
    intersection, union = (whole(entry[key], 0, MAX_PIXELS) for key in ("I", "U"))
    if intersection is None or union is None or intersection > union:
        raise UserError(
            f"{where}: I {shown(entry['I'])} and U {shown(entry['U'])} are no pixels of an "
            "intersection and its union. Write ReLA's detailed results again."
        )
    return StoredCounts(file, where, Counts(intersection, union, "resized", no_target))
