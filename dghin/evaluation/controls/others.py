"""Other inputs than a split's own: another image's expression, another photo, no words."""

from dataclasses import replace

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.language.features import Features
from dghin.data.split import PreparedSplit


def shuffled(dataset: PreparedSplit, seed: int = 0) -> np.ndarray:
    """For every expression another one, of another image: (N,) int."""
    images = np.array([expression.image for expression in dataset.expressions])
    if len(set(images)) < 2:
        raise UserError(f"{dataset.split}: one image only; 'shuffled' needs other images.")
    order = np.random.default_rng(seed).permutation(len(images))
    position = {index: place for place, index in enumerate(order)}
    other = np.empty(len(images), dtype=np.int64)
    for index in range(len(images)):
        step = position[index] + 1
        while images[order[step % len(order)]] == images[index]:
            step += 1
        other[index] = order[step % len(order)]
    return other


def other_images(dataset: PreparedSplit, seed: int = 0) -> dict[str, str]:
    """For every image of a split another one; each is shown once."""
    names = list(dict.fromkeys(expression.image for expression in dataset.expressions))
    if len(names) < 2:
        raise UserError(f"{dataset.split}: one image only; 'other-image' needs others.")
    order = np.random.default_rng(seed).permutation(len(names))
    return {names[a]: names[b] for a, b in zip(order, np.roll(order, 1), strict=True)}


def blind(features: Features) -> Features:
    """No words: [CLS] at the first position, [SEP] at the second, the rest padding; no edges."""
    used = features.attention_mask.sum(axis=1)
    ends = features.word_ids[np.arange(len(features)), used - 1]
    whole = used < features.word_ids.shape[1]  # a cut expression has lost its [SEP]
    if not whole.any():
        raise UserError("every expression is cut off: none shows what [SEP] is. Keep more words.")
    word_ids, mask = np.zeros_like(features.word_ids), np.zeros_like(features.attention_mask)
    word_ids[:, 0], word_ids[:, 1] = features.word_ids[:, 0], ends[whole][0]
    mask[:, :2] = 1
    return replace(
        features,
        word_ids=word_ids,
        attention_mask=mask,
        pos=np.zeros_like(features.pos),
        heads=np.full_like(features.heads, -1),
    )
