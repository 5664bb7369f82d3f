"""One pass over several expressions of an image equals a pass for each."""

import torch

from data_preprocess.language.features import Features
from dghin.data.dataset import open_split
from dghin.evaluation.segmenters.network import segment


def test_expressions_together_and_alone(tiny_model, tiny_config):
    dataset = open_split(tiny_config, "val")
    features: Features = dataset.features[0:3]
    image = tiny_model.encode_image(dataset.resized_image(dataset.expressions[0].image)[None])
    with torch.inference_mode():
        together = segment(tiny_model, image, features)
        alone = [segment(tiny_model, image, dataset.features[i : i + 1]) for i in range(3)]
    assert together.shape == (3, 2, 64, 64)
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)
