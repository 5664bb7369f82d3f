"""Checkpoints beside the training: a thread writes a copy while the steps go on.

    with Saver(write) as saver:
        saver.save(state)                  # written when this returns
        saver.save(state, beside=True)     # copied when this returns, written later

At most one is being written. What goes wrong in the thread is raised by the next call, at the
latest where the `with` ends; there a writing is waited for, whatever ended the training.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dghin.run.processes import replaced

log = logging.getLogger(__name__)


class Saver:
    """Gives states to `write`, one after the other."""

    def __init__(self, write: Callable[[dict[str, Any]], object]):
        self.write = write
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.last = time.monotonic()  # when a state was given
        self.room: list[Tensor] = []  # on the host, of the copy: used again

    def __enter__(self) -> "Saver":
        self.last = time.monotonic()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.wait()
        except BaseException as error:
            if kind is None:
                raise
            log.error("%s", error)  # beside what ends the training anyway

    def is_due(self, minutes: float) -> bool:
        """Whether the last state was given so long ago. 0 minutes: never."""
        return minutes > 0 and time.monotonic() - self.last >= 60 * minutes

    def save(self, state: dict[str, Any], beside: bool = False) -> None:
        """Write a state; beside: its copy, in a thread."""
        self.wait()
        self.last = time.monotonic()
        if not beside:
            self.write(state)
            return
        self.thread = threading.Thread(target=self._write, args=(self._copy(state),))
        self.thread.start()

    def wait(self) -> None:
        """Until nothing is being written; an error of the writing is raised here."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        error, self.error = self.error, None
        if error is not None:
            raise error

    def check(self) -> None:
        """Raise the error of a writing that has ended."""
        if self.thread is not None and not self.thread.is_alive():
            self.wait()

    def _write(self, state: dict[str, Any]) -> None:
        try:
            self.write(state)
        except BaseException as error:  # raised in the training's own thread
            self.error = error

    def _copy(self, state: dict[str, Any]) -> dict[str, Any]:
        """A copy on the host. A GPU's goes into pinned memory, which its copying needs to be fast
        and which is asked for once, since asking is slow."""
        taken = 0
        on_card = False

        def copy(tensor: Tensor) -> Tensor:
            nonlocal taken, on_card
            if taken == len(self.room) or not fits(self.room[taken], tensor):
                self.room[taken:] = [room_for(tensor)]
            taken += 1
            on_card = on_card or tensor.is_cuda
            return self.room[taken - 1].copy_(tensor.detach(), non_blocking=True)

        copied: dict[str, Any] = replaced(state, Tensor, copy)
        if on_card:
            torch.cuda.synchronize()
        return copied


def fits(room: Tensor, tensor: Tensor) -> bool:
    """Whether a tensor's copy can stand there, in its own layout."""
    alike = room.shape == tensor.shape and room.dtype == tensor.dtype
    return alike and room.stride() == torch.empty_like(tensor, device="meta").stride()


def room_for(tensor: Tensor) -> Tensor:
    """Memory on the host for a tensor's copy."""
    return torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
