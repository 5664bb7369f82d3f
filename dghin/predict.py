"""Image + expression → mask.

predictor = Predictor.from_pretrained("reports/demo/train/best")
result = predictor.predict("photo.jpg", "the woman in red")
result.mask                                         # (H, W) bool, at the photo's own size

python -m dghin.predict photo.jpg "the woman in red" output=mask.png model=FOLDER
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from PIL import Image

from data_preprocess.common import UserError, atomic_path, read_json

from .data import read_image, resize_image
from .hub import CONFIG
from .inspect import LEVELS, observe
from .metrics import predict_mask
from .model import DGHIN


class Prediction(NamedTuple):
    """mask (H, W) bool; score: mean probability of the referent inside the mask, 0 for an empty
    one; attention: {level: (L, h, w)}, every word piece's share in every patch at the entity
    level; pieces: the word pieces of the first positions of L, [CLS] first."""

    mask: np.ndarray
    score: float
    attention: dict[int, np.ndarray]
    pieces: tuple[str, ...]


@dataclass
class Predictor:
    """A model with the tokenizer and parser that it was trained with."""

    model: DGHIN
    encoder: Any  # data_preprocess.language.LanguageEncoder

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, device: str = "cpu", data: str | Path | None = None
    ) -> Self:
        """The predictor of a folder that training wrote (reports/<run>/train/best).

        data: the raw data set's folder, where a tokenizer may lie (`bert-base-uncased/`).
        """
        from data_preprocess.language import LanguageEncoder  # needs spaCy

        model = DGHIN.from_pretrained(folder).to(device)
        path = Path(folder) / CONFIG
        language = read_json(path, "Give a folder that training wrote.").get("language")
        if not language:
            raise UserError(
                f"{path}: says nothing of the tokenizer and parser ('language'). "
                "Give a folder that training wrote, or build Predictor(model, encoder)."
            )
        return cls(model, LanguageEncoder(words=model.config.words, data=data, **language))

    @torch.inference_mode()
    def predict(self, image: str | Path | Image.Image | np.ndarray, text: str) -> Prediction:
        """The mask of what `text` means in `image` (a path, PIL image, or (H, W, 3) uint8)."""
        photo = as_photo(image)
        words = self.encoder(text)
        with observe(self.model) as seen:
            out = self.model(**self._inputs(photo, words))
        size = (photo.height, photo.width)
        logits = out.mask[0].float().cpu()
        mask = np.asarray(predict_mask(logits, size, "strict"))
        attention = {
            level: seen.word_attention(level)[0].cpu().numpy()
            for level in LEVELS
            if seen.has(level, "entity_attention")
        }
        return Prediction(mask, confidence(logits, mask), attention, ("[CLS]", *words.pieces))

    def _inputs(self, photo: Image.Image, words: Any) -> dict[str, torch.Tensor]:
        device = next(self.model.parameters()).device
        names = ("word_ids", "attention_mask", "pos", "adjacency")
        inputs = {name: torch.from_numpy(getattr(words, name))[None] for name in names}
        inputs["image"] = resize_image(photo, self.model.config.image_size)[None]
        return {name: value.to(device) for name, value in inputs.items()}


def as_photo(image: str | Path | Image.Image | np.ndarray) -> Image.Image:
    """A path, PIL image or uint8 array as an RGB PIL image."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(
                f"image: an array of {image.dtype} {image.shape}; expected uint8 (H, W, 3), RGB."
            )
        return Image.fromarray(image)
    return image.convert("RGB")


def confidence(logits: torch.Tensor, mask: np.ndarray) -> float:
    """Mean probability of the referent inside the mask: logits (2, S, S), mask (H, W)."""
    if not mask.any():
        return 0.0
    probability = logits.softmax(0)[1:]
    full = torch.nn.functional.interpolate(probability[None], mask.shape, mode="bilinear")[0, 0]
    return float(full.numpy()[mask].mean())


def overlay(photo: Image.Image, mask: np.ndarray, colour: Sequence[int] = (230, 97, 0)) -> Any:
    """The photo with the mask laid over it, as a PIL image."""
    pixels = np.array(photo, dtype=np.float32)
    pixels[mask] = 0.45 * pixels[mask] + 0.55 * np.array(colour, dtype=np.float32)
    return Image.fromarray(pixels.round().astype(np.uint8))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    from .cli import read_words

    words = list(sys.argv[1:] if arguments is None else arguments)
    inputs = [word for word in words if "=" not in word and not word.startswith("-")]
    rest = [word for word in words if word not in inputs]
    own = {"model": "reports/demo/train/best", "output": "mask.png", "overlay": "", "data": "data"}
    values, extra = read_words("dghin.predict", __doc__, own, rest)
    if len(inputs) != 2 or extra:
        raise UserError('Give a photo and an expression: photo.jpg "the left cat". See --help.')
    predictor = Predictor.from_pretrained(values["model"], data=values["data"])
    result = predictor.predict(inputs[0], inputs[1])
    with atomic_path(Path(values["output"])) as temporary:
        Image.fromarray(result.mask.astype(np.uint8) * 255).save(temporary)
    if values["overlay"]:
        with atomic_path(Path(values["overlay"])) as temporary:
            overlay(as_photo(inputs[0]), result.mask).save(temporary)
    print(f"{values['output']}: {result.mask.mean():.1%} of the photo, score {result.score:.3f}")


if __name__ == "__main__":
    from .cli import run_cli

    run_cli(main)
