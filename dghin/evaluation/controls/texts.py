"""Controls that change the sentence alone: any model that reads texts can be asked under them.

    word-order           the words in another order
    negation             "not" before the expression: "not the red star"
    without-colour, ...  no word of that class (data_preprocess.language.kinds.descriptors)
    merged               all sentences of an object as one query, with commas between

    altered_text("the red star", "without-colour")    # "the star"; None: the control cannot be made

Deterministic: an order of words depends on the sentence only.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from data_preprocess.language.kinds import PLACE_WORDS, descriptors
from dghin.data.split import Expression

from .names import NEGATION, WITHOUT, WORD_ORDER

ARTICLES = frozenset("the a an this that's".split())
LINKING = frozenset("in on at to from of by with for and or that which who is are please".split())
SMALL = ARTICLES | LINKING  # words that describe nothing by themselves
PARTS = frozenset("side edge part area end half section corner row portion hand".split())
PICTURE = frozenset("picture pic image photo photograph screen frame".split())
NEGATED = frozenset("not no without except but isn't aren't non never neither nor".split())
DRAWS = 20  # orders that are tried, for a sentence whose words may repeat


def altered_text(sentence: str, control: str) -> str | None:
    """An expression under a control of OF_TEXTS but `merged`; None where it cannot be made."""
    if control == WORD_ORDER:
        return reordered(sentence)
    if control == NEGATION:
        return negated(sentence)
    return without(sentence, WITHOUT[control])


def reordered(sentence: str) -> str | None:
    """The words in another order; None with fewer than three words, or all the same."""
    words = sentence.split()
    if len(words) < 3:
        return None
    seed = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "big")
    random = np.random.default_rng(seed)
    for _ in range(DRAWS):
        order = [words[place] for place in random.permutation(len(words))]
        if order != words:
            return " ".join(order)
    return None


def negated(sentence: str) -> str | None:
    """ "not" before the expression, so that its object is what is not meant.

    None where the expression is negated already: a second "not" would take the first away.
    """
    if NEGATED & set(_plain(sentence.split())):
        return None
    return f"not {sentence}"


def without(sentence: str, kind: str) -> str | None:
    """The expression without its words of a class; None if it has none, or nothing but these.

    None, too, where something is negated: "not red" without "red" would say something else.
    With a place go the part and the picture that follow it ("left side of the picture"). Small
    words that would be left hanging go, too: "star on the left" becomes "star", "plus that is
    green" becomes "plus".
    """
    words = sentence.split()
    plain = _plain(words)
    left_out = [name == kind for name in descriptors(plain)]
    if not any(left_out) or NEGATED & set(plain):
        return None
    if kind == "place":
        _leave_out_parts(plain, left_out)
    for start in [i for i in range(len(words)) if left_out[i]]:
        _leave_out_hanging(plain, left_out, start)
    kept = [i for i in range(len(words)) if not left_out[i]]
    if not any(plain[i] not in SMALL for i in kept):
        return None
    return " ".join(words[i] for i in kept)


def _leave_out_parts(words: Sequence[str], left_out: list[bool]) -> None:
    """Mark "side" after "left", and "of the picture" after either."""
    for i in range(1, len(words)):
        if left_out[i - 1] and words[i] in PARTS:
            left_out[i] = True
    for i in range(1, len(words)):
        if not left_out[i - 1] or words[i] not in ("of", "in"):
            continue
        end = i + 1 + (i + 1 < len(words) and words[i + 1] in ARTICLES)
        if end < len(words) and words[end] in PICTURE:
            left_out[i : end + 1] = [True] * (end + 1 - i)


def _leave_out_hanging(words: Sequence[str], left_out: list[bool], start: int) -> None:
    """Mark the small words before a gap, where nothing follows it that they could belong to."""
    after = next((words[i] for i in range(start, len(words)) if not left_out[i]), "")
    if after and after not in LINKING:
        return
    for i in range(start - 1, -1, -1):
        if left_out[i]:
            continue
        if words[i] not in SMALL:
            return
        left_out[i] = True


def merged_text(sentences: Sequence[str]) -> str:
    """All sentences of an object as one query; one that is there twice is read once."""
    return ", ".join(dict.fromkeys(sentences))


def merged(expressions: Sequence[Expression]) -> dict[int, str]:
    """Of every object its first expression (position in the split) and all its sentences in one."""
    said: dict[tuple[str, str], list[int]] = {}
    for index, expression in enumerate(expressions):
        said.setdefault((expression.image, expression.segment_id), []).append(index)
    return {
        members[0]: merged_text([expressions[i].sentence for i in members])
        for members in said.values()
    }


def without_places(sentence: str) -> tuple[str, ...]:
    """The words that are left of an expression for someone who hears neither places nor small
    words: the same for "star on the left", "star on the right" and "star"."""
    words = _plain(sentence.split())
    kept = (word for word in words if word not in SMALL | PARTS | PICTURE)
    return tuple(word for word in kept if word.removesuffix("most") not in PLACE_WORDS)


def _plain(words: Sequence[str]) -> list[str]:
    """Words in lower case without the points and commas that follow them."""
    return [word.lower().strip(".,;:!?\"'()") for word in words]
