"""The learning rate of every iteration."""

import numpy as np

from data_preprocess.base.errors import UserError

START = 1e-10  # where the warm-up begins


def derived_iterations(arguments: float, batch_per_gpu: int, gpus: int) -> int:
    """The original counts iterations for 8 images a step: its arguments / ((batch / 8) · GPUs)."""
    return int(arguments / (batch_per_gpu / 8 * gpus))


def learning_rates(
    train_size: int,
    batch_per_gpu: int = 6,
    gpus: int = 4,
    iterations: int = 320_000,
    warmup: int = 40_000,
    peak: float = 3e-5,
    final: float = 3e-7,
    power: float = 2.0,
) -> np.ndarray:
    """The original's learning rates: (iterations of the run,) float64.

    `iterations` and `warmup` are the original's arguments, scaled to the batch as it does.
    """
    total = derived_iterations(iterations, batch_per_gpu, gpus)
    warm = derived_iterations(warmup, batch_per_gpu, gpus)
    epoch_size = train_size // (batch_per_gpu * gpus)
    if epoch_size < 1:
        raise UserError(
            f"{train_size} training expressions make no batch of {batch_per_gpu} on {gpus} "
            "processes. Use a smaller train.batch."
        )
    return epoch_learning_rates(total, warm, epoch_size, peak, final, power)


def epoch_learning_rates(
    total: int, warm: int, epoch_size: int, peak: float, final: float, power: float
) -> np.ndarray:
    """A polynomial that steps once an epoch of `epoch_size` iterations: (total,) float64.

    Linear warm-up over `warm` iterations from 1e-10 to the peak; at iteration `warm` the
    polynomial already stands at its first step. Its length is ceil((total - warm) / epoch size)
    + 1.
    """
    steps = np.arange(total)
    warming = START + (peak - START) * steps / max(warm - 1, 1)
    length = -(-(total - warm) // epoch_size) + 1
    done = np.minimum(1 + steps // epoch_size - warm // epoch_size, length)
    decaying = (peak - final) * (1 - done / length) ** power + final
    return np.where(steps < warm, warming, decaying)


def polynomial_learning_rates(
    total: int, warm: int = 0, peak: float = 3e-5, final: float = 0.0, power: float = 0.9
) -> np.ndarray:
    """A polynomial that steps every iteration, as LAVT's: (total,) float64.

    final + (peak - final) · (1 - i / n)^power after a linear warm-up over `warm` iterations.
    """
    steps = np.arange(total)
    warming = peak * (steps + 1) / max(warm, 1)
    progress = np.clip((steps - warm) / max(total - warm, 1), 0, 1)
    return np.where(steps < warm, warming, final + (peak - final) * (1 - progress) ** power)
