"""What a model answers about one expression, in whichever of four forms it has it.

    as_answer(mask, photo_size)          # the form is found by shape and values, and checked

mask         (H, W), foreground or not, at the photo's own size         strict
small        (S, S), foreground or not, at the network's size           resized, paper
probability  (h, w), the referent's probability; at any size            all, where it is square
logits       (2, S, S), of background and referent                      all

The form decides which protocols can be computed (from probabilities, `strict` to a pixel where two
values are all but equal): from a mask at the photo's size nobody can say
what another way of enlarging would have given. NumPy arrays and torch tensors are taken alike.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_preprocess.base.errors import UserError, unknown_name

PROTOCOLS = ("strict", "paper", "resized", "threshold=0.35")  # of every row, and in this order
THRESHOLD = "threshold="  # before its number, in a protocol's name
AT_ONCE = 16  # expressions of one image that are answered together
AT_ANY_SIZE = ("strict", "threshold=0.35")  # what can be said without a square of the network's
OF_FORM = {
    "mask": ("strict",),
    "small": ("paper", "resized"),
    "probability": PROTOCOLS,
    "logits": PROTOCOLS,
}


def check_protocol(protocol: str) -> str:
    """The protocol's name, if it is one."""
    if protocol not in PROTOCOLS and not _is_threshold(protocol):
        raise unknown_name("protocol", protocol, PROTOCOLS)
    return protocol


def _is_threshold(protocol: str) -> bool:
    """Whether it reads threshold=NUMBER, with the number in (0, 1)."""
    name, _, number = protocol.partition("=")
    try:
        return name == "threshold" and 0 < float(number) < 1
    except ValueError:
        return False


@dataclass(frozen=True)
class Answer:
    """An answer about one expression.

    values: an array in the shape that its form has (see the module). no_target: whether the model
    itself says that nothing is meant; None where it has no such output, so that a mask of fewer
    than 50 pixels says so.
    """

    values: Any
    form: str
    no_target: bool | None = None

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that can be computed from it, in the order of PROTOCOLS."""
        if self.form == "probability" and self.values.shape[0] != self.values.shape[1]:
            return AT_ANY_SIZE
        return OF_FORM[self.form]


def as_answer(given: Any, size: tuple[int, int], where: str = "an answer") -> Answer:
    """An array as an Answer about a photo of `size` (height, width); an Answer is checked.

    Foreground or not may be bool, or 0 and 1, or 0 and 255. where: names it in messages.
    UserError for a wrong shape, for a third value in a mask, and for values that are not finite.
    """
    no_target = given.no_target if isinstance(given, Answer) else None
    values = given.values if isinstance(given, Answer) else given
    form = given.form if isinstance(given, Answer) else None
    if not hasattr(values, "shape"):
        values = np.asarray(values)
    shape = tuple(values.shape)
    if form is None:
        form = _form(values, shape, size, where)
    if form in ("mask", "small"):
        values = _two_values(values, where)
    elif not _is_finite(values):
        raise UserError(
            f"{where}: {form} with values that are not finite (NaN or infinite). "
            "Look where the model divides by zero or overflows; score finite values."
        )
    if form == "mask" and shape != tuple(size):
        raise UserError(
            f"{where}: a mask of {_shown(shape)}, but its photo has {_shown(size)} (height × "
            "width). Save masks at the photo's size, or all of them at the network's square size."
        )
    if form == "small" and (len(shape) != 2 or shape[0] != shape[1]):
        raise UserError(f"{where}: a mask of {_shown(shape)} is no square of the network's size.")
    if form == "probability" and (values.min() < 0 or values.max() > 1):
        raise UserError(
            f"{where}: values from {float(values.min()):.3g} to {float(values.max()):.3g} are no "
            "probabilities (0 to 1). Apply the sigmoid to one-channel logits, or give logits "
            "(2, S, S); divide what goes to 255 by 255."
        )
    return Answer(values, form, no_target)


def _form(values: Any, shape: tuple[int, ...], size: tuple[int, int], where: str) -> str:
    """The form that an array's shape and type tell."""
    if len(shape) == 3 and shape[0] == 2 and shape[1] == shape[2]:
        return "logits"
    if len(shape) != 2 or 0 in shape:
        raise UserError(
            f"{where}: an array of shape {shape}. Give a mask or probabilities (H, W), or logits "
            "(2, S, S) of background and referent."
        )
    if "float" in str(values.dtype):
        return "probability"
    return "small" if shape != tuple(size) and shape[0] == shape[1] else "mask"


def _two_values(values: Any, where: str) -> Any:
    """A mask as bool; a third value is an error, for which one would be the border?"""
    if "bool" in str(values.dtype):
        return values
    top = values.max()
    if bool(((values != 0) & (values != top)).any()) or int(top) not in (0, 1, 255):
        found = np.unique(np.asarray(values))
        shown = ", ".join(map(str, found[:4].tolist())) + (", ..." if len(found) > 4 else "")
        raise UserError(
            f"{where}: a mask with the values {shown}. Save 0 for background and 255 (or 1) for "
            "the referent, without smoothing and not as JPEG."
        )
    return values != 0


def _is_finite(values: Any) -> bool:
    if isinstance(values, np.ndarray):
        return bool(np.isfinite(values).all())
    return bool(values.isfinite().all())


def _shown(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


@dataclass(frozen=True)
class Counts:
    """An answer of which only its score is known, under one protocol, in pixels."""

    intersection: int
    union: int
    protocol: str = "resized"
    no_target: bool | None = None
