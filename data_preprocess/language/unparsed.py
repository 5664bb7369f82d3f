"""`parser=none`: expressions without a parse, for scoring masks where no parser is installed.

Rows then know an expression's number of words (by a rule that is near the parser's), but neither
its kind nor the depth of its parse. No network can be trained on it: it reads none of the words.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from .features import Features
from .kinds import RULE

NONE = "none"  # the parser's name
_WORD = re.compile(r"n't\b|'\w+|\w+?(?=n't\b)|\w+|[^\w\s]", re.IGNORECASE)


class Unparsed:
    """In a LanguageEncoder's place: features that hold numbers of words only."""

    end_id = None  # no word is read, so none is cut

    def __init__(self, words: int = 17):
        self.words = words

    def key(self) -> dict[str, Any]:
        """As of LanguageEncoder: features of this key are refused by whoever needs a parse."""
        named = dict.fromkeys(("tokenizer", "tokenizer_name", "parser"), NONE)
        return named | {"words": self.words, "alignment": "paper", "kinds": RULE}

    def encode_many(self, sentences: Sequence[str], progress: bool = True) -> Features:
        """All expressions, in their order."""
        shape = (len(sentences), self.words)
        return Features(
            word_ids=np.zeros(shape, np.int32),
            attention_mask=np.zeros(shape, np.uint8),
            pos=np.zeros(shape, np.uint8),
            heads=np.full(shape, -1, np.int8),
            length=np.array([len(_WORD.findall(text)) for text in sentences], np.int16),
            kind=np.zeros(len(sentences), np.uint8),
            depth=np.full(len(sentences), -1, np.int16),
        )
