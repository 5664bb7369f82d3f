"""A second reading of the embedded data set's expressions, written apart from what wrote them.

It takes an expression as text and the things as they are found in the files (mask, pixels,
category), and says which things the expression can mean. Limits are plain ("left": the left 45 %).
"""

import math
import re
from dataclasses import dataclass

NOUNS = {
    "circle": "circle", "disc": "circle", "square": "square", "box": "square",
    "triangle": "triangle", "star": "star", "cross": "cross", "plus": "cross", "ring": "ring",
    "hoop": "ring", "heart": "heart",
}  # fmt: skip
COLOURS = {
    "red": (212, 28, 34), "orange": (247, 132, 16), "yellow": (250, 226, 36),
    "green": (24, 150, 52), "blue": (28, 78, 214), "purple": (140, 40, 170),
    "white": (246, 246, 244), "black": (22, 22, 24),
}  # fmt: skip
SIZES = dict.fromkeys(("small", "little", "tiny"), "small") | dict.fromkeys(
    ("large", "big", "huge"), "large"
)
UNIT_AREAS = {"circle": 3.14, "square": 2.82, "triangle": 1.8, "star": 1.77, "cross": 2.26,
              "ring": 2.29, "heart": 2.2}  # fmt: skip
RANKS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4}
EXTREMES = {
    "far left": "left", "leftmost": "left", "furthest left": "left",
    "farthest to the left": "left", "far right": "right", "rightmost": "right",
    "furthest right": "right", "farthest to the right": "right", "topmost": "top",
    "highest": "top", "closest to the top": "top", "lowest": "bottom", "bottommost": "bottom",
    "closest to the bottom": "bottom", "largest": "large", "biggest": "large",
    "smallest": "small", "tiniest": "small",
}  # fmt: skip
RELATIONS = {
    "left of": "left", "right of": "right", "above": "top", "higher than": "top",
    "further up than": "top", "below": "bottom", "under": "bottom", "beneath": "bottom",
    "lower than": "bottom", "next to": "near", "beside": "near", "close to": "near", "by": "near",
}  # fmt: skip
PLACES = {"left": "left", "right": "right", "top": "top", "upper": "top", "bottom": "bottom",
          "lower": "bottom", "middle": "middle", "center": "middle"}  # fmt: skip
FILLERS = set(
    "the that is which only one shape thing object in on at to side corner part picture image "
    "this please up down from".split()
)


@dataclass(frozen=True)
class Found:
    """A thing as the files show it; centre as a share of the image, the rest in pixels."""

    shape: str
    colour: str
    radius: float
    large: bool
    x: float
    y: float
    width: int
    height: int

    def side(self, name: str) -> float:
        """The distance from a side of the image, as a share of the image."""
        return {"left": self.x, "right": 1 - self.x, "top": self.y, "bottom": 1 - self.y}[name]

    def gap(self, other: "Found") -> float:
        across, down = (self.x - other.x) * self.width, (self.y - other.y) * self.height
        return math.hypot(across, down) - self.radius - other.radius


def meant(text: str, things: list[Found]) -> list[int]:
    """The things that the expression is true of."""
    text = text.lower().rstrip(".")
    for phrase, relation in RELATIONS.items():
        before, separator, after = f" {text} ".partition(f" {phrase} ")
        if separator and not after.startswith("the picture"):
            anchors = passing(after, things)
            assert len(anchors) == 1, f"'{after}' names {len(anchors)} things"
            return related(passing(strip_side(before), things), relation, anchors[0], things)
    if match := re.search(rf"\b({'|'.join(RANKS)})\b.*?from (?:the )?(\w+)", text):
        rank, side = RANKS[match[1]], match[2]
        members = passing(text.replace(f"from the {side}", "").replace(f"from {side}", "")
                          .replace(match[1], ""), things)  # fmt: skip
        return [sorted(members, key=lambda index: things[index].side(side))[rank - 1]]
    for phrase, how in EXTREMES.items():
        if re.search(rf"\b{phrase}\b", text):
            members = passing(re.sub(rf"\b{phrase}\b", "", text), things)
            if how in ("large", "small"):
                sign = -1 if how == "large" else 1
                return [min(members, key=lambda index: sign * things[index].radius)]
            return [min(members, key=lambda index: things[index].side(how))]
    places = [PLACES[word] for word in text.split() if word in PLACES]
    members = passing(" ".join(word for word in text.split() if word not in PLACES), things)
    return [index for index in members if all(lies(things[index], place) for place in places)]


def strip_side(text: str) -> str:
    """Without the "to the" of "to the left of"."""
    return re.sub(r"\b(to|on) the\s*$", "", text)


def lies(thing: Found, place: str) -> bool:
    if place == "middle":
        return max(abs(thing.x - 0.5), abs(thing.y - 0.5)) < 0.19
    return thing.side(place) < 0.45


def related(members: list[int], relation: str, anchor: int, things: list[Found]) -> list[int]:
    rest = [index for index in members if index != anchor]
    if relation == "near":
        return [min(rest, key=lambda index: things[index].gap(things[anchor]))]
    fixed = things[anchor].side(relation)
    return [index for index in rest if things[index].side(relation) < fixed - 0.04]


def passing(text: str, things: list[Found]) -> list[int]:
    """The things with all attributes that the words name; an unknown word is an error."""
    members = list(range(len(things)))
    words = text.replace("violet", "purple").split()
    for before, word in zip(["", *words], words, strict=False):
        if word in NOUNS:
            members = [i for i in members if things[i].shape == NOUNS[word]]
        elif word in COLOURS:
            members = [i for i in members if (things[i].colour == word) == (before != "not")]
        elif word in SIZES:
            members = [i for i in members if things[i].large == (SIZES[word] == "large")]
        else:
            assert word in FILLERS | {"not"}, f"'{word}' in '{text}'"
    return members
