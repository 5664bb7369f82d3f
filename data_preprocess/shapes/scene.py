"""Scenes of the embedded data set: which things there are, where they lie, their outlines.

A scene depends on the seed and its number only, so it is the same whatever the size of the set.
Outlines are convex pieces in pixel units (x right, y down, pixel i covers [i, i + 1)); pieces
may overlap, as the polygons of a COCO object may.
"""

import math
from dataclasses import dataclass

import numpy as np

COLOURS = {
    "red": (212, 28, 34),
    "orange": (247, 132, 16),
    "yellow": (250, 226, 36),
    "green": (24, 150, 52),
    "blue": (28, 78, 214),
    "purple": (140, 40, 170),
    "white": (246, 246, 244),
    "black": (22, 22, 24),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart")
CONVEX = ("circle", "square", "triangle")
SIZES = {"small": (0.100, 0.118), "large": (0.178, 0.208)}  # radius / short side of the image
COUNTS = {"train": (3, 7), "val": (3, 7), "testA": (3, 5), "testB": (5, 7)}
_TURN = {"square": 14, "triangle": 18, "star": 36, "cross": 16, "heart": 14}  # degrees, each way
_HOLE = 0.52  # inner / outer radius of a ring


@dataclass(frozen=True)
class Thing:
    """One object. Centre and radius in pixels, turn in radians; `number` counts from 1."""

    number: int
    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    turn: float


@dataclass(frozen=True)
class Scene:
    """One image: its number (from 1), split, size in pixels, and its things, back to front."""

    number: int
    split: str
    width: int
    height: int
    things: tuple[Thing, ...]


def generator(seed: int, number: int, purpose: int) -> np.random.Generator:
    """The random numbers of one image for one purpose, independent of all others."""
    return np.random.Generator(np.random.PCG64([seed, number, purpose]))


def make_scene(seed: int, number: int, split: str, attempt: int = 0) -> Scene:
    """Scene `number`; a later attempt gives another in its place.

    It has few shapes and colours, so that things share them and every word matters.
    """
    random = generator(seed, number, 10 + attempt)
    low, high = COUNTS[split]
    count = int(random.integers(low, high + 1))
    while True:
        width, height = int(random.integers(200, 281)), int(random.integers(160, 241))
        things = _things(random, count, width, height)
        if things is not None:
            return Scene(number, split, width, height, things)


def _things(
    random: np.random.Generator, count: int, width: int, height: int
) -> tuple[Thing, ...] | None:
    """Things with places, or None if they found none."""
    shapes = random.choice(SHAPES, size=int(random.integers(2, 4)), replace=False)
    colours = random.choice(list(COLOURS), size=int(random.integers(2, 4)), replace=False)
    large = random.random(count) < (0.5 if count < 6 else 0.35)
    placed: list[Thing] = []
    for number in range(1, count + 1):
        shape, size = str(random.choice(shapes)), ("small", "large")[int(large[number - 1])]
        radius = float(random.uniform(*SIZES[size])) * min(width, height)
        turn = math.radians(random.uniform(-1, 1) * _TURN.get(shape, 0))
        colour = str(random.choice(colours))
        partner = None
        if number == count and shape in CONVEX and random.random() < 0.45:
            others = [thing for thing in placed if thing.colour != colour]
            partner = others[int(random.integers(len(others)))] if others else None
        place = _place(random, placed, radius, width, height, partner)
        if place is None:
            return None
        placed.append(Thing(number, shape, colour, size, *place, radius, turn))
    return tuple(placed)


def _place(
    random: np.random.Generator,
    placed: list[Thing],
    radius: float,
    width: int,
    height: int,
    partner: Thing | None,
) -> tuple[float, float] | None:
    """A free place; with a partner one that hides a small part of it."""
    edge = radius + 2
    for _ in range(40):
        if partner is None:
            x, y = random.uniform(edge, width - edge), random.uniform(edge, height - edge)
        else:
            angle = random.uniform(0, 2 * math.pi)
            reach = partner.radius + radius
            reach -= random.uniform(0.4, 0.65) * min(partner.radius, radius)
            x, y = partner.x + reach * math.cos(angle), partner.y + reach * math.sin(angle)
        inside = edge <= x <= width - edge and edge <= y <= height - edge
        others = (thing for thing in placed if thing is not partner)
        if inside and all(
            math.hypot(x - thing.x, y - thing.y) > radius + thing.radius + 5 for thing in others
        ):
            return float(x), float(y)
    return None


def outline(thing: Thing) -> list[np.ndarray]:
    """The convex pieces (N, 2) whose union is the thing (a ring's: without its hole)."""
    unit = {
        "circle": _circle, "ring": _circle, "square": _square, "triangle": _triangle,
        "star": _star, "cross": _cross, "heart": _heart,
    }[thing.shape]()  # fmt: skip
    return [_moved(piece, thing) for piece in unit]


def hole(thing: Thing) -> np.ndarray | None:
    """The hole of a ring (N, 2); None for all other shapes."""
    return _moved(_circle()[0] * _HOLE, thing) if thing.shape == "ring" else None


def clip_outside(piece: np.ndarray, cover: np.ndarray) -> list[np.ndarray]:
    """Convex pieces, overlapping, whose union is `piece` without the convex `cover`.

    One for each edge of the cover: the part of the piece beyond that edge.
    """
    signed = np.roll(cover, -1, axis=0)
    area = np.sum(cover[:, 0] * signed[:, 1] - cover[:, 1] * signed[:, 0])
    cover = cover if area > 0 else cover[::-1]
    parts = (
        _beyond(piece, start, end)
        for start, end in zip(cover, np.roll(cover, -1, axis=0), strict=True)
    )
    return [part for part in parts if len(part) >= 3]


def _beyond(piece: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The part of a convex piece on the outer side of the line (Sutherland and Hodgman)."""
    normal = np.array([end[1] - start[1], start[0] - end[0]])
    heights = (piece - start)[:, 0] * normal[0] + (piece - start)[:, 1] * normal[1]
    points = []
    for index, height in enumerate(heights):
        before = heights[index - 1]
        if (height > 0) != (before > 0):
            share = before / (before - height)
            points.append(piece[index - 1] + share * (piece[index] - piece[index - 1]))
        if height > 0:
            points.append(piece[index])
    return np.array(points)


def _moved(piece: np.ndarray, thing: Thing) -> np.ndarray:
    cosine, sine = math.cos(thing.turn), math.sin(thing.turn)
    x, y = piece[:, 0], piece[:, 1]  # no matrix product: its rounding depends on the machine
    turned = np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=1)
    return turned * thing.radius + (thing.x, thing.y)


def _ray(degrees: np.ndarray | float, length: float = 1.0) -> np.ndarray:
    """Points at these angles, clockwise from the top."""
    radians = np.radians(degrees)
    return length * np.stack([np.sin(radians), -np.cos(radians)], axis=-1)


def _circle(count: int = 48) -> list[np.ndarray]:
    return [_ray(np.arange(count) * 360 / count)]


def _square() -> list[np.ndarray]:
    return [np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.84]


def _triangle() -> list[np.ndarray]:
    return [np.array([(0, -1.0), (1.0, 0.8), (-1.0, 0.8)])]


def _star() -> list[np.ndarray]:
    """Five kites, each from a tip through two notches to the notch opposite."""
    tips, notch = np.arange(5) * 72, 0.48
    return [
        1.12 * np.stack([_ray(tip), _ray(tip + 36, notch), _ray(tip + 180, notch),
                         _ray(tip - 36, notch)])
        for tip in tips
    ]  # fmt: skip


def _cross() -> list[np.ndarray]:
    bar = np.array([(-1, -0.34), (1, -0.34), (1, 0.34), (-1, 0.34)])
    return [bar, bar[:, ::-1]]


def _heart() -> list[np.ndarray]:
    """Two discs and the convex wedge below them."""
    lobe = _circle(32)[0] * 0.52
    wedge = np.array([(-0.94, -0.13), (-0.45, -0.35), (0.45, -0.35), (0.94, -0.13), (0, 0.98)])
    return [lobe + (-0.47, -0.38), lobe + (0.47, -0.38), wedge]
