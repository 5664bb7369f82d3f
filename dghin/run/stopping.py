"""When a run is asked to end: signals, a dead parent; and one trainer at a time in a folder."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from data_preprocess.base.errors import UserError

LAUNCHER = "DGHIN_LAUNCHER"  # the process id of who started torchrun, if it should outlive the run
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(SystemExit):
    """The run ends before its last step, by request; the exit status is the shell's for it."""


class Stop:
    """Notes that this process was asked to end, so that it does so between two steps.

    Asked by SIGTERM or SIGINT (Ctrl-C), or, under torchrun, by the death of torchrun or of the
    launcher that started it: nobody would see the rest of the run.
    """

    def __init__(self):
        self.reason, self.status = "", 0
        self.immediately = False
        self.parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else 0
        self.launcher = int(os.environ.get(LAUNCHER, 0))
        self.before: dict[int, object] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.ask(signal.Signals(number).name, 128 + number)
        if self.immediately:
            raise Interrupted(self.status)

    def ask(self, reason: str, status: int = 0) -> None:
        """Ask for the end after the current step."""
        self.reason, self.status = self.reason or reason, self.status or status

    def asked(self) -> bool:
        """Whether this process should end."""
        if self.parent and os.getppid() != self.parent:
            self.ask("the end of torchrun", 1)
        if self.launcher and not is_alive(self.launcher):
            self.ask("the end of its launcher", 1)
        return bool(self.reason)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """In here a signal ends the process at once: whatever counts has been saved before."""
        if self.reason:
            raise Interrupted(self.status)
        self.immediately = True
        try:
            yield
        finally:
            self.immediately = False


def is_alive(process: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextlib.contextmanager
def only_one(folder: Path, patience: float = 10.0) -> Iterator[None]:
    """Hold a folder for this process: a second one is refused after `patience` seconds.

    The lock dies with its process, however that ends. It holds within one machine, and between
    machines where the file system passes locks on (NFS 4 does).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+", encoding="utf-8") as file:
        end = time.monotonic() + patience
        while not take(file):
            if time.monotonic() > end:
                file.seek(0)
                raise UserError(
                    f"{folder}: another training writes here ({file.read().strip() or 'unknown'}). "
                    "Wait for it, stop it, or name another run."
                )
            time.sleep(0.2)
        file.truncate(0)
        file.write(json.dumps({"host": socket.gethostname(), "process": os.getpid()}))
        file.flush()
        yield


def take(file: TextIO) -> bool:
    """Try to lock an open file. A POSIX lock: children do not inherit it."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system: nobody is kept out
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True
