"""Processes that train together, one of which gets a loss that is not finite; run by tests."""

import os
import socket

import dghin.training.step
from dghin.training.trainer import train
from helpers.killing import SERVER, serve


def train_together(config, folder, world, rank=None, call=0):
    """Train on `world` processes; on `rank` the loss of its n-th piece is not a number."""
    serve()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = []
    for i in range(world):
        arguments = (config, folder, world, i, port, call if i == rank else None)
        children.append(SERVER.Process(target=_train, args=arguments))
    for child in children:
        child.start()
    for child in children:
        child.join(120)
        child.kill()
        child.join()
    return [child.exitcode for child in children]


def _train(config, folder, world, rank, port, call):
    os.environ |= {"WORLD_SIZE": f"{world}", "RANK": f"{rank}", "LOCAL_WORLD_SIZE": f"{world}"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": f"{port}"}
    if call is not None:
        dghin.training.step.segmentation_loss = spoiled(
            dghin.training.step.segmentation_loss, {call}
        )
    train(config, folder)


def spoiled(loss, calls):
    """A loss that is not a number at these of its calls, counted from 0."""
    count = -1

    def wrapped(*arguments):
        nonlocal count
        count += 1
        values = loss(*arguments)
        return values | {"total": values["total"] * float("nan")} if count in calls else values

    return wrapped
