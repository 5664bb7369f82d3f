"""Three answerers whose results are known: what the exam must say of them is no matter of opinion.

    perfect         marks the object of which the sentence is said in the photo that is shown; of
                    what is said of nothing there, it answers that nothing is meant
    deaf            marks all annotated objects of the photo, whatever the words
    deaf-to-place   as perfect, but hears neither places (left, top, below) nor small words (the,
                    of, on), and the first object of which the rest is said is its answer

    evaluate_run(folder, config, model=reference_answerer("deaf"), controls=EXAM)
    dghin exam run=deaf config=demo model=reference:deaf

They know a photo by its annotations, not by its pixels: the sentences that are said of its objects,
one by one and merged, and the true masks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data_preprocess.base.errors import unknown_name
from dghin.data.split import PreparedSplit, open_split
from dghin.run.config import Config

from .answers import Answer
from .controls.texts import merged_text, without_places

if TYPE_CHECKING:
    from .controls import Altered

PREFIX = "reference:"  # of a model's name in a command


@dataclass(frozen=True)
class Scene:
    """What is annotated in a photo.

    said: sentence → the number of its object, the first that it is said of. masks: of the objects,
    bool (H, W) each.
    """

    said: Mapping[str, int]
    masks: list[np.ndarray]


def scene_of(dataset: PreparedSplit, members: Sequence[int]) -> Scene:
    """The scene of a photo; members: its expressions (positions in the split)."""
    by_object: dict[str, list[int]] = {}
    for index in members:
        by_object.setdefault(dataset.expressions[index].segment_id, []).append(index)
    said: dict[str, int] = {}
    for number, group in enumerate(by_object.values()):
        for index in group:
            said.setdefault(dataset.expressions[index].sentence, number)
    for number, group in enumerate(by_object.values()):
        said.setdefault(merged_text([dataset.expressions[i].sentence for i in group]), number)
    return Scene(said, [dataset.truth(group[0]) for group in by_object.values()])


class Reference:
    """An Answerer that knows the annotations. hear: what it makes of a sentence; None: nothing."""

    reads_photos = True
    reads_features = False
    digest = None  # it answers faster than answers are kept

    def __init__(self, name: str, hear: Callable[[str], Any] | None):
        self.name, self.hear = name, hear
        self._members: dict[tuple[str, str], dict[str, list[int]]] = {}

    def open(self, config: Config, split: str) -> PreparedSplit:
        return open_split(config, split, checked=False)

    def load(self, dataset: PreparedSplit, name: str) -> Scene:
        """What is annotated in a photo of the split."""
        key = (dataset.dataset, dataset.split)
        if key not in self._members:
            images: dict[str, list[int]] = {}
            for index, expression in enumerate(dataset.expressions):
                images.setdefault(expression.image, []).append(index)
            self._members[key] = images
        return scene_of(dataset, self._members[key][name])

    def look(self, loaded: Scene) -> Scene:
        return loaded

    def origin(self) -> dict[str, Any]:
        return {"answered by": f"{PREFIX}{self.name}"}

    def answer(
        self, seen: Scene, inputs: "Altered", chosen: np.ndarray, control: str
    ) -> Sequence[Answer]:
        if self.hear is None:
            return [Answer(np.any(seen.masks, axis=0), "mask", False)] * len(chosen)
        known: dict[Any, int] = {}
        for sentence, number in seen.said.items():
            known.setdefault(self.hear(sentence), number)
        found = [known.get(self.hear(inputs.sentences[index])) for index in chosen]
        return [_marked(seen, number) for number in found]


def _marked(seen: Scene, number: int | None) -> Answer:
    """The mask of an object; without one, or where nothing is annotated, "nothing is meant"."""
    mask = np.zeros_like(seen.masks[0]) if number is None else seen.masks[number]
    return Answer(mask, "mask", not mask.any())


def _as_it_is(sentence: str) -> str:
    return sentence


HEARING: dict[str, Callable[[str], Any] | None] = {
    "perfect": _as_it_is,
    "deaf": None,
    "deaf-to-place": without_places,
}


def reference_answerer(name: str) -> Reference:
    """One of the three by name, with or without "reference:" before it."""
    name = name.removeprefix(PREFIX)
    if name not in HEARING:
        raise unknown_name("reference answerer", name, HEARING)
    return Reference(name, HEARING[name])


def is_reference(model: str) -> bool:
    """Whether a command's model= names one of them."""
    return model.startswith(PREFIX)
