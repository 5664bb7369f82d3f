"""Settings that are `auto`: what they come to on this device, and why.

    settings, reasons = choose(config.train, place.device, share)
    settings.precision, reasons["precision"]     # "bfloat16", "as fast as this GPU has it"

On a CPU all are what they were before there was `auto`: no number of such a run changes. A
checkpoint keeps the choices, and a resumed run takes them from there, whatever the device is.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from dghin.run.config import Config, TrainConfig

AUTO = "auto"
NAMES = ("precision", "compile", "channels_last", "recompute", "batch_per_process")
ON_CPU: Mapping[str, Any] = {
    "precision": "float32", "compile": False, "channels_last": False, "recompute": True,
    "batch_per_process": 6,
}  # fmt: skip
GIB = 2**30
# expressions that go through the paper's network at once, by the card's memory: a piece of 24 takes
# 26 GB in bfloat16 with nothing recomputed, 12 take 15, 6 take 9 (docs/gpu.md)
PIECES = ((30 * GIB, 24), (20 * GIB, 12), (0, 6))
ROOMY = 14 * GIB  # with less, activations are computed twice even at the smallest piece


def choose(
    settings: TrainConfig, device: torch.device, kept: Mapping[str, Any] = {}
) -> tuple[TrainConfig, dict[str, str]]:
    """The settings without `auto`, and the reason of each choice.

    kept: the choices of the checkpoint that the run goes on from. batch_per_process is the most to
    try: `largest_piece` finds what fits.
    """
    open_names = [name for name in NAMES if is_open(getattr(settings, name))]
    wanted = _on_gpu(settings, device) if device.type == "cuda" else _on_cpu()
    chosen: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name in open_names:
        chosen[name], reasons[name] = wanted[name]
        if name in kept:
            chosen[name], reasons[name] = kept[name], "as the checkpoint has it"
    return dataclasses.replace(settings, **chosen), reasons


def without_choice(config: Config) -> Config:
    """A config whose open settings are what they were before there was `auto`."""
    train = config.train
    open_names = [name for name in NAMES if is_open(getattr(train, name))]
    closed = dataclasses.replace(train, **{name: ON_CPU[name] for name in open_names})
    return dataclasses.replace(config, train=closed)


def is_open(value: Any) -> bool:
    """Whether a setting is left to be chosen: auto, or a number that is 0."""
    return value == AUTO or (type(value) is int and value == 0)


def largest_piece(most: int, own: int, fits: Callable[[int], bool]) -> int:
    """The largest piece of at most `most` expressions that divides a process's share `own` and
    fits; the smallest, where none does (the training then says what is missing)."""
    sizes = [size for size in range(min(most, own), 0, -1) if own % size == 0]
    return next((size for size in sizes if fits(size)), sizes[-1])


def _on_cpu() -> dict[str, tuple[Any, str]]:
    return {name: (value, "a CPU") for name, value in ON_CPU.items()}


def _on_gpu(settings: TrainConfig, device: torch.device) -> dict[str, tuple[Any, str]]:
    properties = torch.cuda.get_device_properties(device)
    memory, card = properties.total_memory, properties.name
    piece = next(count for least, count in PIECES if memory >= least)
    if settings.precision == "float32":
        piece = max(1, piece // 2)
    shown = f"{card} has {memory / GIB:.0f} GiB"
    exact = settings.deterministic or settings.checkpoint_activations
    compiling = "it draws other random numbers, or chooses what is computed again"
    return {
        "precision": ("bfloat16", f"{card}: products in bfloat16, weights in float32"),
        "compile": (not exact, compiling if exact else "twice as fast, after minutes"),
        "channels_last": (True, "convolutions are faster so"),
        "recompute": (memory < ROOMY, f"{shown}: activations {'do not ' * (memory < ROOMY)}fit"),
        "batch_per_process": (piece, f"{shown}; batch norms count over as many as fit"),
    }
