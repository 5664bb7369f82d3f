"""Processes: one, or many under torchrun."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Place:
    """Where this process stands."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """The process that writes and prints."""
        return self.rank == 0


def join() -> Place:
    """Join the process group that torchrun's environment names; without one, stand alone."""
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Place(rank, world, device)


def leave() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def gather(value: object, place: Place) -> list[object]:
    """Every rank's value, on every rank."""
    if place.world == 1:
        return [value]
    values: list[object] = [None] * place.world
    dist.all_gather_object(values, value)
    return values


def threads(asked: int) -> int:
    """CPU threads of this process: as asked, or its share of the machine's cores."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return asked or max(1, cores() // processes)


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
