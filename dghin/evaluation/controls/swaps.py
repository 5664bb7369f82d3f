"""Left and right, above and below swapped in the expressions that hold such a word.

exchange("the leftmost star", (("left", "right"),))     # "the rightmost star"
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data_preprocess.language.features import Features

Pairs = Sequence[tuple[str, str]]
_WORN = re.compile(  # a top that is a piece of clothing, whose swap is no place
    r"\b(black|white|red|blue|green|yellow|pink|purple|orange|gr[ae]y|brown|dark|light|striped|"
    r"plaid|tank|crop|halter|bikini|hat|swim)[ -]?tops?\b",
    re.IGNORECASE,
)


def swapped(
    features: Features, sentences: Sequence[str], pairs: Pairs, ids: dict[str, int]
) -> tuple[np.ndarray, Features]:
    """The words of every pair exchanged: which expressions are scored (K,), and all N features.

    The parse stays as it is: such words stand in for each other. Only expressions that hold one are
    scored. Left out are expressions in which a piece of a longer word was swapped ("lefty"), and
    those with a top that is worn.
    """
    word_ids = features.word_ids.copy()
    for one, other in pairs:
        first, second = features.word_ids == ids[one], features.word_ids == ids[other]
        word_ids[first], word_ids[second] = ids[other], ids[one]
    changed = (word_ids != features.word_ids).sum(axis=1)
    words = np.array([len(_swappable(pairs).findall(sentence)) for sentence in sentences])
    indices = np.flatnonzero((changed > 0) & (changed == words) & ~_worn(sentences))
    return indices, replace(features, word_ids=word_ids)


def swappable(sentences: Sequence[str], pairs: Pairs) -> np.ndarray:
    """The same choice by the texts alone (K,): for models that read texts, where no word ids are
    known. A word that only begins with one of a pair ("lefty", "topless") leaves its expression
    out."""
    words = "|".join(word for pair in pairs for word in pair)
    longer = re.compile(rf"\b({words})(?!most\b)\w", re.IGNORECASE)
    whole = np.array([bool(_swappable(pairs).search(text)) for text in sentences], bool)
    pieces = np.array([bool(longer.search(text)) for text in sentences], bool)
    return np.flatnonzero(whole & ~pieces & ~_worn(sentences))


def _worn(sentences: Sequence[str]) -> np.ndarray:
    return np.array([bool(_WORN.search(sentence)) for sentence in sentences], bool)


def exchange(sentence: str, pairs: Pairs) -> str:
    """An expression with the words of every pair exchanged ("leftmost" becomes "rightmost")."""
    other = dict(pairs) | {second: first for first, second in pairs}
    return _swappable(pairs).sub(lambda m: other[m[1].lower()] + (m[2] or ""), sentence)


def _swappable(pairs: Pairs) -> re.Pattern[str]:
    """The words of the pairs, whole, with or without "most"."""
    words = "|".join(word for pair in pairs for word in pair)
    return re.compile(rf"\b({words})(most)?\b", re.IGNORECASE)
