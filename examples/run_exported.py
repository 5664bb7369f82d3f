"""The mask of a phrase by an exported file: nothing of this project is imported.

    python examples/run_exported.py model.onnx photo.jpg "the red circle" mask.png
    python examples/run_exported.py model.pt2 photo.jpg "the red circle" mask.png

What has to be known stands in the file's metadata, which this script follows; print it with
metadata=true. Needs onnxruntime (or torch, for .pt2), transformers, spaCy with the parser, Pillow.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Inputs = dict[str, np.ndarray]


def open_exported(path: str) -> tuple[dict[str, Any], Callable[[Inputs], np.ndarray]]:
    """The file's metadata, and its network: inputs by name → logits (B, 2, S, S)."""
    if path.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        texts = session.get_modelmeta().custom_metadata_map
        return _read(texts), lambda inputs: session.run(["logits"], inputs)[0]
    import torch

    extra = {"dghin.json": ""}
    network = torch.export.load(path, extra_files=extra).module()

    def run(inputs: Inputs) -> np.ndarray:
        with torch.inference_mode():
            return network(*(torch.from_numpy(one) for one in inputs.values())).numpy()

    return _read(json.loads(extra["dghin.json"])), run


def _read(texts: dict[str, str]) -> dict[str, Any]:
    return {
        name: json.loads(text) if text.startswith("{") else text for name, text in texts.items()
    }


def read_phrase(phrase: str, about: dict[str, Any]) -> Inputs:
    """What the metadata's `phrase` and `inputs` ask for, of one phrase: B = 1."""
    import spacy
    import transformers

    settings, length = about["language"], about["model"]["words"]
    place = settings["tokenizer"]
    if place.startswith("package:"):
        package, _, folder = place.removeprefix("package:").partition("/")
        (root,) = importlib.util.find_spec(package).submodule_search_locations
        place = f"{root}/{folder}"
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    ids = tokenizer(phrase.strip(), add_special_tokens=False)["input_ids"]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    parser = spacy.load(settings["parser"])
    if settings["alignment"] == "paper":
        parse = parser(" ".join(pieces).replace("#", ""))
    else:
        words = [piece[2:] if len(piece) > 2 and piece[:2] == "##" else piece for piece in pieces]
        spaces = [True] * (len(words) - 1) + [False]
        parse = parser(spacy.tokens.Doc(parser.vocab, words=words, spaces=spaces))
    framed = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id][:length]
    codes = about["part_of_speech"]
    pos = np.full((1, length), codes["none"], np.int64)
    adjacency = np.zeros((1, length, length), np.float32)
    for word in parse[: length - 1]:
        pos[0, word.i + 1] = codes.get(word.pos_, codes["other"])
        if word.head.i + 1 < length:
            adjacency[0, word.i + 1, word.head.i + 1] = 1
    there = np.arange(length)[None] < len(framed)
    word_ids = np.zeros((1, length), np.int64)
    word_ids[there] = framed
    return {"word_ids": word_ids, "attention_mask": there.astype(np.int64), "pos": pos,
            "adjacency": adjacency}  # fmt: skip


def resized(maps: np.ndarray, size: int, axis: int) -> np.ndarray:
    """One axis of the logits made `size` long: bilinear, areas aligned, no antialiasing."""
    length = maps.shape[axis]
    place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    low = place.astype(int)
    weight = np.expand_dims(place - low, tuple(range(1, maps.ndim - axis)))
    above = np.take(maps, np.minimum(low + 1, length - 1), axis)
    return np.take(maps, low, axis) * (1 - weight) + above * weight


def predict(path: str, photo: str, phrase: str) -> np.ndarray:
    """The mask of what the phrase means in the photo: (H, W) bool."""
    about, run = open_exported(path)
    picture = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
    size = (about["model"]["image_size"],) * 2
    image = np.asarray(picture.resize(size, Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    inputs = {"image": np.ascontiguousarray(image)[None], **read_phrase(phrase, about)}
    logits = run(inputs)[0].astype(np.float64)  # (2, S, S)
    background, referent = resized(resized(logits, picture.height, 1), picture.width, 2)
    return referent > background


def main(arguments: list[str]) -> None:
    """The command; see the module's docstring."""
    if "metadata=true" in arguments:
        print(json.dumps(open_exported(arguments[0])[0], indent=2, ensure_ascii=False))
        return
    path, photo, phrase, output = arguments
    if Path(output).exists() and Path(output).samefile(photo):
        sys.exit(f"{output}: the photo itself. Name another file for the mask.")
    Image.fromarray(predict(path, photo, phrase).astype(np.uint8) * 255).save(output)


if __name__ == "__main__":
    main(sys.argv[1:])
