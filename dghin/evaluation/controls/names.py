"""The controls by name: the five that `control=all` means, and those of the exam.

CONTROLS    shuffled, blind, other-image, left-right, above-below
EXAM        these and the controls of the text (texts.py): word-order, negation, without-colour,
            without-size, without-place, without-superlative, without-ordinal, merged
"""

from data_preprocess.base.errors import unknown_name
from data_preprocess.language.kinds import DESCRIPTORS

SWAPS = {
    "left-right": (("left", "right"),),
    "above-below": (("above", "below"), ("top", "bottom"), ("upper", "lower")),
}
CONTROLS = ("shuffled", "blind", "other-image", *SWAPS)
WORD_ORDER, NEGATION, MERGED = "word-order", "negation", "merged"
WITHOUT = {f"without-{name}": name for name in DESCRIPTORS}  # control → what is left out
OF_TEXTS = (WORD_ORDER, NEGATION, *WITHOUT, MERGED)
EXAM = (*CONTROLS, *OF_TEXTS)


def check_control(control: str) -> str:
    """The control's name, if it is one."""
    if control not in EXAM:
        raise unknown_name("control", control, EXAM)
    return control


def needs_other_images(control: str) -> bool:
    """Whether a control cannot be scored on one image alone."""
    return control in ("shuffled", "other-image")
