"""What an expression of the embedded data set says of the annotated objects around its referent.

    meanings(seed=0, number=7, split="val")[71, "the second star from the left"]
    # Meaning(fits=(73, 71, 75), rank=2, anchor=None)

The scene is made again from its seed and number, and its expressions with it. So nothing is read
out of words or pixels, and what was drawn by other code is not found.
"""

from dataclasses import dataclass

from .dataset import scene_with_phrases
from .phrases import Description, Filter, along
from .raw_files import annotation_id
from .scene import Scene


@dataclass(frozen=True)
class Meaning:
    """Annotation ids. fits: the objects that its name fits ("star", "small one"), whatever it says
    of place, rank or relation; those of an ordinal in the order in which it counts them.

    rank: which of them an ordinal means, from 1; 0: it is no ordinal. anchor: the object that a
    relation names ("the star left of the ring": the ring).
    """

    fits: tuple[int, ...]
    rank: int = 0
    anchor: int | None = None


def meanings(seed: int, number: int, split: str) -> dict[tuple[int, str], Meaning]:
    """(annotation id of the referent, expression) → what it says, of all expressions of an image.

    seed: of the data set; number: of the image, from 1.
    """
    scene, phrases = scene_with_phrases(seed, number, split)
    return {
        (annotation_id(scene, thing), phrase.text): _meaning(scene, phrase.said)
        for thing, said in zip(scene.things, phrases, strict=True)
        for phrase in said
    }


def _meaning(scene: Scene, said: Description) -> Meaning:
    fits = _passing(scene, said.filter)
    if said.rank:
        fits = list(along(scene, sum(1 << index for index in fits), said.how))
    ids = [annotation_id(scene, thing) for thing in scene.things]
    anchor = None if said.anchor is None else ids[_passing(scene, said.anchor)[0]]
    return Meaning(tuple(ids[index] for index in fits), said.rank, anchor)


def _passing(scene: Scene, one: Filter) -> list[int]:
    """The things that pass a filter, by their position in the scene."""
    return [index for index, thing in enumerate(scene.things) if one.holds(thing)]
