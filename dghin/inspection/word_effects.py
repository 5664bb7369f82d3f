"""What a word does to the mask: the same expression read without it.

    effects = word_effects(predictor, "photo.jpg", "the left red cat")
    effects_table(effects)        # a line a word: what the mask loses and gains without it

Each word is left out in turn and the rest is parsed anew, so that the network reads a real
expression (occlusion; Zeiler & Fergus, ECCV 2014, for words). The image is encoded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_preprocess.language.encoder import Language
from data_preprocess.raw.records import clean_sentence
from dghin.evaluation.answers import AT_ONCE
from dghin.evaluation.metrics import expression_iou, intersection_union

from .predictor import Encoded, Photo, Prediction, Predictor


@dataclass(frozen=True)
class WordEffect:
    """A word, the expression without it, and what was answered to both."""

    word: str
    rest: str
    whole: Prediction
    without: Prediction

    @property
    def iou(self) -> float:
        """Of the mask without the word with the one with it: 1 where the word changes nothing."""
        return float(expression_iou(*intersection_union(self.without.mask, self.whole.mask)))

    @property
    def lost(self) -> np.ndarray:
        """(H, W): pixels that are in the mask only because of the word."""
        return self.whole.mask & ~self.without.mask

    @property
    def gained(self) -> np.ndarray:
        """(H, W): pixels that the word keeps out of the mask."""
        return self.without.mask & ~self.whole.mask


def word_effects(predictor: Predictor, image: Photo | Encoded, text: str) -> list[WordEffect]:
    """The effect of every word (as blanks divide them), in their order.

    An expression of one word has none: nothing would be left to read. So has a word whose rest
    leaves no piece. Expressions go through parser and network AT_ONCE at a time, however many
    words there are.
    """
    words = clean_sentence(text, "word_effects").split()
    encoded = image if isinstance(image, Encoded) else predictor.encode(image)
    whole = predictor.predict(encoded, " ".join(words))
    known = {_read(whole.language): whole}  # what reads the same is answered once, and kept once
    effects = []
    for start in range(0, len(words), AT_ONCE):
        places = range(start, min(start + AT_ONCE, len(words)))
        rests = [" ".join(words[:i] + words[i + 1 :]) for i in places if len(words) > 1]
        languages = list(predictor.encoder.encode(rests))
        new = {_read(x): x for x in languages if x.pieces and _read(x) not in known}
        known |= zip(new, predictor.answer(encoded, list(new.values())), strict=True)
        effects += [
            WordEffect(words[i], rest, whole, known[_read(x)]._replace(language=x))
            for i, rest, x in zip(places, rests, languages, strict=False)
            if x.pieces
        ]
    return effects


def _read(language: Language) -> bytes:
    """What the network reads of an expression."""
    parts = (language.word_ids, language.attention_mask, language.pos, language.heads)
    return b"".join(part.tobytes() for part in parts)


def effects_table(effects: Sequence[WordEffect]) -> pd.DataFrame:
    """A line a word, in percent of the mask with it: lost and gained pixels; IoU and scores."""
    lines = [
        {
            "Word": effect.word,
            "Without it": effect.rest,
            "IoU with the mask": 100 * effect.iou,
            "Lost": _share(effect.lost, effect.whole.mask),
            "Gained": _share(effect.gained, effect.whole.mask),
            "Score": 100 * effect.without.score,
            "Score, whole": 100 * effect.whole.score,
        }
        for effect in effects
    ]
    return pd.DataFrame(lines)


def _share(part: np.ndarray, mask: np.ndarray) -> float:
    """Pixels of a part in percent of a mask's; NaN where the mask is empty."""
    return 100 * float(part.sum() / mask.sum()) if mask.any() else float("nan")
