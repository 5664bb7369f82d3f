"""What the experiments of a GPU session share: their size, and the lines that they give."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from gpu_steps import COMPILERS, Bench
from harness import figure

from data_preprocess.base.errors import unknown_name
from dghin.run.config import load_config

NEEDS_GPU = "needs a GPU"
TINY = (
    "model.backbone=test_resnet", "model.image_size=64", "model.width=16", "model.vocabulary=2000",
    "model.text_width=32", "model.text_layers=1", "model.text_heads=2", "model.text_mlp_width=64",
    "weights.backbone=", "weights.text=", "train.threads=1", "train.workers=0", "train.batch=6",
    "train.batch_per_process=6", "train.iterations=4", "train.validate_every=4",
    "evaluate.workers=0",
)  # fmt: skip
SIZES = {  # config, words, batches, images that are scored
    "paper": ("refcoco", (), (6, 24, 48), 200),
    "tiny": ("demo", TINY, (2, 2, 3), 3),
}


class Line(NamedTuple):
    """One result: what was done, and its figures by name."""

    what: str
    figures: dict[str, Any]

    def text(self) -> str:
        """For people: "batch 6: images/s 21.0, peak GB 14.9"."""
        return f"{self.what}: " + ", ".join(f"{n} {shown(v)}" for n, v in self.figures.items())


Lines = Iterator[Line]


@dataclass(frozen=True)
class Session:
    """The paper's size, or a tiny one to try the script on a CPU."""

    bench: Bench
    batches: tuple[int, int, int]  # small, large, largest
    images: int  # that are scored
    workers: tuple[int, ...]  # numbers of a loader's processes
    words: tuple[str, ...]  # settings of every config

    @property
    def pair(self) -> tuple[int, ...]:
        """The small batch and the large one, once where they are the same."""
        return tuple(dict.fromkeys(self.batches[:2]))

    @property
    def device(self) -> torch.device:
        return self.bench.device

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"


def open_session(
    size: str, device: str, steps: int, compiler: str, workers: list[int], words: list[str]
) -> Session:
    """The session of a size's name. words: settings on top of the size's."""
    if size not in SIZES:
        raise unknown_name("size", size, SIZES)
    if compiler not in COMPILERS:
        raise unknown_name("compiler", compiler, COMPILERS)
    config, own, batches, images = SIZES[size]
    every = (*own, *words)
    bench = Bench(load_config(config, every), torch.device(device), steps, compiler)
    return Session(bench, batches, images, tuple(workers), every)


def shown(value: Any) -> str:
    """A figure for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return figure(value) if isinstance(value, int | float) else str(value)
