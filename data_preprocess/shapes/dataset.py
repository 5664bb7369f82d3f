"""The embedded data set: drawn scenes with referring expressions, in both raw layouts.

    dghin data shapes output=data/shapes

Under the root lie refcoco/ with images/train2014/ (the REFER layout) and referit/ with
images/referit/ (the ReferIt layout) of the same scenes. The same settings give the same bytes.
`shapes.json` is written last: with it, a set that is complete is not made again.
"""

import hashlib
import io
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json, sha256_file, sha256_json, write_json
from data_preprocess.base.progress import tqdm

from .draw import paint, visible
from .phrases import choose, descriptions
from .raw_files import (
    IMAGES,
    REFERIT_IMAGES,
    REFERIT_MASKS,
    Page,
    Phrase,
    annotations,
    count,
    mat_bytes,
    write_refer,
    write_referit,
)
from .scene import Scene, generator, make_scene
from .wording import say

log = logging.getLogger(__name__)

MARKER = "shapes.json"
_OURS = ("refcoco", "referit", IMAGES, "images/referit")
_MODULES = ("dataset", "scene", "draw", "raw_files", "phrases", "wording")


@dataclass(frozen=True)
class ShapesSettings:
    """Size and seed of the embedded data set; shares of the images by split (train: the rest)."""

    images: int = 2000
    seed: int = 0
    val: float = 0.08
    testA: float = 0.07
    testB: float = 0.07


def write_shapes(root: Path, settings: ShapesSettings) -> dict[str, Any]:
    """Write the data set under `root` unless it is there already; returns what shapes.json says."""
    root = Path(root)
    splits = split_sequence(settings)
    wanted = _identity(settings)
    if (found := _complete(root, wanted)) is not None:
        log.info("%s: the embedded data set is there already", root)
        return found
    _clear(root, wanted)
    for folder in (IMAGES, REFERIT_IMAGES, REFERIT_MASKS):
        (root / folder).mkdir(parents=True)
    digest = hashlib.sha256()
    pages, files, size = [], 0, 0
    for number, split in enumerate(tqdm(splits, "Drawing scenes", unit="image"), 1):
        page, contents = make_page(settings.seed, number, split)
        for name, content in contents.items():
            (root / name).write_bytes(content)  # no table names it yet, should this be cut off
            digest.update(name.encode() + hashlib.sha256(content).digest())
            files, size = files + 1, size + len(content)
        pages.append(page)
    write_refer(root, pages)
    write_referit(root, pages)
    for path in _tables(root):
        digest.update(path.name.encode() + sha256_file(path).encode())
        files, size = files + 1, size + path.stat().st_size
    marker = wanted | {"complete": True, "files": files, "bytes": size,
                       "sha256": digest.hexdigest(), "splits": count(pages)}  # fmt: skip
    write_json(root / MARKER, marker)
    log.info("%s: %s images, %s expressions", root, len(pages),
             sum(entry["expressions"] for entry in marker["splits"].values()))  # fmt: skip
    return marker


def split_sequence(settings: ShapesSettings) -> list[str]:
    """The split of every image: each goes to the split that lacks most, so any start is mixed."""
    shares = {"val": settings.val, "testA": settings.testA, "testB": settings.testB}
    shares = {"train": 1 - sum(shares.values())} | shares
    if settings.images < 1 or settings.seed < 0 or min(shares.values()) < 0:
        raise UserError(
            f"images={settings.images} seed={settings.seed} val={settings.val} "
            f"testA={settings.testA} testB={settings.testB}: give at least one image, a seed that "
            "is not negative, and shares from 0 that add up to 1 at most."
        )
    held = dict.fromkeys(shares, 0)
    sequence = []
    for number in range(1, settings.images + 1):
        split = max(shares, key=lambda name: shares[name] * number - held[name])
        held[split] += 1
        sequence.append(split)
    return sequence


def make_page(seed: int, number: int, split: str) -> tuple[Page, dict[str, bytes]]:
    """One image: what the raw files say of it, and its own files (name -> content)."""
    scene, phrases = scene_with_phrases(seed, number, split)
    shown = visible(scene)
    picture = paint(scene, shown, generator(seed, number, 2))
    masks = [(share >= 0.5).astype(np.uint8) for share in shown]
    page = Page(number, split, scene.width, scene.height, annotations(scene, masks), phrases)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    contents = {
        f"{IMAGES}/{page.file_name}": buffer.getvalue(),
        f"{REFERIT_IMAGES}/{number}.jpg": buffer.getvalue(),
    }
    for index, mask in enumerate(masks):
        if phrases[index]:
            contents[f"{REFERIT_MASKS}/{number}_{index + 1}.mat"] = mat_bytes(mask)
    return page, contents


def scene_with_phrases(
    seed: int, number: int, split: str
) -> tuple[Scene, tuple[tuple[Phrase, ...], ...]]:
    """Scene `number`, and what is said of each of its things."""
    attempt = 0
    while True:  # a scene of which too little can be said is drawn anew
        scene = make_scene(seed, number, split, attempt)
        phrases = _phrases(scene, generator(seed, number, 1))
        if sum(map(bool, phrases)) >= 2:
            return scene, phrases
        attempt += 1


def _phrases(scene: Scene, random: np.random.Generator) -> tuple[tuple[Phrase, ...], ...]:
    """About three things referred to, about two expressions each, none said twice."""
    options = descriptions(scene)
    wanted = min(len(scene.things), int(random.choice((2, 3, 4), p=(0.2, 0.5, 0.3))))
    able = [index for index in options if options[index]]
    chosen = random.permutation(able)[:wanted] if able else []
    found: list[tuple[Phrase, ...]] = [()] * len(scene.things)
    for index in chosen:
        said: dict[str, Phrase] = {}
        for _ in range(int(random.choice((1, 2, 3), p=(0.2, 0.6, 0.2)))):
            description = choose(options[int(index)], random)
            text = say(description, random)
            phrase = Phrase(_typed(text, random), text, description.kind, description)
            said.setdefault(text, phrase)
        found[int(index)] = tuple(said.values())
    return tuple(found)


def _typed(text: str, random: np.random.Generator) -> str:
    """The expression as someone typed it: sometimes a capital, sometimes a full stop."""
    raw = text[0].upper() + text[1:] if random.random() < 0.2 else text
    return raw + "." if random.random() < 0.08 else raw


def _identity(settings: ShapesSettings) -> dict[str, Any]:
    """What decides the bytes: the settings and the code of these modules."""
    here = Path(__file__).parent
    code = sha256_json([sha256_file(here / f"{name}.py") for name in _MODULES])
    values = {name: getattr(settings, name) for name in ShapesSettings.__dataclass_fields__}
    return {"dataset": "shapes", "settings": values, "code": code}


def _tables(root: Path) -> list[Path]:
    return sorted([*(root / "refcoco").glob("[!.]*"), *(root / "referit").glob("[!.]*")])


def _complete(root: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The marker, if it says that this very set is complete and its files are all there."""
    if not (root / MARKER).is_file():
        return None
    marker = read_json(root / MARKER, "Remove the file; the data set is then made again.")
    if not marker.get("complete") or any(marker.get(key) != wanted[key] for key in wanted):
        return None
    sizes = [path.stat().st_size for part in _OURS for path in (root / part).rglob("[!.]*")
             if path.is_file()]  # fmt: skip
    return marker if (len(sizes), sum(sizes)) == (marker["files"], marker["bytes"]) else None


def _clear(root: Path, wanted: dict[str, Any]) -> None:
    """Remove an older or unfinished set; never a folder that is not marked as ours."""
    present = [part for part in _OURS if (root / part).exists()]
    if present and not (root / MARKER).is_file():
        raise UserError(
            f"{root / present[0]}: exists, but there is no {MARKER}, so this is not the embedded "
            "data set. Choose another folder, e.g. output=data/shapes."
        )
    write_json(root / MARKER, wanted | {"complete": False})
    for part in present:
        shutil.rmtree(root / part)
