"""Word-visual attention: shapes, invariants, and where words come in."""

import torch

from dghin.interaction import WordVisualAttention


def test_shares_of_words_sum_to_one_in_every_patch():
    torch.manual_seed(0)
    module = WordVisualAttention(16).eval()
    shares = module.attention(torch.randn(3, 5, 16), torch.randn(3, 16, 4, 6))
    assert shares.shape == (3, 24, 5)
    torch.testing.assert_close(shares.sum(-1), torch.ones(3, 24))


def test_order_of_words_does_not_matter_but_the_words_do():
    torch.manual_seed(0)
    module = WordVisualAttention(16).eval()
    words, visual = torch.randn(2, 5, 16), torch.randn(2, 16, 4, 6)
    out = module(words, visual)
    assert out.shape == visual.shape
    torch.testing.assert_close(module(words.flip(1), visual), out, atol=1e-5, rtol=1e-4)
    assert (module(words.roll(1, 0), visual) - out).abs().max() > 1e-2


def test_a_batch_is_its_samples():
    torch.manual_seed(0)
    module = WordVisualAttention(16).eval()
    words, visual = torch.randn(3, 5, 16), torch.randn(3, 16, 4, 6)
    alone = torch.cat([module(words[i : i + 1], visual[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(module(words, visual), alone, atol=1e-6, rtol=1e-5)
