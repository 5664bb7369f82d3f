"""What benchmarks run on: random networks, batches and photos, the same every time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from data_preprocess.language.features import Features
from dghin.data.batches import language_batch, model_inputs
from dghin.data.loading import Batch
from dghin.model.dghin import DGHIN
from dghin.model.levels import POS_CLASSES
from dghin.run.config import Config
from dghin.training.losses import segmentation_loss


def random_network(config: Config) -> DGHIN:
    """The config's network with random weights whose logits differ from place to place."""
    torch.manual_seed(0)
    model = DGHIN(config.model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases, which begin as ones and zeros
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def random_features(config: Config, count: int) -> Features:
    """So many made-up expressions."""
    random = np.random.default_rng(0)
    shape = count, config.model.words
    heads = np.stack([random.integers(0, max(i, 1), count) for i in range(shape[1])], axis=1)
    one = np.ones(count, np.int16)
    return Features(
        random.integers(1000, config.model.vocabulary, shape).astype(np.int32),
        np.ones(shape, np.uint8),
        random.integers(1, POS_CLASSES, shape).astype(np.uint8),
        heads.astype(np.int8), one, one.astype(np.uint8), one,
    )  # fmt: skip


def random_image(config: Config, count: int = 1) -> Tensor:
    """Noise at the network's size: (B, 3, S, S) uint8."""
    size = config.model.image_size
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def random_batch(config: Config, count: int) -> Batch:
    """A training batch of noise: every expression with an image of its own."""
    words, adjacency = language_batch(random_features(config, count))
    size = config.model.image_size
    return {
        "image": random_image(config, count),
        "image_index": None,
        **words,
        "adjacency": adjacency,
        "mask": torch.randint(2, (count, size, size), dtype=torch.uint8),
        "index": torch.arange(count),
    }


def loss_of(network: nn.Module, batch: Batch, device: torch.device | str = "cpu") -> Tensor:
    """The training loss of a batch, on the network's device."""
    mask = batch["mask"].to(device, non_blocking=True)
    return segmentation_loss(network(**model_inputs(batch, device)), mask)["total"]


def step_of(network: nn.Module, batch: Batch, fused: bool = True) -> Callable[[], None]:
    """A step of training on always the same batch: forward, backward, AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=fused)

    def step() -> None:
        loss_of(network, batch).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def write_photos(folder: Path, count: int, size: tuple[int, int] = (640, 480)) -> None:
    """So many smooth random JPEGs (width, height), each with a mask: 0.jpg, 0.png, 1.jpg, ..."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    width, height = size
    for number in range(count):
        small = random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        photo = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
        photo.save(folder / f"{number}.jpg", quality=90)
        mask = np.zeros((height, width), np.uint8)
        top, left = random.integers(0, height // 2), random.integers(0, width // 2)
        mask[top : top + height // 3, left : left + width // 3] = 255
        Image.fromarray(mask).save(folder / f"{number}.png")
