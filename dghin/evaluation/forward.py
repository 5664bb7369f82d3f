"""Expressions about one image → logits: the one path of evaluation and predictor."""

from typing import Any

from torch import Tensor

from dghin.data.batches import language_batch
from dghin.model.dghin import DGHIN, EncodedImage


def segment(model: DGHIN, image: EncodedImage, features: Any) -> Tensor:
    """The logits (E, 2, S, S) of E expressions about one encoded image, in one pass.

    image: `model.encode_image` of one image. features: word_ids, attention_mask, pos and heads,
    each (E, L), as data_preprocess.language.features.Features has them.
    """
    device = image.shallow.device
    words, adjacency = language_batch(features, device)
    sentence = model.encode_words(**words)
    return model.interact(image, sentence, adjacency, with_scales=False).mask
