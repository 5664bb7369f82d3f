"""Saved predictions of anybody's model: read and checked, and written for others to answer.

    from dghin.evaluation.predictions import read_predictions
    found = read_predictions(Path("predictions"), {"val": split})["val"]
    found.answer(0)

Needs no torch.
"""

from .predictions import Predictions
from .read import read_predictions

__all__ = ["Predictions", "read_predictions"]
