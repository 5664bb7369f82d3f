"""A photo and a phrase: write the mask of what is meant.

    dghin predict photo.jpg "the woman in red" -o mask.png
    dghin predict photo.jpg "the woman in red" model=FOLDER_OR_HUB_NAME device=cuda

writes mask.png (white where the referent is) and mask_overlay.png (the photo with the mask on it).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path
from dghin.inspection.predictor import Predictor, as_photo, overlay
from dghin.run.command_line import read_words

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
    rest = [word for word in given if word.startswith((*(f"{key}=" for key in OWN), "-"))]
    values, _ = read_words("dghin predict", __doc__, OWN, rest, settings=False)
    inputs = [word for word in given if word not in rest]
    if len(inputs) != 2:
        raise UserError('Give a photo and a phrase: photo.jpg "the left cat". See --help.')
    for key in ("output", "overlay"):
        suffix = Path(values[key]).suffix.lower()
        if values[key] and suffix not in Image.registered_extensions():
            raise UserError(f"{key}={values[key]}: no kind of picture. Name it, say, mask.png.")
    if not isinstance(values["upright"], bool):
        raise UserError(f"upright={values['upright']}: expected true or false.")
    if not values["overlay"]:
        output = Path(values["output"])
        values["overlay"] = str(output.with_name(f"{output.stem}_overlay{output.suffix}"))
    return inputs, values
