"""What evaluation asks for answers: one small interface over a model's way of being asked.

Outside(segmenter)      a model of others: photos and texts (protocol.Segmenter)
Saved(predictions)      answers that were given elsewhere: neither photos nor a model
network.Network(model)  DGHIN: resized images and prepared language features
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_json
from dghin.data.split import PreparedSplit, open_split
from dghin.run.config import Config

from .protocol import Segmenter

if TYPE_CHECKING:
    from dghin.evaluation.controls import Altered


class Answerer(Protocol):
    """Answers for `dghin.evaluation.evaluate`.

    reads_photos: whether `load` has anything to read. reads_features: whether it reads language
    features, so that changed sentences must be encoded again; else it reads texts. digest: of what
    decides its answers, None where that is not known, so that nothing can be kept over an
    interruption.
    """

    reads_photos: bool
    reads_features: bool
    digest: str | None

    def open(self, config: Config, split: str) -> PreparedSplit:
        """A split of prepared data, as `load` needs it."""

    def load(self, dataset: PreparedSplit, name: str) -> Any:
        """What is read of a photo, in a worker process."""

    def look(self, loaded: Any) -> Any:
        """What is made of it once, for all expressions and controls."""

    def origin(self) -> dict[str, Any]:
        """What the rows should say of where the answers come from."""

    def answer(
        self, seen: Any, inputs: "Altered", chosen: np.ndarray, control: str
    ) -> Sequence[Any]:
        """An answer for each of the chosen expressions (positions in the split)."""


class Outside:
    """A model of others: it sees the photo as it is, and reads texts."""

    reads_photos = True
    reads_features = False

    def __init__(self, segmenter: Segmenter, name: str = "", options: Mapping[str, Any] = {}):
        """name, options: what it was asked for by; both are part of what decides its answers."""
        self.segmenter, self.name = segmenter, name or type(segmenter).__name__
        own = getattr(segmenter, "digest", None)
        self.digest = sha256_json([own, dict(options)]) if own else None

    def open(self, config: Config, split: str) -> PreparedSplit:
        return open_split(config, split, checked=False)

    def load(self, dataset: PreparedSplit, name: str) -> Any:
        return dataset.photo(name)

    def look(self, loaded: Any) -> Any:
        return self.segmenter.look(loaded)

    def origin(self) -> dict[str, Any]:
        return {"answered by": self.name}

    def answer(
        self, seen: Any, inputs: "Altered", chosen: np.ndarray, control: str
    ) -> Sequence[Any]:
        texts = [inputs.sentences[index] for index in chosen]
        unique = list(dict.fromkeys(texts))  # those that read the same are answered once
        found = self.segmenter.answer(seen, unique)
        found = list(found) if hasattr(found, "__iter__") else found
        if not isinstance(found, list) or len(found) != len(unique):
            count = len(found) if isinstance(found, list) else "no list of"
            raise UserError(
                f"{self.name}: answer returned {count} answers for {len(unique)} expressions "
                f"({type(found).__name__}). Return a list, one for each, in their order."
            )
        by_text = dict(zip(unique, found, strict=True))
        return [by_text[text] for text in texts]


class Saved:
    """Answers from files (dghin.evaluation.predictions), by control and split."""

    reads_photos = False
    reads_features = False
    digest = None  # they are read faster than kept

    def __init__(self, predictions: Mapping[str, Mapping[str, Any]]):
        self.predictions = predictions

    def open(self, config: Config, split: str) -> PreparedSplit:
        return open_split(config, split, checked=False)

    def load(self, dataset: PreparedSplit, name: str) -> str:
        return dataset.split

    def look(self, loaded: str) -> str:
        return loaded

    def origin(self) -> dict[str, Any]:
        """The SHA-256 of the files, and how many answers were missing, by control and split."""
        return {
            "answered by": "saved predictions",
            "predictions": {
                f"{control}/{split}".strip("/"): {
                    "sha256": found.sha256, "path": str(found.path), "missing": len(found.missing),
                }
                for control, splits in self.predictions.items()
                for split, found in splits.items()
            }
        }  # fmt: skip

    def answer(
        self, seen: str, inputs: "Altered", chosen: np.ndarray, control: str
    ) -> Sequence[Any]:
        found = self.predictions[control][seen]
        answers = {int(index): found.answer(int(index)) for index in chosen}
        return [found.nothing(index) if one is None else one for index, one in answers.items()]
