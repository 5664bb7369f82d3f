"""What the experiments of a GPU session share: their size, and the lines that they give."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from gpu_steps import Bench
from harness import figure

from data_preprocess.base.errors import UserError, unknown_name
from dghin.run.config import load_config

NEEDS_GPU = "needs a GPU"
TINY = (
    "model.backbone=test_resnet", "model.image_size=64", "model.width=16", "model.vocabulary=2000",
    "model.text_width=32", "model.text_layers=1", "model.text_heads=2", "model.text_mlp_width=64",
    "weights.backbone=", "weights.text=", "train.threads=1", "train.workers=0", "train.batch=6",
    "train.batch_per_process=6", "train.iterations=2", "train.validate_every=2",
    "evaluate.workers=0",
)  # fmt: skip
SIZES = {  # config, words, batches, images that are scored
    "paper": ("refcoco", (), (6, 24, 48), 200),
    "tiny": ("demo", TINY, (2, 2, 2), 3),
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
    batches: tuple[int, ...]  # a small one, then the large ones
    images: int  # that are scored
    workers: tuple[int, ...]  # numbers of a loader's processes
    words: tuple[str, ...]  # settings of every config

    @property
    def pair(self) -> tuple[int, ...]:
        """The small batch and the first large one; one where they are the same."""
        return tuple(dict.fromkeys(self.batches[:2]))

    @property
    def large(self) -> tuple[int, ...]:
        """All but the small batch, each once."""
        return tuple(dict.fromkeys(self.batches[1:] or self.batches))

    @property
    def device(self) -> torch.device:
        return self.bench.device

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"


def open_session(asked: Mapping[str, Any], words: Sequence[str]) -> Session:
    """The session of a size's name. asked: size, device, steps, compiler, workers, and batches
    ([0]: the size's); words: settings on top of the size's."""
    if asked["size"] not in SIZES:
        raise unknown_name("size", asked["size"], SIZES)
    config, own, batches, images = SIZES[asked["size"]]
    if asked["batches"] != [0]:
        batches = tuple(asked["batches"])
    if min(batches, default=0) < 1 or asked["steps"] < 1:
        raise UserError(f"batches={list(batches)}, steps={asked['steps']}: must be positive.")
    every = (*own, *words)
    device = torch.device(asked["device"])
    bench = Bench(load_config(config, every), device, asked["steps"], asked["compiler"])
    return Session(bench, batches, images, tuple(asked["workers"]), every)


def shown(value: Any) -> str:
    """A figure for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return figure(value) if isinstance(value, int | float) else str(value)
