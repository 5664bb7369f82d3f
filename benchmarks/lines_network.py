"""Lines of the speed table: the whole network, evaluating and training."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import MIB, Result, has_bfloat16, peak_memory, take_turns
from noise import random_batch, random_features, random_image, random_network, step_of
from original import Original
from torch import Tensor

from data_preprocess.language.features import Features
from dghin.data.batches import language_batch
from dghin.data.dataset import PreparedDataset, open_split
from dghin.evaluation.evaluate import evaluate_split
from dghin.evaluation.metrics import metrics_from_rows
from dghin.evaluation.segmenters.network import segment, with_short_weights
from dghin.model.dghin import DGHIN
from dghin.run.config import Config, load_config
from dghin.run.precision import autocast
from dghin.training.device.recompute import recompute_cheap

COUNTS = {1: 1.15, 3: 1.4, 7: 1.5}  # expressions an image, and how much faster that has to be
CPU = torch.device("cpu")
SMALL = 96  # pixels


def evaluation(config: Config, turns: int, model: str) -> list[Result]:
    """One image with 1, 3, 7 expressions: image and words to masks at the network's size."""
    network = random_network(config).eval()
    original, image = Original(network).eval(), random_image(config)
    results = []
    for count, target in COUNTS.items():
        features = random_features(config, count)
        ways = one_by_one(original, image, features), together(network, image, features)
        same = (ways[0]() == ways[1]()).float().mean().item()
        seconds = take_turns(*ways, turns, warm=0)
        seconds = [[x / count for x in way] for way in seconds]
        what = f"evaluation, {count} expression{'s' * (count > 1)} an image"
        note = f"equal pixels {same:.3%}"
        results.append(Result(what, "s", *seconds, "more", target, note))
    return results


def one_by_one(original: Original, image: Tensor, features: Features) -> Callable[[], Tensor]:
    """The original's evaluation: a step for every expression, with its image."""

    @torch.inference_mode()
    def masks():
        found = []
        for index in range(len(features)):
            words, adjacency = language_batch(features[index : index + 1])
            found.append(original(image, **words, adjacency=adjacency).mask.argmax(1))
        return torch.cat(found)

    return masks


def together(network: DGHIN, image: Tensor, features: Features) -> Callable[[], Tensor]:
    """Ours: `dghin.evaluation.segmenters.network`, as evaluation and predictor use it."""

    @torch.inference_mode()
    def masks():
        return segment(network, network.encode_image(image), features).argmax(1)

    return masks


def bfloat16(config: Config, turns: int, model: str) -> list[Result]:
    """Ours in bfloat16, beside the original and ours in float32; with a trained network, what that
    costs.

    A CPU without bfloat16 instructions takes minutes for what it does in seconds in float32: there
    the image is a small one.
    """
    note = agreement(model) if model else "masks: name a trained network with model="
    if not has_bfloat16():
        size = min(config.model.image_size, SMALL)
        config = dataclasses.replace(
            config, model=dataclasses.replace(config.model, image_size=size)
        )
        note += f"; at {size}, as this CPU has no bfloat16 instructions"
    network = random_network(config).eval()
    original, image = Original(network).eval(), random_image(config)
    full, half = one_by_one(original, image, random_features(config, 1)), in_bfloat16(network)
    seconds = take_turns(full, lambda: half(image, random_features(config, 1)).argmax(1), turns)
    results = [Result("evaluation in bfloat16", "s", *seconds, "more", 2.0, note)]
    for count in (1, 7):
        results.append(beside_float32(network, image, random_features(config, count), turns))
    return results


def beside_float32(network: DGHIN, image: Tensor, features: Features, turns: int) -> Result:
    """Ours in float32 beside ours in bfloat16: image and words to logits."""
    count, half = len(features), in_bfloat16(network)

    @torch.inference_mode()
    def full():
        return segment(network, network.encode_image(image), features)

    exact, short = full(), half(image, features).float()
    same = (exact.argmax(1) == short.argmax(1)).float().mean().item()
    apart = (exact - short).abs().max().item() / exact.std().item()
    seconds = take_turns(full, lambda: half(image, features), turns)
    seconds = [[x / count for x in way] for way in seconds]
    what = f"… beside ours in float32, {count} expression{'s' * (count > 1)} an image"
    note = f"equal pixels {same:.3%}; largest difference {apart:.2f} of the logits' deviation"
    return Result(what, "s", *seconds, "more", 1.5, note)


def in_bfloat16(network: DGHIN) -> Callable[[Tensor, Features], Tensor]:
    """(image, features) to logits as `Network` computes them, whose weights are cast once."""
    short = with_short_weights(network, torch.bfloat16)

    @torch.inference_mode()
    def logits(image: Tensor, features: Features) -> Tensor:
        with autocast("bfloat16", CPU):
            return segment(short, short.encode_image(image), features)

    return logits


def agreement(folder: str) -> str:
    """Masks and scores of a trained run's val in bfloat16, held against float32."""
    run = Path(folder).parent.parent
    config = load_config(str(run / "config.yaml"))
    network = DGHIN.from_pretrained(folder).eval()
    dataset = open_split(config, config.data.val_split)
    half = dataclasses.replace(config.evaluate, precision="bfloat16")
    rows = [
        evaluate_split(network, dataset, dataclasses.replace(config, evaluate=evaluate))
        for evaluate in (config.evaluate, half)
    ]
    scores = [100 * metrics_from_rows(frame, "strict")["oiou"] for frame in rows]
    same = equal_pixels(network, dataset)
    return (
        f"{config.name} {dataset.split}: equal pixels {same:.3%}, oIoU {scores[0]:.2f} in float32, "
        f"{scores[1]:.2f} in bfloat16"
    )


@torch.inference_mode()
def equal_pixels(network: DGHIN, dataset: PreparedDataset, limit: int = 400) -> float:
    """The share of a split's mask pixels, at the network's size, that are the same in both."""
    same, half = [], in_bfloat16(network)
    for index in range(min(limit, len(dataset))):
        image = dataset.inputs(index)["image"][None]
        features = dataset.features[np.array([index])]
        masks = segment(network, network.encode_image(image), features).argmax(1)
        same.append((masks == half(image, features).argmax(1)).float().mean().item())
    return float(np.mean(same))


def training_step(config: Config, turns: int, model: str) -> list[Result]:
    """Forward and backward pass of two expressions and the step of AdamW."""
    batch, ours = random_batch(config, 2), random_network(config).train()
    baseline = Original(ours).train()
    recompute_cheap(ours)
    steps = step_of(baseline, batch, fused=False), step_of(ours, batch)
    seconds = take_turns(*steps, turns)
    peaks = [[peak_memory(step) / MIB] for step in steps]
    state = 3 * sum(p.numel() * p.element_size() for p in ours.parameters()) / MIB
    whole = [[value + state for value in peak] for peak in peaks]
    note = f"weights and AdamW's state, {state:,.0f} MiB, are in both; without: "
    note += f"{peaks[1][0] / peaks[0][0]:.2f}"
    return [
        Result("training step, batch 2: time", "s", *seconds, "more", 1.25),
        Result("training step, batch 2: memory", "MiB", *whole, "less", 0.75, note),
    ]
