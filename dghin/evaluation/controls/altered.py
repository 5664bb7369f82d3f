"""The inputs of a split under a control: which expressions are scored, and what is read and shown.

alter(split, "shuffled", config).sentences          # N texts
alter(split, "without-colour", config).indices      # those that name a colour
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.language.features import Features
from dghin.data.split import PreparedSplit
from dghin.data.word_ids import word_ids
from dghin.run.config import Config

from .names import MERGED, SWAPS, check_control
from .others import blind, other_images, shuffled
from .swaps import exchange, swappable, swapped
from .texts import altered_text, merged


@dataclass(frozen=True)
class Altered:
    """What the network is given under a control instead of a split's own inputs.

    indices: (K,) expressions that are scored. features: language features of all N expressions.
    sentences: N, the words that are read. images: file name → the file shown in its place.
    """

    indices: np.ndarray
    features: Features
    sentences: list[str]
    images: dict[str, str]

    def image(self, name: str) -> str:
        """The image file that is shown where this one belongs."""
        return self.images.get(name, name)


def alter(dataset: PreparedSplit, control: str, config: Config, encode: bool = True) -> Altered:
    """The inputs of a split under a control; "" leaves them as they are.

    encode: whether the model reads language features, so that changed sentences are encoded again
    (needs spaCy for controls of the text); else only the texts are changed.
    """
    sentences = [expression.sentence for expression in dataset.expressions]
    plain = Altered(np.arange(len(dataset)), dataset.features, sentences, {})
    if control == "":
        return plain
    check_control(control)
    if control == "shuffled":
        other = shuffled(dataset)
        read = [sentences[index] for index in other]
        return replace(plain, features=dataset.features[other], sentences=read)
    if control == "blind":
        features = blind(dataset.features) if encode else dataset.features
        return replace(plain, features=features, sentences=[""] * len(sentences))
    if control == "other-image":
        return replace(plain, images=other_images(dataset))
    if control in SWAPS:
        return _swapped(plain, control, dataset, config, encode)
    changed = changed_sentences(dataset, control)
    return _reading(plain, changed, dataset, config, encode)


def changed_sentences(dataset: PreparedSplit, control: str) -> dict[int, str]:
    """The expressions that a control of the text changes (positions), and what is read instead."""
    if control == MERGED:
        return merged(dataset.expressions)
    found = {
        index: altered_text(expression.sentence, control)
        for index, expression in enumerate(dataset.expressions)
    }
    return {index: text for index, text in found.items() if text is not None}


def _swapped(
    plain: Altered, control: str, dataset: PreparedSplit, config: Config, encode: bool
) -> Altered:
    """A swap by word ids; where only texts are read and no ids are known, by the texts."""
    pairs = SWAPS[control]
    read = replace(plain, sentences=[exchange(text, pairs) for text in plain.sentences])
    try:
        ids = word_ids(dataset, config)
    except UserError:
        if encode:
            raise
        return replace(read, indices=swappable(plain.sentences, pairs))
    indices, features = swapped(plain.features, plain.sentences, pairs, ids)
    return replace(read, indices=indices, features=features)


def _reading(
    plain: Altered,
    changed: Mapping[int, str],
    dataset: PreparedSplit,
    config: Config,
    encode: bool,
) -> Altered:
    """The split with some sentences changed; only these are scored."""
    indices = np.array(sorted(changed), np.int64)
    read = [changed.get(index, sentence) for index, sentence in enumerate(plain.sentences)]
    features = plain.features
    if encode and len(indices):
        from .encoding import encoded

        features = encoded(dataset, [read[index] for index in indices], indices, config)
    return replace(plain, indices=indices, features=features, sentences=read)
