"""Drawing the scenes of the embedded data set: grounds, things, and the masks of their geometry."""

import numpy as np
from PIL import Image, ImageDraw

from .scene import COLOURS, Scene, Thing, hole, outline

_FINE = 8  # a pixel is drawn as 8 x 8: soft edges, and Pillow fills half a fine pixel too much


def coverage(thing: Thing, width: int, height: int) -> np.ndarray:
    """How much of each pixel the thing covers, (H, W) float32 in 0..1."""
    part = rows, columns = _around(thing, width, height)
    extent = (columns.stop - columns.start) * _FINE, (rows.stop - rows.start) * _FINE
    tile = Image.new("L", extent)
    draw = ImageDraw.Draw(tile)

    def fill(piece: np.ndarray, value: int) -> None:
        # Pillow's coordinates are pixel centres, ours are pixel corners
        points = (piece - (columns.start, rows.start)) * _FINE - 0.5
        draw.polygon([*map(tuple, points)], fill=value)

    for piece in outline(thing):
        fill(piece, 255)
    inner = hole(thing)
    if inner is not None:
        fill(inner, 0)
    full = np.zeros((height, width), np.float32)
    full[part] = np.asarray(tile.reduce(_FINE), np.float32) / 255
    return full


def _around(thing: Thing, width: int, height: int) -> tuple[slice, slice]:
    """The rows and the columns that hold the thing, with a little room."""
    reach = int(thing.radius * 1.2) + 2
    rows = slice(max(0, int(thing.y) - reach), min(height, int(thing.y) + reach + 1))
    return rows, slice(max(0, int(thing.x) - reach), min(width, int(thing.x) + reach + 1))


def visible(scene: Scene) -> list[np.ndarray]:
    """For each thing, how much of each pixel shows it: what lies in front is taken away."""
    free = np.ones((scene.height, scene.width), np.float32)
    shown = []
    for thing in reversed(scene.things):
        cover = coverage(thing, scene.width, scene.height)
        shown.append(cover * free)
        free = free * (1 - cover)
    return shown[::-1]


def paint(scene: Scene, shown: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """The picture, (H, W, 3) uint8."""
    ground = _ground(scene.width, scene.height, random)
    picture = ground * (1 - sum(shown))[..., None]
    for thing, share in zip(scene.things, shown, strict=True):
        colour = np.array(COLOURS[thing.colour]) + random.uniform(-9, 9, 3)
        angle = random.uniform(0, 2 * np.pi)
        part = _around(thing, scene.width, scene.height)
        y, x = np.mgrid[part].astype(np.float32)
        slope = (x - thing.x) * np.cos(angle) + (y - thing.y) * np.sin(angle)
        light = 1 + random.uniform(0.04, 0.13) * np.clip(slope / thing.radius, -1, 1)
        picture[part] += (share[part] * light)[..., None] * colour
    noise = random.standard_normal(picture.shape[:2], np.float32) * random.uniform(2, 6)
    return np.clip(np.rint(picture + noise[..., None]), 0, 255).astype(np.uint8)


def _ground(width: int, height: int, random: np.random.Generator) -> np.ndarray:
    """A muted texture, (H, W, 3) float32: blotches, stripes, a gradient or a checkerboard."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = random.uniform(0, np.pi), random.uniform(9, 30)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    kind = int(random.integers(4))
    if kind == 0:
        coarse = random.random((int(random.integers(3, 12)), int(random.integers(3, 12))))
        blotches = Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.BICUBIC)
        share = np.clip(np.asarray(blotches), 0, 1)
    elif kind == 1:
        share = 0.5 + 0.5 * np.clip(3 * np.sin(2 * np.pi * along / period), -1, 1)
    elif kind == 2:
        share = (along - along.min()) / (along.max() - along.min())
    else:
        share = (np.floor(along / period) + np.floor(across / period)) % 2
    one = _muted(random)
    other = np.clip(one + random.uniform(-38, 38) + random.uniform(-10, 10, 3), 80, 185)
    share = share[..., None].astype(np.float32)
    return one * share + other.astype(np.float32) * (1 - share)


def _muted(random: np.random.Generator) -> np.ndarray:
    """A greyish colour of middle lightness, which no thing has."""
    grey, tint = random.uniform(105, 160), random.uniform(-16, 16, 3)
    return (grey + tint - tint.mean()).astype(np.float32)
