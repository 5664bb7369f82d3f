"""Trainings in processes of their own, which a test may kill; imported by those processes, too."""

import contextlib
import io
import multiprocessing
import os
import signal
from multiprocessing import forkserver
from pathlib import Path

import torch

from dghin.training.trainer import train

# a server that has imported everything forks a child in a moment, before torch has any thread
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["helpers.killing", "helpers.spoiling"])


def serve():
    """Start the server where it finds this module."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), before or ""])
    forkserver.ensure_running()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def start(config, folder, die_at=None):
    """A process that trains; die_at: it kills itself at its n-th step of writing files."""
    serve()
    child = SERVER.Process(target=_train, args=(config, folder, die_at))
    child.start()
    return child


def _train(config, folder, die_at):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if die_at is not None:
        _Fate(die_at).install()
    train(config, folder)


class _Fate:
    """Counts the steps of writing files, and kills this process at one of them."""

    def __init__(self, die_at):
        self.left = die_at

    def install(self):
        """Before every sync, rename and removal; and in the middle of writing a checkpoint."""
        for module, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
            setattr(module, name, self._before(getattr(module, name)))
        save = torch.save

        def save_half(state, path):
            if self.left == 0:
                whole = io.BytesIO()
                save(state, whole)
                Path(path).write_bytes(whole.getvalue()[: whole.tell() // 2])
            self._step()
            save(state, path)

        torch.save = save_half

    def _before(self, function):
        def wrapped(*arguments, **named):
            self._step()
            return function(*arguments, **named)

        return wrapped

    def _step(self):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


@contextlib.contextmanager
def ended(child):
    """The child is dead after this, whatever happens."""
    try:
        yield child
    finally:
        child.kill()
        child.join()
