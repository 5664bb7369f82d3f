"""The loss equals torch's weighted cross entropy on the mask and on the coarser masks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dghin.model.dghin import Output
from dghin.training.losses import AUXILIARY_WEIGHT, CLASS_WEIGHTS, segmentation_loss


def test_the_parts_are_cross_entropies_and_add_up():
    torch.manual_seed(0)
    mask = torch.randint(2, (2, 32, 32))
    out = Output(torch.randn(2, 2, 32, 32), tuple(torch.randn(2, 2, s, s) for s in (8, 4, 2, 1)))
    found = segmentation_loss(out, mask)
    weights = torch.tensor(CLASS_WEIGHTS)
    assert torch.allclose(found["seg"], F.cross_entropy(out.mask, mask, weights), atol=1e-6)
    for i, logits in enumerate(out.scales):
        step = 32 // logits.shape[-1]
        plain = F.cross_entropy(logits, mask[:, ::step, ::step], weights)
        assert torch.allclose(found[f"scale{i}"], AUXILIARY_WEIGHT * plain, atol=1e-6)
    parts = [found[name] for name in ("seg", "scale0", "scale1", "scale2", "scale3")]
    assert torch.allclose(found["total"], sum(parts), atol=1e-6)


def test_without_auxiliary_heads_the_mask_is_all():
    out = Output(torch.zeros(1, 2, 4, 4), ())
    found = segmentation_loss(out, torch.ones(1, 4, 4))
    assert found.keys() == {"seg", "total"} and found["total"] == found["seg"]


def test_losses_weigh_classes_and_scales():
    logits = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 8, 8, dtype=torch.uint8)
    mask[:, ::2] = 1
    scales = tuple(torch.zeros(2, 2, n, n) for n in (2, 1, 1, 1))
    losses = segmentation_loss(Output(logits, scales), mask)
    weights = torch.where(mask == 1, 1.1, 0.9)
    likelihood = logits.log_softmax(1).gather(1, mask[:, None].long())[:, 0]
    expected = -(weights * likelihood).sum() / weights.sum()
    torch.testing.assert_close(losses["seg"], expected)
    assert losses["scale0"].item() == pytest.approx(0.5 * np.log(2))
    total = sum(v for k, v in losses.items() if k != "total")
    torch.testing.assert_close(losses["total"], total)


def test_a_referents_pixels_may_weigh_more():
    """Half of the pixels, all equally wrong: the share of the loss is the share of the weight."""
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 1, :, :2], mask = 8.0, torch.zeros(1, 4, 4)
    mask[:, :, 2:] = 1  # background in the left half is missed, the referent in the right half not
    out = Output(logits, ())
    usual, heavy = (segmentation_loss(out, mask, (0.9, w))["seg"] for w in (1.1, 8.1))
    assert segmentation_loss(out, mask)["seg"] == usual > heavy
    background = F.cross_entropy(logits[..., :2], mask[..., :2].long())
    referent = F.cross_entropy(logits[..., 2:], mask[..., 2:].long())
    torch.testing.assert_close(heavy, 0.1 * background + 0.9 * referent)
