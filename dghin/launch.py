"""Training as a subprocess under torchrun: a notebook's kernel stays clean of process groups."""

import logging
import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import torch

from .config import Config, save_config
from .distributed import cores

log = logging.getLogger(__name__)
TRAINER = "dghin.train"
TAIL = 30  # lines of the log shown when training fails
TORCHRUN = "torch/distributed/elastic"  # its report of a failed process starts with this
# glibc gives big blocks back to the system after every step, and faults them in again at the next:
# on a CPU that can take three quarters of the time. These keep them in the process.
CPU_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


def training_command(config_file: Path, run: str, reports: Path, processes: int) -> list[str]:
    """The torchrun command of a run on this machine."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = [f"config={config_file}", f"run={run}", f"reports={reports}"]
    return [*torchrun, f"--nproc-per-node={processes}", "-m", TRAINER, *words]


def launch_training(config: Config, folder: Path, processes: int | None = None) -> None:
    """Train in `folder` (reports/<run>), streaming the log line by line to this process's output.

    processes: default as the config says, but no more than there are GPUs (or cores, without). The
    log is kept in train/train.log. A failure raises a RuntimeError with the log's tail; an
    interrupt ends the whole process group.
    """
    folder = Path(folder)
    config_file = folder / "requested.yaml"  # the trainer writes config.yaml once it accepts them
    save_config(config, config_file)
    available = torch.cuda.device_count() or cores()
    processes = processes or min(config.train.processes, available)
    command = training_command(config_file, folder.name, folder.parent, processes)
    log_file = folder / "train" / "train.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    code, tail = stream(command, log_file)
    if code:
        last = "\n".join(tail)
        raise RuntimeError(f"training failed with exit status {code}; the log ends:\n{last}")


def stream(command: list[str], log_file: Path) -> tuple[int, list[str]]:
    """Run a command in a process group of its own; → exit status, last lines of its output.

    torchrun's own report of a failure is shown and kept in the log, but is not in those lines: it
    would push out what the failing process said.
    """
    tail: deque[str] = deque(maxlen=TAIL)
    malloc = {} if torch.cuda.is_available() else CPU_MALLOC
    environment = {**malloc, **os.environ, "PYTHONUNBUFFERED": "1"}
    with open(log_file, "a", encoding="utf-8") as kept:
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        reporting = False
        try:
            for line in child.stdout:
                sys.stdout.write(line)
                sys.stdout.flush()
                kept.write(line)
                reporting = reporting or TORCHRUN in line
                if not reporting:
                    tail.append(line.rstrip())
            return child.wait(), list(tail)
        except BaseException:
            end_group(child)
            raise


def end_group(child: subprocess.Popen, patience: float = 15.0) -> None:
    """End a child and all that it started: asked first, then forced."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sent)
            child.wait(patience)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            log.warning("process group %d goes on after %s", child.pid, sent.name)
