"""The two methods that a model needs to be scored and examined here.

    look(photo)                  a PIL image, RGB: once for all of its expressions; → anything
    answer(seen, expressions)    what `look` returned, and a list of texts; → an answer for each

    dghin evaluate run=mine model=my_module:Mine config=refcoco data.root=DATA

An answer is an array (a mask, probabilities or logits: see dghin.evaluation.answers) or an Answer,
which can also say that nothing is meant.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image


class Segmenter(Protocol):
    """A model that marks what a phrase means. It may also have these two attributes:

    facts: a mapping of name, backbone, image_size, training_data, licence, link, for the report.
    digest: a text that changes with its weights, for answers that are kept over an interruption.
    """

    def look(self, photo: Image.Image) -> Any:
        """What the model makes of a photo before it reads an expression: anything it likes."""

    def answer(self, seen: Any, expressions: Sequence[str]) -> Sequence[Any]:
        """An answer for each of the expressions about the photo that `look` saw.

        "" is an expression without words (the control `blind`); it needs an answer, too.
        """
