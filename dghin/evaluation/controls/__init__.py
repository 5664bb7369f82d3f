"""Controls: the same model under altered inputs, to see how far its answer follows the words.

    shuffled      another image's expression instead of its own
    blind         no expression: [CLS] and [SEP] and padding only
    other-image   another photo, with the expression (and the true mask) of this one
    left-right    left and right swapped in the expression
    above-below   above and below swapped, so are top and bottom, upper and lower

A model that reads its words falls under the first, the second and the last two, which a model
that marks whatever stands out does not; one that sees its photo falls under the third. The last
two score those expressions only that hold such a word.

The exam (`dghin exam`) has these and more, which change the sentence (texts.py):

    word-order                            the words in another order
    negation                              "not" before the expression
    without-colour, -size, -place, -superlative, -ordinal    one kind of word left out
    merged                                all sentences of an object as one query
"""

from .altered import Altered, alter
from .names import (
    CONTROLS,
    EXAM,
    MERGED,
    OF_TEXTS,
    SWAPS,
    WITHOUT,
    check_control,
    needs_other_images,
)
from .others import blind, other_images, shuffled
from .swaps import exchange, swapped

__all__ = [
    "CONTROLS", "EXAM", "MERGED", "OF_TEXTS", "SWAPS", "WITHOUT",
    "Altered", "alter", "blind", "check_control", "exchange", "needs_other_images",
    "other_images", "shuffled", "swapped",
]  # fmt: skip
