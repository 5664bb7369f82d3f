"""Language features of changed sentences, made as the split's own were (needs spaCy)."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.language.features import KEY_FIELDS, Features
from dghin.data.split import PreparedSplit
from dghin.run.config import Config


def encoded(
    dataset: PreparedSplit, sentences: Sequence[str], indices: np.ndarray, config: Config
) -> Features:
    """The split's features, with those of `sentences` at `indices` (positions in the split).

    UserError where spaCy, the parser or the tokenizer is missing, and where they are other ones
    than the split was prepared with: another parser would change more than the sentence.
    """
    encoder = _encoder(config)
    _check_same(dataset, encoder)
    made = encoder.encode_many(list(sentences), progress=False)
    changed = {}
    for field in fields(Features):
        values = getattr(dataset.features, field.name).copy()
        values[indices] = getattr(made, field.name)
        changed[field.name] = values
    return Features(**changed)


def _encoder(config: Config):
    """The run's tokenizer and parser."""
    try:
        from data_preprocess.language.encoder import LanguageEncoder

        data = config.data
        return LanguageEncoder(
            data.tokenizer, data.parser, config.model.words, data.alignment, Path(data.root)
        )
    except ImportError as error:
        raise UserError(
            f"{error.name}: not installed, but controls that change the sentence parse it again. "
            "Install it (pip install spacy), or choose among: shuffled, blind, other-image, "
            "left-right, above-below."
        ) from error


def _check_same(dataset: PreparedSplit, encoder) -> None:
    made, here = dataset.manifest["language"], encoder.key()
    for name in KEY_FIELDS:
        if name in made and made[name] != here[name]:
            raise UserError(
                f"{dataset.dataset}: prepared with {name} '{made[name]}', but it is "
                f"'{here[name]}' here. Install that one, or prepare the data anew: "
                f"dghin data prepare {dataset.dataset} data=FOLDER."
            )
