"""Image + expression → mask.

predictor = Predictor.from_pretrained("reports/demo/train/best")     # a folder, or a hub's name
result = predictor.predict("photo.jpg", "the woman in red")
result.mask                                         # (H, W) bool, at the photo's own size

dghin predict photo.jpg "the woman in red" -o mask.png

writes mask.png (white where the referent is) and mask_overlay.png (the photo with the mask on it).
"""

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, Self, overload

import numpy as np
import torch
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.photos import as_rgb, read_photo
from data_preprocess.base.values import shown
from data_preprocess.language.encoder import check_readable
from dghin.data.batches import LANGUAGE
from dghin.data.dataset import resize_image
from dghin.evaluation.answers import AT_ONCE
from dghin.evaluation.masks import predict_mask
from dghin.evaluation.segmenters.network import segment
from dghin.model.dghin import DGHIN, EncodedImage
from dghin.model.hub import CONFIG
from dghin.run.processes import find_device

from .observe import LEVELS, Observation, observe

if TYPE_CHECKING:
    from data_preprocess.language.encoder import Language

log = logging.getLogger(__name__)
Photo = str | Path | Image.Image | np.ndarray | torch.Tensor
SHOWN = 640  # pixels: the longer side of a prediction's picture in a notebook


@dataclass(frozen=True)
class Encoded:
    """A photo that the image side of the network has seen: many expressions share it."""

    photo: Image.Image
    image: EncodedImage  # of this photo alone

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photo, and so of its masks."""
        return self.photo.height, self.photo.width

    def __repr__(self) -> str:
        return f"Encoded(a photo of {self.photo.width} × {self.photo.height} pixels)"


class Prediction(NamedTuple):
    """mask (H, W) bool; score: mean probability of the referent inside the mask, 0 for an empty
    one; attention: {level: (L, h, w)}, every word piece's share in every patch at the entity
    level; pieces: the word pieces of the first positions of L, [CLS] first; language: the
    expression as the network read it; seen: on request, all that it looked at; photo: which the
    mask is of. A notebook shows it as the photo with the mask on it."""

    mask: np.ndarray
    score: float
    attention: dict[int, np.ndarray]
    pieces: tuple[str, ...]
    language: "Language"
    seen: Observation | None = None
    photo: Image.Image | None = None

    def __repr__(self) -> str:
        height, width = self.mask.shape
        return (
            f"Prediction({' '.join(self.pieces[1:])!r}: {self.mask.mean():.1%} of {width} × "
            f"{height} pixels, score {self.score:.3f})"
        )

    def _repr_png_(self) -> bytes:
        """The photo with the mask on it (without a photo, the mask), as a notebook shows it."""
        white = Image.fromarray(self.mask.astype(np.uint8) * 255)
        picture = white if self.photo is None else overlay(self.photo, self.mask)
        picture.thumbnail((SHOWN, SHOWN))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(repr=False)
class Predictor:
    """A model with the tokenizer and parser that it was trained with."""

    model: DGHIN
    encoder: Any  # data_preprocess.language.encoder.LanguageEncoder
    at_once: int = AT_ONCE  # expressions that go through the network together, as in evaluation

    def __repr__(self) -> str:
        """In a line: a network's own is hundreds of them."""
        settings, size = self.model.config, self.model.config.image_size
        parameters = sum(weight.numel() for weight in self.model.parameters())
        return (
            f"Predictor(DGHIN of {parameters:,} parameters on {settings.backbone} at {size} × "
            f"{size} pixels, {settings.words} word pieces, on {self.device})"
        )

    @classmethod
    def from_pretrained(
        cls, name: str | Path, device: str = "cpu", data: str | Path | None = None, **words: Any
    ) -> Self:
        """The predictor of a folder that training wrote (reports/<run>/train/best), or of a hub's
        repository ("owner/name").

        data: the raw data set's folder, where a tokenizer may lie (`bert-base-uncased/`). words:
        revision, token, cache_dir, ... of DGHIN.from_pretrained.
        """
        from data_preprocess.language.encoder import LanguageEncoder  # needs spaCy

        place = find_device(device)
        model = DGHIN.from_pretrained(name, **words).to(place)
        if not model.language:
            raise UserError(
                f"{Path(name) / CONFIG}: says nothing of the tokenizer and parser ('language'). "
                "Give a folder that training wrote, or build Predictor(model, encoder)."
            )
        return cls(model, LanguageEncoder(words=model.config.words, data=data, **model.language))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model and its language settings, as `from_pretrained` reads them.

        `save_with_card` of the report adds a model card, `push_with_card` uploads all to the hub.
        """
        self.model.language = self.encoder.settings()
        self.model.save_pretrained(folder)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @torch.inference_mode()
    def encode(self, image: Photo) -> Encoded:
        """What the network knows of a photo before a word is read; give it to `predict`."""
        photo = as_photo(image)
        resized = resize_image(photo, self.model.config.image_size)[None].to(self.device)
        return Encoded(photo, self.model.encode_image(resized))

    @overload
    def predict(self, image: Photo | Encoded, text: str, inspect: bool = ...) -> Prediction: ...
    @overload
    def predict(
        self, image: Photo | Encoded, text: Sequence[str], inspect: bool = ...
    ) -> list[Prediction]: ...

    @torch.inference_mode()
    def predict(
        self, image: Photo | Encoded, text: str | Sequence[str], inspect: bool = False
    ) -> Prediction | list[Prediction]:
        """The mask of what `text` means in `image`; of several texts, a list of them.

        image: a path, PIL image, (H, W, 3) uint8 array, (3, H, W) uint8 tensor, all RGB, or what
        `encode` gave. It goes through the image side once, whatever the number of expressions.
        inspect: keep everything that the network looked at in `seen`.
        """
        sentences = [text] if isinstance(text, str) else list(text)
        languages = list(self.encoder.encode(sentences))
        for language, sentence in zip(languages, sentences, strict=True):
            check_readable(language, sentence)
            if language.is_mostly_unknown:
                log.warning("%s: %s", shown(sentence), unknown_note(language))
        encoded = image if isinstance(image, Encoded) else self.encode(image)
        results = self.answer(encoded, languages, inspect)
        return results[0] if isinstance(text, str) else results

    @torch.inference_mode()
    def answer(
        self, encoded: Encoded, languages: "Sequence[Language]", inspect: bool = False
    ) -> list[Prediction]:
        """The masks of expressions that the encoder has read, in passes of `at_once`."""
        results: list[Prediction] = []
        for start in range(0, len(languages), self.at_once):
            results += self._pass(encoded, languages[start : start + self.at_once], inspect)
        return results

    def _pass(
        self, encoded: Encoded, languages: "Sequence[Language]", inspect: bool
    ) -> list[Prediction]:
        """Up to `at_once` expressions about one photo."""
        fields = {name: np.stack([getattr(x, name) for x in languages]) for name in LANGUAGE}
        with observe(self.model) as seen:
            logits = segment(self.model, encoded.image, SimpleNamespace(**fields))
        return [
            predicted(of_one, encoded, language, seen.of(number, encoded.image), inspect)
            for number, (of_one, language) in enumerate(zip(logits, languages, strict=True))
        ]


def predicted(
    logits: torch.Tensor, encoded: Encoded, language: "Language", seen: Observation, inspect: bool
) -> Prediction:
    """One expression's result from its logits (2, S, S): the mask as `strict` scores it.

    Logits that are not finite are an error: every comparison with NaN is false, an empty mask.
    """
    if not logits.isfinite().all():
        raise UserError(
            f"'{' '.join(language.pieces)[:60]}': the network's output is not finite (NaN or "
            "infinite). Its weights are damaged, or its training overflowed: take other weights, "
            "such as those of an earlier checkpoint."
        )
    mask = predict_mask(logits, encoded.size, "strict").cpu().numpy()
    attention = {
        level: seen.word_attention(level)[0].float().cpu().numpy()
        for level in LEVELS
        if seen.has(level, "entity_attention")
    }
    score = confidence(logits.float().cpu(), mask)
    pieces = ("[CLS]", *language.pieces)
    seen_too = seen if inspect else None
    return Prediction(mask, score, attention, pieces, language, seen_too, encoded.photo)


def unknown_note(language: "Language") -> str:
    """What to say of words that the tokenizer does not know."""
    words = ", ".join(shown(word) for word in dict.fromkeys(language.unknown))
    return (
        f"the network knows none of these words: {words}. It reads [UNK] in their place, and its "
        "mask says little of them. Write English words, in the letters that it was trained with."
    )


def as_photo(image: Photo, upright: bool = True) -> Image.Image:
    """A path, PIL image, array or tensor as an RGB PIL image.

    upright: a file is turned as its camera held it (EXIF), which is how it is shown elsewhere, and
    how data sets of one's own are read (unless their manifest says upright=false).
    """
    if isinstance(image, str | Path):
        return read_photo(image, upright)
    if isinstance(image, torch.Tensor):
        if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3:
            raise UserError(
                f"image: a tensor of {image.dtype} {tuple(image.shape)}; expected uint8 "
                "(3, H, W), RGB."
            )
        image = image.permute(1, 2, 0).cpu().numpy()
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(
                f"image: an array of {image.dtype} {image.shape}; expected uint8 (H, W, 3), RGB."
            )
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise UserError(
            f"image: a {type(image).__name__}; expected a path, a PIL image, an array or a tensor."
        )
    if not min(image.size):
        raise UserError(f"image: {image.width} × {image.height} pixels; expected at least one.")
    return as_rgb(image, "image")


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
