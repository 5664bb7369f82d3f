"""Expressions of the embedded data set: what can be said of a scene that is true of one thing only.

A description is found first (kind, filter, place, rank, anchor), as sets of things: those of which
it is clearly true, and those of which someone might call it true. It is used only if both hold
the same single thing. Then it is put into words. Sets are bit masks: thing i is bit 1 << i.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from data_preprocess.raw.records import KINDS

from .scene import Scene, Thing

# the chances of a kind among those possible for a thing; attributes alone are often not enough
_CHANCES = dict(zip(KINDS, (0.63, 0.235, 0.165, 0.06, 0.085), strict=True))
PLACES = ("left", "right", "top", "bottom", "middle",
          "top left", "top right", "bottom left", "bottom right")  # fmt: skip
SIDES = {"left": (0, 1), "right": (0, -1), "top": (1, 1), "bottom": (1, -1)}  # axis, direction
SUPERLATIVES = ("largest", "smallest", *SIDES)
_DIRECTIONS = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
RELATIONS = (*_DIRECTIONS, "next to")


@dataclass(frozen=True)
class Filter:
    """Attributes; None leaves one open. `negated`: of any colour but this one."""

    shape: str | None = None
    colour: str | None = None
    size: str | None = None
    negated: bool = False

    def holds(self, thing: Thing) -> bool:
        return (
            self.shape in (None, thing.shape)
            and (self.colour is None or (self.colour == thing.colour) != self.negated)
            and self.size in (None, thing.size)
        )

    @property
    def words(self) -> int:
        return sum(part is not None for part in (self.shape, self.colour, self.size))


@dataclass(frozen=True)
class Description:
    """A predicate: the filter, and by kind a place, relation, side or superlative on top."""

    kind: str
    filter: Filter
    how: str = ""
    rank: int = 0
    anchor: Filter | None = None


def _bits(things: tuple[Thing, ...], test: Callable[[Thing], bool]) -> int:
    return sum(1 << index for index, thing in enumerate(things) if test(thing))


def _words(one: Filter) -> int:
    return one.words


def _single(bits: int) -> bool:
    return bits > 0 and bits & (bits - 1) == 0


def filters(scene: Scene) -> dict[Filter, int]:
    """Every filter that some thing passes, with the set of things that pass it."""
    found: dict[Filter, int] = {}
    for thing in scene.things:
        for shape, colour, size in itertools.product((thing.shape, None), (thing.colour, None),
                                                     (thing.size, None)):  # fmt: skip
            found.setdefault(Filter(shape, colour, size), 0)
    for shape, colour in itertools.product(
        sorted({thing.shape for thing in scene.things}),
        sorted({thing.colour for thing in scene.things}),
    ):
        found.setdefault(Filter(shape, colour, None, negated=True), 0)
    return {one: _bits(scene.things, one.holds) for one in found}


def place_sets(scene: Scene, place: str) -> tuple[int, int]:
    """The things clearly at a place of the picture, and those that might be said to be there."""

    def near(thing: Thing, limit: float, centre: float) -> bool:
        x, y = thing.x / scene.width, thing.y / scene.height
        side = {"left": x, "right": 1 - x, "top": y, "bottom": 1 - y}
        if place == "middle":
            return max(abs(x - 0.5), abs(y - 0.5)) < centre
        return all(side[word] < limit for word in place.split())

    return (
        _bits(scene.things, lambda thing: near(thing, 0.37, 0.13)),
        _bits(scene.things, lambda thing: near(thing, 0.53, 0.24)),
    )


def along(scene: Scene, members: int, side: str) -> dict[int, float]:
    """Where every member's centre is on the way from a side, nearest first: index → place.

    In shares of the picture; from the right and the bottom they are negative, so that only their
    differences mean something.
    """
    axis, direction = SIDES[side]
    extent = (scene.width, scene.height)[axis]
    found = {
        index: direction * (thing.x, thing.y)[axis] / extent
        for index, thing in enumerate(scene.things)
        if members >> index & 1
    }
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def rank_sets(scene: Scene, members: int, side: str, rank: int) -> tuple[int, int]:
    """The member that is number `rank` from a side, and those too close to it to tell."""
    places = along(scene, members, side)
    order = list(places)
    if not 0 < rank <= len(order):
        return 0, 0
    chosen = order[rank - 1]
    close = sum(1 << index for index in order if abs(places[index] - places[chosen]) < 0.075)
    return 1 << chosen, close


def superlative_sets(scene: Scene, members: int, how: str) -> tuple[int, int]:
    """The extreme member by size or side, and those too close to it to tell."""
    if how in SIDES:
        return rank_sets(scene, members, how, 1)
    sign = 1 if how == "largest" else -1
    size = {
        index: sign * math.log(thing.radius)
        for index, thing in enumerate(scene.things)
        if members >> index & 1
    }
    chosen = max(size, key=size.__getitem__)
    close = sum(1 << index for index in size if size[index] > size[chosen] - math.log(1.3))
    return 1 << chosen, close


def relation_sets(scene: Scene, relation: str, anchor: int) -> tuple[int, int]:
    """The things that clearly stand so to thing `anchor`, and those that might be said to."""
    fixed = scene.things[anchor]
    rest = {i: thing for i, thing in enumerate(scene.things) if i != anchor}
    clear = loose = 0
    if relation == "next to":
        reach = 0.16 * min(scene.width, scene.height)
        for i, thing in rest.items():
            gap = math.hypot(thing.x - fixed.x, thing.y - fixed.y) - thing.radius - fixed.radius
            clear |= (gap < reach) << i
            loose |= (gap < 2.2 * reach) << i
        return clear, loose
    axis, direction = _DIRECTIONS[relation]
    extent = (scene.width, scene.height)[axis]
    for i, thing in rest.items():
        steps = (thing.x - fixed.x, thing.y - fixed.y)
        ahead, aside = steps[axis] * direction, abs(steps[1 - axis])
        clear |= (ahead > 0.13 * extent and aside < 1.1 * ahead) << i
        loose |= (ahead > -0.02 * extent) << i
    return clear, loose


def descriptions(scene: Scene) -> dict[int, dict[str, list[Description]]]:
    """For each thing (index) and kind, the descriptions that are true of it alone.

    Words that do nothing are left out: a place, rank or relation is said of a filter that passes
    more than one thing.
    """
    found: dict[int, dict[str, list[Description]]] = {i: {} for i in range(len(scene.things))}
    for said, clear, loose in _attempts(scene):
        if clear == loose and _single(clear):
            found[clear.bit_length() - 1].setdefault(said.kind, []).append(said)
    return found


def _attempts(scene: Scene) -> Iterator[tuple[Description, int, int]]:
    """Descriptions that may be worth saying, each with two sets of things: those of which it is
    clearly true, and those of which it might be."""
    known = filters(scene)
    single = {one: bits for one, bits in known.items() if _single(bits)}
    several = {one: bits for one, bits in known.items() if not (one.negated or one in single)}
    for one, bits in single.items():
        if one.words:
            yield Description("attribute", one), bits, bits
    places = {how: place_sets(scene, how) for how in PLACES}
    relations = _relations(scene, single)
    for one, bits in several.items():
        for how, (clear, loose) in places.items():
            yield Description("place", one, how), clear & bits, loose & bits
        for how in SUPERLATIVES:
            yield Description("superlative", one, how), *superlative_sets(scene, bits, how)
        for how, rank in itertools.product(SIDES, range(1, min(4, bits.bit_count()) + 1)):
            yield Description("ordinal", one, how, rank), *rank_sets(scene, bits, how, rank)
        for (how, anchor), (clear, loose) in relations.items() if one.words else ():
            yield Description("relation", one, how, 0, anchor), clear & bits, loose & bits


def _relations(
    scene: Scene, single: dict[Filter, int]
) -> dict[tuple[str, Filter], tuple[int, int]]:
    """Relations to every thing that has a name of its own, by its shortest and longest name."""
    names: dict[int, list[Filter]] = {}
    for one, bits in single.items():
        if one.shape and not one.negated:
            names.setdefault(bits.bit_length() - 1, []).append(one)
    return {
        (how, name): sets
        for anchor, several in names.items()
        for how in RELATIONS
        for sets in [relation_sets(scene, how, anchor)]
        for name in (min(several, key=_words), max(several, key=_words))
    }


def choose(
    options: dict[str, list[Description]], random: np.random.Generator
) -> Description | None:
    """One description of a thing: the kind by chance, then one that says no more than it needs."""
    kinds = [kind for kind in KINDS if options.get(kind)]
    if not kinds:
        return None
    weights = np.array([_CHANCES[kind] for kind in kinds])
    kind = kinds[int(random.choice(len(kinds), p=weights / weights.sum()))]
    chances = np.array([_weight(said, options[kind]) for said in options[kind]])
    return options[kind][int(random.choice(len(chances), p=chances / chances.sum()))]


def _weight(said: Description, rivals: list[Description]) -> float:
    """How readily people would say it: few words more than it takes, few negations."""
    if said.filter.negated:
        return 0.1
    if said.kind == "attribute":
        spare = any(rival.filter.words < said.filter.words for rival in rivals)
        return 1.0 if spare else 2.5
    by_size = 5.0 if said.how in ("largest", "smallest") else 1.0  # rarely possible
    return by_size * (0.5, 1.0, 0.8, 0.4)[said.filter.words]
