"""Work of several gloo processes on one machine, for tests of what they must do together.

Every process imports this module: what only some work needs is imported there.
"""

import os
import socket
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn

from dghin.run.config import Config
from dghin.run.processes import Place, from_main


def together(work: Any, world: int, folder: Path, *arguments: Any) -> list[Any]:
    """What work(place, *arguments) returns in each of `world` processes, in the order of ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_run, (work, world, port, folder, arguments), nprocs=world)
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)]


def _run(rank: int, work: Any, world: int, port: int, folder: Path, arguments: Any) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    torch.save(work(Place(rank, world, torch.device("cpu")), *arguments), folder / f"{rank}.pt")
    dist.destroy_process_group()


def small_network() -> nn.Module:
    """Two batch norms over maps and one over rows, in float64."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU(), nn.Conv2d(8, 4, 1),
        nn.BatchNorm2d(4, momentum=0.3), nn.Flatten(), nn.Linear(100, 5), nn.BatchNorm1d(5),
    ).double()  # fmt: skip


def pass_through(
    place: Place, x: torch.Tensor, weight: torch.Tensor, compiled: bool
) -> dict[str, Any]:
    """Output, gradients and buffers of the small network with joint norms, on a rank's share."""
    from dghin.training.device.joint_norm import use_joint_norms

    network: nn.Module = use_joint_norms(small_network())
    run = torch.compile(network, fullgraph=True) if compiled else network
    own = slice(place.rank * len(x) // place.world, (place.rank + 1) * len(x) // place.world)
    mine = x[own].clone().requires_grad_()
    out = run(mine)
    (out * weight[own]).sum().backward()
    gradients = []
    for parameter in network.parameters():
        dist.all_reduce(parameter.grad)
        gradients.append(parameter.grad)
    return {"out": out.detach(), "x": mine.grad, "gradients": gradients,
            "buffers": list(network.buffers())}  # fmt: skip


def steps_of(
    place: Place, config: Config, count: int, lay_out: Any = None
) -> list[dict[str, float]]:
    """The losses of the first training steps, each over all processes' shares of one batch.

    lay_out: what puts the network's weights into another memory layout, before it is wrapped.

    With train.referent_weight=0.9 the class weights are even: a loss is the mean over a process's
    pixels by their weights, so that otherwise the mean over processes is another one.
    """
    from dghin.data.batches import collate
    from dghin.data.dataset import open_split
    from dghin.model.dghin import DGHIN
    from dghin.training.recipe import derive
    from dghin.training.step import Stepper

    torch.manual_seed(0)
    # in float64: batch norms of a few numbers make rounding large
    model, recipe = DGHIN(config.model).double(), derive(config, place.world, place.device)
    if lay_out:
        lay_out(model)
    stepper = Stepper(model, config, recipe, place)
    stepper.training_mode()
    split, found = open_split(config, "train"), []
    for number in range(count):
        batch = range(number * config.train.batch, (number + 1) * config.train.batch)
        samples = [split[index] for index in batch[place.rank :: place.world]]
        step = stepper.step([collate(samples, False)], 1e-5)
        found.append({name: float(value) for name, value in step.losses.items()})
    return found


def warned_steps(
    place: Place, config: Config, count: int, lay_out: Any
) -> tuple[list[dict[str, float]], list[str]]:
    """`steps_of`, and all that torch warns of meanwhile, every time that it does."""
    torch.set_warn_always(True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses = steps_of(place, config, count, lay_out)
    return losses, [str(one.message) for one in caught]


def given_by_main(place: Place, *states: Any) -> list[Any]:
    """Nested states that only the main rank has, one after the other, as every rank gets them."""
    return [from_main(state if place.is_main else None, place) for state in states]
