"""A photo and a phrase: write the mask of what is meant.

    dghin predict photo.jpg "the woman in red" -o mask.png
    dghin predict photo.jpg "the woman in red" model=FOLDER_OR_HUB_NAME device=cuda

writes mask.png (white where the referent is) and mask_overlay.png (the photo with the mask on it).
An input is never written over; a mask is a .png, .bmp or .tif: other formats change its values.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path, keep_inputs
from data_preprocess.base.paths import from_here
from data_preprocess.base.values import shown
from dghin.inspection.predictor import Predictor, as_photo, overlay
from dghin.run.command_line import read_words

SETTING = re.compile(r"[a-z_]+(\.[a-z_]+)*=")
LOSSLESS = (".png", ".bmp", ".tif", ".tiff")
PICTURES = (*LOSSLESS, ".jpg", ".jpeg", ".webp")
OWN = {
    "model": "reports/demo/train/best",
    "output": "mask.png",
    "overlay": "",  # empty: <output>_overlay
    "device": "cpu",
    "data": "data",  # where the tokenizer's folder may be
    "upright": True,  # the photo turned as its camera held it (EXIF), as everywhere else
}


def main(arguments: Sequence[str]) -> None:
    """`dghin predict`; see the module's docstring."""
    (path, text), values = read_command(arguments)
    photo = as_photo(path, values["upright"])
    for key in ("output", "overlay"):
        keep_inputs(key, values[key], [path])
    predictor = Predictor.from_pretrained(values["model"], values["device"], values["data"])
    result = predictor.predict(photo, text)
    pictures = {
        "output": Image.fromarray(result.mask.astype(np.uint8) * 255),
        "overlay": overlay(photo, result.mask),
    }
    for key, picture in pictures.items():
        with atomic_path(Path(values[key])) as temporary:
            picture.save(temporary)
    if result.language.cut:
        print(
            f"warning: the network reads {len(result.language.word_ids) - 2} word pieces, and the "
            f"phrase has {len(result.language.pieces)}: its end was not read. Shorten it."
        )
    print(
        f"{values['output']}, {values['overlay']}: {result.mask.mean():.1%} of the photo, "
        f"score {result.score:.3f}"
    )


def read_command(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """The photo and the phrase; the command's other settings."""
    given = list(arguments)
    for flag in ("-o", "--output"):
        if flag in given:
            place = given.index(flag)
            if place + 1 == len(given):
                raise UserError(f"{flag}: name the file to write, as in {flag} mask.png.")
            given[place : place + 2] = [f"output={given[place + 1]}"]
    is_setting = [word.startswith((*(f"{key}=" for key in OWN), "-")) for word in given]
    if is_setting.count(False) > 2:  # one of them may be a setting with a slip in its name
        is_setting = [
            own or bool(SETTING.match(w)) for own, w in zip(is_setting, given, strict=True)
        ]
    inputs = [word for word, other in zip(given, is_setting, strict=True) if not other]
    rest = [word for word, own in zip(given, is_setting, strict=True) if own]
    inputs = [from_here(inputs[0]), *inputs[1:]] if inputs else []  # before the root is entered
    values, _ = read_words("dghin predict PHOTO PHRASE", __doc__, OWN, rest, settings=False)
    _check_inputs(inputs)
    if not isinstance(values["upright"], bool):
        raise UserError(f"upright={values['upright']}: expected true or false.")
    output = Path(values["output"])
    _check_kind("output", output, LOSSLESS)
    if not values["overlay"]:
        values["overlay"] = str(output.with_name(f"{output.stem}_overlay{output.suffix}"))
    _check_kind("overlay", Path(values["overlay"]), PICTURES)
    if os.path.abspath(values["overlay"]) == os.path.abspath(values["output"]):
        raise UserError(f"overlay={values['overlay']}: that is the mask's file. Name another one.")
    return inputs, values


def _check_inputs(inputs: Sequence[str]) -> None:
    """UserError unless there are a photo and one phrase; it says what was given instead."""
    if len(inputs) == 2:
        return
    needed = 'Give a photo and a phrase: photo.jpg "the left cat".'
    if len(inputs) < 2:
        raise UserError(f"{needed} {f'Only {inputs[0]}' if inputs else 'Neither'} was given.")
    photo, *phrases = inputs
    raise UserError(
        f"{needed} After {photo} came {len(phrases)} phrases: {', '.join(map(shown, phrases))}. "
        f'Put one phrase between quotes ("{" ".join(phrases)[:60]}"), or give one command for each '
        "(in Python: predictor.predict(photo, [phrase, phrase]))."
    )


def _check_kind(key: str, path: Path, kinds: Sequence[str]) -> None:
    if path.suffix.lower() in kinds:
        return
    why = "no kind of picture that is written here"
    if key == "output" and path.suffix.lower() in PICTURES:
        why = "it would change the mask's values; a mask needs a format without loss"
    name = path.with_suffix(".png").name if path.name else f"{key}.png"
    raise UserError(f"{key}={path}: {why} ({', '.join(kinds)}). Name it, say, {name}.")
