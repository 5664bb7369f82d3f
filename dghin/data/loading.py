"""Samples → batches in worker processes: exact after a resume, and errors that name the sample."""

import contextlib
import os
import random
import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from data_preprocess.base.errors import UserError

Batch = dict[str, Any]
PATIENCE = 60  # seconds that a worker lives on after a SIGTERM


class Batches(Protocol):
    """Which samples are read together: lists of indices, as many as there are batches."""

    def __iter__(self) -> Iterator[list[int]]: ...

    def __len__(self) -> int: ...


class Samples(Protocol):
    """What a loader reads: samples by index, and a sample's name for people."""

    def __getitem__(self, index: int) -> Any: ...

    def name(self, index: int) -> str:
        """The sample's id and its file."""


@dataclass(frozen=True)
class Failure:
    """A sample that could not be made, on its way from a worker to the main process."""

    text: str
    expected: bool  # something the user can put right


def load_batches(
    samples: Samples,
    batches: Batches,
    collate: Callable[[list[Any]], Any],
    workers: int = 0,
    prefetch: int = 2,
    seed: Sequence[int] = (0,),
    first: int = 0,
) -> Generator[Any, None, None]:
    """The collated samples of each batch of indices, in order, read ahead by worker processes.

    Whatever a sample draws at random (augmentation) is a function of `seed`, the batch's number
    (counted from `first`) and the sample's place in it: the same for any number of workers, and
    after a resume. The generators of the main process are left as they are.
    """
    loader = DataLoader(
        _Seeded(samples, tuple(seed)),
        batch_sampler=_Numbered(batches, first),
        num_workers=workers,
        collate_fn=_Collate(collate),
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        prefetch_factor=prefetch if workers else None,
        worker_init_fn=_outlive_signals,
        generator=torch.Generator(),  # its own: a loader must not draw from the global one
    )
    for batch in loader:
        if isinstance(batch, Failure):
            raise (UserError if batch.expected else RuntimeError)(batch.text)
        yield batch


class _Numbered:
    """Batches of indices → batches of (index, batch number, place)."""

    def __init__(self, batches: Batches, first: int):
        self.batches, self.first = batches, first

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for number, batch in enumerate(self.batches, self.first):
            yield [(index, number, place) for place, index in enumerate(batch)]

    def __len__(self) -> int:
        return len(self.batches)


class _Seeded(Dataset):
    def __init__(self, samples: Samples, seed: tuple[int, ...]):
        self.samples, self.seed = samples, seed

    def __getitem__(self, draw: tuple[int, int, int]) -> Any:  # or a Failure
        index, *position = draw
        try:
            with own_generators([*self.seed, *position]):
                return self.samples[index]
        except UserError as error:
            return Failure(f"{self.samples.name(index)}: {error}", True)
        except Exception:
            return Failure(f"{self.samples.name(index)}:\n{traceback.format_exc()}", False)


@contextlib.contextmanager
def own_generators(seed: Sequence[int]) -> Iterator[None]:
    """Python's, NumPy's and torch's generators seeded for one sample, and put back after it."""
    state = None
    if get_worker_info() is None:
        state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.default_generator.manual_seed(number)
    try:
        yield
    finally:
        if state is not None:
            random.setstate(state[0])
            np.random.set_state(state[1])
            torch.set_rng_state(state[2])


class _Collate:
    def __init__(self, collate: Callable[[list[Any]], Any]):
        self.collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        failures = [sample for sample in samples if isinstance(sample, Failure)]
        return failures[0] if failures else self.collate(samples)


def _outlive_signals(_: int) -> None:
    """A request to end is for the trainer to handle: it still needs batches for its last steps.

    So a worker leaves the trainer's process group, and lives on for a while after a SIGTERM. It
    ends with its trainer, whose death it notices by itself.
    """
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(PATIENCE))
