"""Word-visual attention: shapes, invariants, and where words come in."""

import torch
from original import word_visual_attention

from dghin.model.word_attention import WordVisualAttention


def met(module, words, visual):
    return module(words, *module.look(visual))


def test_it_is_the_plain_formula_with_its_gradients():
    """Float64; every norm with weights of its own, so that none of them is idle."""
    torch.manual_seed(0)
    module = WordVisualAttention(16).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    words, visual = torch.randn(3, 5, 16).double(), torch.randn(3, 16, 4, 6).double()
    results = []
    for form in (met, word_visual_attention):
        inputs = words.clone().requires_grad_(), visual.clone().requires_grad_()
        module.zero_grad()
        out = form(module, *inputs)
        out.square().sum().backward()
        gradients = [x.grad for x in (*inputs, *module.parameters())]
        results.append([out, *(gradient.clone() for gradient in gradients)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)


def test_memory_layout_does_not_matter():
    torch.manual_seed(0)
    module = WordVisualAttention(16).eval()
    words, visual = torch.randn(2, 5, 16), torch.randn(2, 16, 4, 6)
    last = visual.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(met(module, words, last), met(module, words, visual))


def test_shares_of_words_sum_to_one_in_every_patch():
    torch.manual_seed(0)
    module = WordVisualAttention(16).eval()
    words, visual = torch.randn(3, 5, 16), torch.randn(3, 16, 4, 6)
    shares = module.attention(words, module.look(visual).query)
    assert shares.shape == (3, 5, 24)
    torch.testing.assert_close(shares.sum(1), torch.ones(3, 24))


def test_order_of_words_does_not_matter_but_the_words_do():
    torch.manual_seed(0)
    module = WordVisualAttention(16).eval()
    words, visual = torch.randn(2, 5, 16), torch.randn(2, 16, 4, 6)
    out = met(module, words, visual)
    assert out.shape == visual.shape
    torch.testing.assert_close(met(module, words.flip(1), visual), out, atol=1e-5, rtol=1e-4)
    assert (met(module, words.roll(1, 0), visual) - out).abs().max() > 1e-2


def test_a_batch_is_its_samples():
    torch.manual_seed(0)
    module = WordVisualAttention(16).eval()
    words, visual = torch.randn(3, 5, 16), torch.randn(3, 16, 4, 6)
    alone = torch.cat([met(module, words[i : i + 1], visual[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(met(module, words, visual), alone, atol=1e-6, rtol=1e-5)
