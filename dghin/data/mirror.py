"""Training samples and their mirror images: twice as many views of a small set of photos.

    mirror = Mirrored(train_set, word_ids(train_set, config))
    mirror[5], mirror[5 + len(train_set)]       # the sample, and the same photo mirrored

The words follow the photo: left and right are exchanged, by the ids of these words, so that neither
tokenizer nor parser is needed. Part of speech and edges stay as they are: the two words stand in
for each other. Expressions for which it is not clear what is true of the mirrored photo are not
mirrored (`sides`), nor are those whose pieces would be others.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from data_preprocess.language.features import Features, concatenate
from dghin.run.config import Config

from .batches import language_of
from .dataset import PreparedDataset
from .sides import mirrored, sides_named
from .split import Expression
from .word_ids import word_ids


class Mirrored:
    """N samples and, numbered N..2N-1, the same ones mirrored.

    features: of all 2N. possible: (N,), whether a sample has a mirror image; the others' are never
    to be asked for.
    """

    def __init__(self, dataset: PreparedDataset, ids: dict[str, int]):
        self.dataset, self.count = dataset, len(dataset)
        self.expressions: list[Expression] = dataset.expressions
        own = dataset.features
        self.possible = mirrorable(own, [e.sentence for e in self.expressions], ids)
        self.features = concatenate([own, exchanged(own, ids)])
        self.sentence_rows: np.ndarray | None = None  # of kept encoded sentences (frozen.py)

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """The sample's name for messages, and whether it was mirrored."""
        return self.dataset.name(index % self.count) + " mirrored" * (index >= self.count)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A training sample, as PreparedDataset's."""
        sample = self.dataset[index % self.count]
        if self.sentence_rows is not None:
            sample["sentence_row"] = self.sentence_rows[index]
        if index < self.count:
            return sample
        maps, name = self.dataset.maps, sample["image_name"]
        image = maps.of(name, mirrored=True) if maps else sample["image"].flip(-1).contiguous()
        views = {"image": image, "mask": sample["mask"].flip(-1).contiguous()}
        # another name: in a batch, expressions share an image by its name
        views |= {"image_name": f"{name} mirrored", "index": index}
        return sample | views | language_of(self.features, index)


def with_mirror_images(dataset: PreparedDataset, config: Config) -> Mirrored:
    """The training samples of a run that mirrors photos (train.flip)."""
    return Mirrored(dataset, word_ids(dataset, config, "train without it: train.flip=0"))


def exchanged(features: Features, ids: dict[str, int]) -> Features:
    """Features with the word ids of left and right exchanged, also as the first piece of a longer
    word ("left" and "##most")."""
    left, right = features.word_ids == ids["left"], features.word_ids == ids["right"]
    word_ids = features.word_ids.copy()
    word_ids[left], word_ids[right] = ids["right"], ids["left"]
    return replace(features, word_ids=word_ids)


def mirrorable(features: Features, sentences: list[str], ids: dict[str, int]) -> np.ndarray:
    """Which expressions have a mirror image that is certainly true, piece by piece: (N,) bool.

    As many pieces must be left or right as words are: not so where a vocabulary has a longer word
    as one piece, and where words were cut off at the end.
    """
    pieces = np.isin(features.word_ids, (ids["left"], ids["right"])).sum(axis=1)
    made = [mirrored(sentence) for sentence in sentences]
    words = [sides_named(sentence) for sentence in sentences]
    return np.array([m is not None for m in made], bool) & (pieces == np.array(words, int))
