"""The network beside the original's way of computing it, which the benchmarks measure against."""

import copy

import numpy as np
import pytest
import torch
from harness import peak_memory
from noise import loss_of, random_batch, random_network
from original import Original
from samples import OriginalSamples, noise_data

from dghin.data.batches import model_inputs
from dghin.model.dghin import DGHIN
from dghin.run.config import load_config
from dghin.training.device.recompute import recompute_cheap
from dghin.training.losses import segmentation_loss

SMALL = ["model.width=32", "model.text_layers=1", "model.text_dropout=0"]
SWIN = ["model.backbone=swin_tiny_patch4_window7_224", "model.drop_path=0.2"]


def network(*words: str) -> DGHIN:
    return random_network(load_config("demo", [*SMALL, *words]))


@pytest.mark.parametrize("words", [[], SWIN], ids=["efficientnet", "swin"])
def test_masks_losses_and_gradients_are_the_originals(words):
    """In float64, in training mode: every batch norm counts the batch as the original's does."""
    config = load_config("demo", [*SMALL, *words, "model.drop_path=0", "model.image_size=96"])
    ours = random_network(config).double()
    original = Original(ours).train()
    batch = random_batch(config, 3)
    results = []
    for model in (ours.train(), original):
        out = model(**model_inputs(batch))
        segmentation_loss(out, batch["mask"])["total"].backward()
        inner = model.model if model is original else model
        gradients = {name: p.grad for name, p in inner.named_parameters()}
        results.append((out, gradients, dict(inner.named_buffers())))
    (out, gradients, buffers), (expected, others, counted) = results
    torch.testing.assert_close(out.mask, expected.mask, atol=1e-9, rtol=1e-9)
    for one, other in zip(out.scales, expected.scales, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], atol=1e-7, rtol=1e-6, msg=name)
    for name, value in buffers.items():
        torch.testing.assert_close(value, counted[name], msg=name)


@pytest.mark.slow
def test_recomputing_is_equal_to_the_last_bit_and_keeps_less():
    """With stochastic depth: the second pass draws the same."""
    plain = network(*SWIN).train()
    saving = copy.deepcopy(plain)
    recompute_cheap(saving)
    config = load_config("demo", [*SMALL, *SWIN])
    batch = random_batch(config, 4)
    peaks, results = [], []
    for model in (plain, saving):

        def step(model=model):
            torch.manual_seed(0)
            loss_of(model, batch).backward()

        step()
        gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        results.append([*gradients, *(b.clone() for b in model.buffers())])
        peaks.append(peak_memory(step))
    assert all(
        one is other is None or torch.equal(one, other) for one, other in zip(*results, strict=True)
    )
    assert peaks[1] < 0.8 * peaks[0], peaks


def test_samples_are_the_originals(tmp_path):
    dataset = noise_data(tmp_path / "data", 5, (64, 48))
    original = OriginalSamples(dataset)
    for index in range(len(dataset)):
        ours, other = dataset[index], original[index]
        assert np.array_equal(ours["image"].numpy(), other["image"])
        assert np.array_equal(ours["mask"].numpy(), other["mask"])
        for name in ("word_ids", "attention_mask"):
            assert np.array_equal(ours[name], other[name])
        assert np.array_equal(ours["pos"], other["pos"].argmax(1))
        children, heads = other["adjacency"].nonzero()
        found = np.full(len(ours["heads"]), -1)
        found[children] = heads
        assert np.array_equal(ours["heads"], found)
