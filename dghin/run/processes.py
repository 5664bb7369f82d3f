"""Processes: one, or many under torchrun. Imported without torch, for scoring alone."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from data_preprocess.base.errors import UserError
from data_preprocess.base.workers import cores

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = logging.getLogger(__name__)
TIMEOUT = timedelta(hours=1)
# Else torchrun keeps one store over its restarts, in which processes find the addresses of dead
# ones (pytorch/pytorch#135712)
OWN_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"


@dataclass(frozen=True)
class Place:
    """Where this process stands. device: None where nothing is computed with torch."""

    rank: int
    world: int
    device: Any  # a torch.device

    @classmethod
    def here(cls) -> "Place":
        """By torchrun's environment; without it: alone."""
        import torch

        world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        return cls(rank, world, device)

    @property
    def is_main(self) -> bool:
        """The process that writes and prints."""
        return self.rank == 0


ALONE = Place(0, 1, None)


def find_device(name: str) -> "torch.device":
    """The device of a name (cpu, cuda, cuda:1, mps); one that is not here is an error."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = ["cpu", *(["cuda"] if count else []), *(f"cuda:{n}" for n in range(count))]
    if torch.backends.mps.is_available():
        here.append("mps")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or str(device).removesuffix(":0") not in here:
        raise UserError(f"device={name}: no such device here. Give one of: {', '.join(here)}.")
    return device


def join() -> Place:
    """Join the process group that torchrun's environment names; without one, stand alone."""
    import torch

    place = Place.here()
    if place.device.type == "cuda":
        torch.cuda.set_device(place.device)
    if place.world > 1:
        if place.is_main and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)):
            if os.environ.get(OWN_STORE) != "1":
                log.warning(
                    "a restart may find a dead process: start torchrun with %s=1", OWN_STORE
                )
        on_card = place.device.type == "cuda"
        torch.distributed.init_process_group(
            "nccl" if on_card else "gloo",
            timeout=TIMEOUT,  # a rank that reads a checkpoint or scores alone lets the others wait
            device_id=place.device if on_card else None,  # else NCCL guesses, and may hang
        )
    return place


def leave() -> None:
    """Leave the process group, if there is one."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def gather(value: Any, place: Place) -> list[Any]:
    """Every rank's value, on every rank."""
    if place.world == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * place.world
    distributed.all_gather_object(values, value)
    return values


class Slot(NamedTuple):
    """Where a tensor stands in a nested state that is sent without its tensors."""

    shape: tuple[int, ...]
    dtype: "torch.dtype"


def from_main(state: Any, place: Place) -> Any:
    """A nested state of the main rank (dicts, lists, tuples, plain values, tensors on the CPU), on
    every rank: its plain values are sent as one object, its tensors one by one."""
    if place.world == 1:
        return state
    import torch
    from torch import distributed

    def send(tensor: "Tensor") -> Slot:
        tensors.append(tensor)
        return Slot(tuple(tensor.shape), tensor.dtype)

    def receive(slot: Slot) -> "Tensor":
        value = next(ours) if ours else torch.empty(slot.shape, dtype=slot.dtype)
        there = value.contiguous().to(place.device)
        distributed.broadcast(there, src=0)
        return value if ours else there.cpu()

    tensors: list[Tensor] = []
    plan = [replaced(state, torch.Tensor, send) if place.is_main else None]
    distributed.broadcast_object_list(plan, src=0, device=place.device)
    ours = iter(tensors) if place.is_main else None
    return replaced(plan[0], Slot, receive)


def replaced(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """A nested value with everything of a kind changed, in the order in which it stands there."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        return {key: replaced(one, kind, change) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(replaced(one, kind, change) for one in value)
    return value


def on_any(
    flags: "list[Tensor | bool]", place: Place, numbers: "list[Tensor]" = []
) -> tuple[list[bool], list[float]]:
    """Which of these flags is up on some rank: the same answer on every rank. With them come
    numbers of this rank: the host waits once for all."""
    import torch

    raised = torch.stack([
        flag.float() if isinstance(flag, torch.Tensor)
        else torch.full((), float(flag), device=place.device)  # filled there, not copied
        for flag in flags
    ])  # fmt: skip
    if place.world > 1:
        torch.distributed.all_reduce(raised, op=torch.distributed.ReduceOp.MAX)
    values = torch.cat([raised, *(number.float().reshape(1) for number in numbers)]).tolist()
    return [bool(flag) for flag in values[: len(flags)]], values[len(flags) :]


def mean_over_all(values: "dict[str, Tensor]", place: Place) -> "dict[str, Tensor]":
    """The mean over all ranks of each of these scalars, on every rank."""
    if place.world == 1:
        return values
    import torch

    means = torch.stack(list(values.values()))
    torch.distributed.all_reduce(means)
    return dict(zip(values, means / place.world, strict=True))


def threads(asked: int) -> int:
    """CPU threads of this process: as asked, or its share of the machine's cores."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return asked or max(1, cores() // processes)
