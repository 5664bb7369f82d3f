"""The two encoders of a small config: sizes, and what they read."""

import torch

from dghin.model.encoders import Context, LinearNormPReLU, VisualPyramid, text_encoder


def test_the_pyramid_has_four_maps_each_half_the_one_before(tiny_config):
    pyramid = VisualPyramid(tiny_config.model).eval()
    maps = pyramid(torch.randn(1, 3, 64, 64))
    assert [m.shape[-1] for m in maps] == [16, 8, 4, 2]
    assert [m.shape[1] for m in maps] == list(pyramid.channels)


def test_the_text_encoder_does_not_read_behind_the_mask(tiny_config):
    encoder = text_encoder(tiny_config.model).eval()
    ids = torch.randint(1000, 2000, (1, 6))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    other = ids.clone()
    other[0, 4:] = 5
    seen = [
        encoder(input_ids=x, attention_mask=mask).last_hidden_state[:, :4] for x in (ids, other)
    ]
    assert torch.allclose(*seen, atol=1e-5)


def test_context_and_projection_have_one_vector_an_expression():
    words = torch.randn(3, 5, 8)
    assert Context(8)(words).shape[0] == 3
    assert LinearNormPReLU(8, 4).eval()(words).shape == (3, 5, 4)
