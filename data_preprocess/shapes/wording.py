"""Descriptions of the embedded data set put into words, with varied wording."""

import numpy as np

from .phrases import Description, Filter

LONGEST = 12  # words
_NOUNS = {
    "circle": ("circle", "circle", "disc"),
    "square": ("square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "cross", "plus"),
    "ring": ("ring", "ring", "hoop"),
    "heart": ("heart",),
    None: ("one", "one", "shape", "thing", "object"),
}
_COLOURS = {"purple": ("purple", "purple", "violet")}
_SIZES = {"small": ("small", "small", "little", "tiny"), "large": ("large", "big", "big", "huge")}
_ORDINALS = (("first", "1st"), ("second", "2nd"), ("third", "3rd"), ("fourth", "4th"))
_PLACE_WORDS = {
    "top": ("top", "top", "upper"),
    "bottom": ("bottom", "bottom", "lower"),
    "left": ("left",),
    "right": ("right",),
    "middle": ("middle", "center"),
}
_SIDES = {
    "left": ("on the left", "on the left side", "at left", "to the left"),
    "right": ("on the right", "on the right side", "at right", "to the right"),
    "top": ("at the top", "at top", "in the upper part"),
    "bottom": ("at the bottom", "on the bottom", "in the lower part"),
    "middle": ("in the middle", "in the center", "in middle"),
}
_EXTREMES = {
    "largest": (("largest", "biggest"), ("that is the largest", "that is biggest")),
    "smallest": (("smallest", "tiniest"), ("that is the smallest", "that is smallest")),
    "left": (("leftmost", "far left"), ("furthest left", "farthest to the left")),
    "right": (("rightmost", "far right"), ("furthest right", "farthest to the right")),
    "top": (("topmost", "highest"), ("closest to the top", "highest up")),
    "bottom": (("lowest", "bottommost"), ("closest to the bottom", "lowest down")),
}
_RELATIONS = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "higher than", "further up than"),
    "below": ("below", "under", "beneath", "lower than"),
    "next to": ("next to", "beside", "close to", "by"),
}


def say(said: Description, random: np.random.Generator) -> str:
    """One wording of a description, lower case, 1 to 12 words."""
    wording = {
        "attribute": _attribute,
        "place": _place,
        "relation": _relation,
        "ordinal": _ordinal,
        "superlative": _superlative,
    }[said.kind]
    text = wording(said, random)
    while len(text.split()) > LONGEST:
        text = wording(said, random)
    if len(text.split()) < 9 and random.random() < 0.04:
        text += _pick(random, (" in the picture", " in this image", " please"))
    return text


def _pick(random: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(random.integers(len(words)))]


def _article(random: np.random.Generator, often: float = 0.4) -> str:
    return "the " if random.random() < often else ""


def _name(one: Filter, random: np.random.Generator, before: str = "", clause: bool = False) -> str:
    """Adjectives and noun; `before` goes first. `clause`: the colour may follow ("that is red")."""
    parts = [before] if before else []
    if one.size:
        parts.append(_pick(random, _SIZES[one.size]))
    after = ""
    if one.colour and (one.negated or (clause and one.words > 1 and random.random() < 0.15)):
        after = f" that is {'not ' if one.negated else ''}{one.colour}"
    elif one.colour:
        parts.append(_pick(random, _COLOURS.get(one.colour, (one.colour,))))
    return " ".join([*parts, _pick(random, _NOUNS[one.shape])]) + after


def _attribute(said: Description, random: np.random.Generator) -> str:
    name = _name(said.filter, random, clause=True)
    if random.random() < 0.06:
        return f"the only {name}"
    return _article(random, 0.45) + name


def _place(said: Description, random: np.random.Generator) -> str:
    words = [_pick(random, _PLACE_WORDS[word]) for word in said.how.split()]
    if said.filter.words == 0 and random.random() < 0.25:
        return " ".join(words)
    if random.random() < 0.5:
        return _article(random) + _name(said.filter, random, " ".join(words))
    if len(words) == 1:
        where = _pick(random, _SIDES[said.how])
    else:
        where = _pick(random, ("in the {} corner", "at {}", "on the {}", "{}"))
        where = where.format(" ".join(words))
    return f"{_article(random)}{_name(said.filter, random)} {where}"


def _relation(said: Description, random: np.random.Generator) -> str:
    relation = _pick(random, _RELATIONS[said.how])
    extra = _pick(random, ("that is ", "which is ")) if random.random() < 0.12 else ""
    name, anchor = _name(said.filter, random), _name(said.anchor or Filter(), random)
    return f"{_article(random)}{name} {extra}{relation} {_article(random, 0.8)}{anchor}"


def _ordinal(said: Description, random: np.random.Generator) -> str:
    rank = _pick(random, _ORDINALS[said.rank - 1])
    side = f"from {_article(random, 0.8)}{said.how}"
    if said.filter.words == 0 and random.random() < 0.2:
        return f"{rank} {side}"
    if random.random() < 0.15:
        return f"{_article(random)}{_name(said.filter, random)} {rank} {side}"
    return f"{_article(random)}{_name(said.filter, random, rank)} {side}"


def _superlative(said: Description, random: np.random.Generator) -> str:
    before, after = _EXTREMES[said.how]
    if said.filter.words == 0 and random.random() < 0.25:
        return _article(random) + _pick(random, before)
    if random.random() < 0.7:
        return _article(random, 0.5) + _name(said.filter, random, _pick(random, before))
    return f"{_article(random, 0.7)}{_name(said.filter, random)} {_pick(random, after)}"
