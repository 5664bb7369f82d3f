"""Valid small files, many damaged copies of each, and the readers on them.

As a script (KIND FIRST COUNT FOLDER): the copies of these seeds. It says each seed before it reads
its copy, so that a crash shows its own.
"""

import io
import json
import pickle
import random
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.bounded import HEIGHT, WIDTH, limit_memory, read

NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
           0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF]  # fmt: skip
WORDS = [b"-1", b"0", b"1e9", b"999999999", b"99999999999999999999", b"1e999", b"NaN",
         b"null", b"true", b"[]", b"{}", b'""',
         b'"../x"', b'"\\ud800"', b"[[1]]", b"0.5", b"601"]  # fmt: skip


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A copy with one to four things changed; mostly one, or hardly a copy would be readable."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(_CHANGES)(bytearray(content), chance)
    return bytes(content)


def _flip(content: bytearray, chance: random.Random) -> bytearray:
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def _cut(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randint(0, len(content))]


def _remove(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randint(0, len(content))
    del content[start : start + chance.randint(1, 40)]
    return content


def _repeat(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randint(0, len(content))
    piece = content[start : start + chance.randint(1, 60)]
    return content[:start] + piece * chance.choice((2, 3, 100)) + content[start:]


def _splice(content: bytearray, chance: random.Random) -> bytearray:
    source, target = chance.randint(0, len(content)), chance.randint(0, len(content))
    size = chance.randint(1, 60)
    content[target : target + size] = content[source : source + size]
    return content


def _number(content: bytearray, chance: random.Random) -> bytearray:
    width, start = chance.choice((1, 2, 4, 8)), chance.randint(0, len(content))
    value = chance.choice(NUMBERS) & ((1 << 8 * width) - 1)
    content[start : start + width] = value.to_bytes(width, chance.choice(("little", "big")))
    return content


def _word(content: bytearray, chance: random.Random) -> bytearray:
    """Another number (or something else) in place of one that is written in digits."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?|\"\w*\"", content))
    if found:
        place = chance.choice(found)
        content[place.start() : place.end()] = chance.choice(WORDS)
    return content


_CHANGES = (_flip, _flip, _flip, _cut, _remove, _repeat, _splice, _number, _number, *[_word] * 6)


def damage_files(*paths: Path) -> Callable[[random.Random], None]:
    """One of the files at a time."""
    whole = {path: path.read_bytes() for path in paths}

    def change(chance: random.Random) -> None:
        chosen = chance.choice(paths)
        for path, content in whole.items():
            path.write_bytes(damaged(content, chance) if path == chosen else content)

    return change


def damage_pickle(path: Path) -> Callable[[random.Random], None]:
    refs = pickle.loads(path.read_bytes())
    forms = [pickle.dumps(refs, protocol) for protocol in (0, 2, 4)]
    return lambda chance: path.write_bytes(damaged(chance.choice(forms), chance))


def damage_mat(path: Path) -> Callable[[random.Random], None]:
    """The file, or what is compressed in it."""
    forms = [path.read_bytes(), _mat_content(True)]
    plain = forms[0]

    def change(chance: random.Random) -> None:
        if chance.random() < 0.5:
            path.write_bytes(damaged(chance.choice(forms), chance))
        else:
            inner = zlib.compress(damaged(plain[128:], chance))
            path.write_bytes(plain[:128] + struct.pack("<II", 15, len(inner)) + inner)

    return change


def _mat_content(compressed: bool) -> bytes:
    from scipy.io import savemat

    labels = np.full((HEIGHT, WIDTH), -1, np.int16)
    labels[2:6, 4:10] = 0
    file = io.BytesIO()
    savemat(file, {"segimg_t": labels}, do_compression=compressed)
    return file.getvalue()


def damage_npz(path: Path) -> Callable[[random.Random], None]:
    """The file, or one of the arrays in it."""
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}

    def change(chance: random.Random) -> None:
        if chance.random() < 0.5:
            path.write_bytes(damaged(whole, chance))
            return
        name = chance.choice(sorted(arrays))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for other, content in arrays.items():
                archive.writestr(other, damaged(content, chance) if other == name else content)

    return change


def damage_runs(path: Path) -> Callable[[random.Random], None]:
    """Run lengths as text and as numbers, and polygons."""
    from pycocotools import mask as coco

    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[2:6, 3:9], mask[10:15, 20:29] = 1, 1
    text = coco.encode(mask)["counts"]
    path.write_text(json.dumps({"size": [HEIGHT, WIDTH], "counts": text.decode()}))
    runs = json.dumps([10, 30, 100, 60, HEIGHT * WIDTH - 200]).encode()
    polygons = json.dumps([[2, 2, 12.5, 2, 12, 10, 2, 10.25], [8, 5, 20, 5, 20, 15]]).encode()

    def change(chance: random.Random) -> None:
        kind = chance.choice(("text", "runs", "polygons"))
        if kind == "polygons":
            shape = _json(damaged(polygons, chance))
        elif kind == "runs":
            shape = {"size": [HEIGHT, WIDTH], "counts": _json(damaged(runs, chance))}
        else:
            counts = damaged(text, chance).decode("latin-1")
            shape = {"size": [HEIGHT, WIDTH], "counts": counts}
        path.write_text(json.dumps(shape))

    return change


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("latin-1")


def write_valid(kind: str, folder: Path) -> tuple[str, Callable[[random.Random], None]]:
    """Valid files for a kind; returns the reader's name, and what puts a damaged copy there."""
    from helpers.raw_trees import write_mat, write_refer, write_referit

    if kind == "pickle":
        write_refer(folder)
        return "refer", damage_pickle(folder / "refcoco/refs(unc).p")
    if kind == "instances":
        write_refer(folder)
        return "refer", damage_files(folder / "refcoco/instances.json")
    if kind == "referit":
        write_referit(folder)
        return "referit", damage_files(*sorted(folder.glob("referit/*.json")))
    if kind == "mat":
        write_mat(folder, "a")
        (folder / "images/referit/mask/a.mat").rename(folder / "a.mat")
        return "mat", damage_mat(folder / "a.mat")
    if kind == "image":
        return "image", _image(folder / "a.png")
    if kind == "features":
        _write_features(folder / "a.npz")
        return "features", damage_npz(folder / "a.npz")
    if kind == "entries":
        _write_entries(folder / "train.json")
        return "entries", damage_files(folder / "train.json")
    return "segmentation", damage_runs(folder / "a.json")


KINDS = ("pickle", "instances", "referit", "mat", "image", "features", "entries", "segmentation")


def _image(path: Path) -> Callable[[random.Random], None]:
    """A mask image as PNG, and as JPEG of the same name."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3:9, 4:20] = 255
    forms = []
    for form in ("PNG", "JPEG", "BMP", "GIF", "TIFF"):
        file = io.BytesIO()
        Image.fromarray(mask).save(file, form)
        forms.append(file.getvalue())
    weights = (6, 1, 1, 1, 1)
    path.write_bytes(forms[0])
    return lambda chance: path.write_bytes(damaged(chance.choices(forms, weights)[0], chance))


def _write_features(path: Path) -> None:
    from data_preprocess.language.features import Features, write_features

    heads = np.array([[1, 1, 1, -1, -1], [0, 0, 1, 3, -1]], np.int8)
    features = Features(
        word_ids=np.arange(10).reshape(2, 5), attention_mask=heads >= 0, pos=np.abs(heads),
        heads=heads, length=np.array([3, 4]), kind=np.array([1, 5]), depth=np.array([2, 3]),
    )  # fmt: skip
    write_features(path, features, {"words": 5, "tokenizer": "0" * 64, "sentences": "1" * 64})


def _write_entries(path: Path) -> None:
    entries = [
        {"segment_id": f"{i}_0", "img_name": f"COCO_{i}.jpg", "sentences_num": 1,
         "sentences": [{"idx": 0, "sent": "the man on the left"}], "bbox": [1.0, 2, 3, 4]}
        for i in range(4)
    ]  # fmt: skip
    path.write_text(json.dumps(entries, indent=1))


def batch(kind: str, first: int, count: int, folder: Path) -> Iterator[tuple[int, str]]:
    """(seed, "value" or "error") of every damaged copy; raises what a reader must not."""
    reader, change = write_valid(kind, folder)
    assert "value" in read(reader, folder)
    for seed in range(first, first + count):
        print("seed", seed, flush=True)
        change(random.Random(f"{kind} {seed}"))
        yield seed, next(iter(read(reader, folder)))


if __name__ == "__main__":
    import logging
    import warnings

    logging.disable()
    warnings.simplefilter("ignore")
    kind, first, count, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    write_valid(kind, folder)  # so that its modules are loaded before memory is limited
    limit_memory()
    found = [what for _, what in batch(kind, first, count, folder)]
    print(json.dumps({what: found.count(what) for what in ("value", "error")}))
