"""Training as a subprocess under torchrun: a notebook's kernel stays clean of process groups.

    dghin launch config=refcoco run=refcoco              all GPUs of this machine
    dghin launch config=refcoco run=refcoco processes=2           two of them
    dghin launch config=refcoco nodes=2 endpoint=HOST:29500  each of two nodes
    dghin launch config=refcoco nodes=2 slurm=refcoco.sbatch  a Slurm script
    dghin launch config=refcoco processes=8 --dry-run            what it would do

`processes` are those of one machine (0: as the config says, but no more than GPUs, or cores).
Interrupted (Ctrl-C, SIGTERM), the trainers save and end; the same command goes on from there.
"""

import contextlib
import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import torch

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import keep_inputs, write_text
from data_preprocess.base.workers import cores
from dghin.run.config import Config, save_config
from dghin.run.environment import STARTED_BY
from dghin.run.environment import command as own_command
from dghin.run.folder import RunFolder
from dghin.run.processes import OWN_STORE
from dghin.run.stopping import LAUNCHER

from .recipe import derive, share

log = logging.getLogger(__name__)
TRAINER = ("dghin", "train")
SLURM = Path(__file__).parent / "slurm.sh"  # the template of a Slurm script
TAIL = 30  # lines of the log shown when training fails
TORCHRUN = "torch/distributed/elastic"  # its report of a failed process starts with this
FIRST_WORDS = "| Setting"  # a trainer's table of its recipe starts with this
SAVING = 120  # seconds that trainers get to finish a step and save when they are asked to end
PAPERS = 4  # GPUs of the paper


class TrainingFailed(RuntimeError):
    """torchrun's exit status, and the log's last lines."""

    def __init__(self, status: int, tail: list[str]):
        last = "\n".join(tail)
        super().__init__(f"training failed with exit status {status}; the log ends:\n{last}")
        self.status = status


@dataclass(frozen=True)
class Machines:
    """Where a run goes: so many processes on each of so many nodes (machines)."""

    processes: int = 1  # of one node
    nodes: int = 1
    endpoint: str = ""  # HOST:PORT of one of the nodes, where they find each other

    @property
    def world(self) -> int:
        """Processes of all nodes."""
        return self.processes * self.nodes

    def torchrun(self, run: str, restarts: int = 0) -> list[str]:
        """The arguments of torchrun, without the program."""
        meeting = ["--standalone"]
        if self.nodes > 1:
            if not self.endpoint:
                raise UserError(
                    f"nodes={self.nodes}: they need a place to meet. Give endpoint=HOST:PORT, with "
                    "HOST one of the nodes."
                )
            meeting = [f"--nnodes={self.nodes}", "--rdzv-backend=c10d"]
            meeting += [f"--rdzv-endpoint={self.endpoint}", f"--rdzv-id={run}"]
        return [*meeting, f"--nproc-per-node={self.processes}", f"--max-restarts={restarts}"]


def training_command(
    config_file: Path, run: str, reports: Path, machines: Machines, restarts: int = 0
) -> list[str]:
    """The torchrun command of a run, to be given on each of its nodes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", *machines.torchrun(run, restarts)]
    words = [f"config={config_file}", f"run={run}", f"reports={reports}"]
    return [*torchrun, "-m", *TRAINER, *words]


def processes_here(config: Config) -> int:
    """Processes for this machine: all GPUs, or as many as the config says; without a GPU at most
    the cores, and the paper's four.

    A number that the batch is not divisible among is lowered to the next one that it is.
    """
    cards = torch.cuda.device_count()
    asked = config.train.processes or cards or PAPERS
    most = min(asked, cards or cores())
    batch = config.train.batch
    return next(n for n in range(most, 0, -1) if batch % n == 0)


def launch_training(
    config: Config,
    folder: Path,
    processes: int | None = None,
    on_line: Callable[[], None] | None = None,
    nodes: int = 1,
    endpoint: str = "",
    variables: Mapping[str, str] = {},
) -> None:
    """Train in `folder` (reports/<run>), streaming the log line by line to this process's output.

    processes: of this machine; None: see `processes_here`. on_line: called after every line. With
    several nodes, called on each of them, on a shared file system. The log is kept in
    train/train.log (train-<host>-<process>.log with several nodes). variables: of the training's
    environment, where this one has none of their names. What cannot run is refused before anything
    is started. A failure raises TrainingFailed; an interrupt ends
    all processes, which save first.
    """
    folder = Path(folder)
    machines = Machines(processes or processes_here(config), nodes, endpoint)
    cards = torch.cuda.device_count()
    if cards and machines.processes > cards:
        raise UserError(
            f"processes={machines.processes}: this machine has {cards} GPUs. Take fewer."
        )
    # refuse here what every process would; as for a CPU: asking a GPU would take memory on it
    derive(config, machines.world, torch.device("cpu"))
    files = RunFolder(folder)
    restarts = config.train.max_restarts
    command = training_command(files.requested, folder.name, folder.parent, machines, restarts)
    save_config(config, files.requested)
    suffix = f"-{socket.gethostname()}-{os.getpid()}" if nodes > 1 else ""
    log_file = files.train / f"train{suffix}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    # one thread, as torchrun would set it with a banner that says so; trainers set torch's own
    threads = {"OMP_NUM_THREADS": "1"} if machines.processes > 1 else {}
    code, tail = stream(command, log_file, on_line, {**threads, **variables})
    if code:
        raise TrainingFailed(code, tail)


def stream(
    command: list[str],
    log_file: Path,
    on_line: Callable[[], None] | None = None,
    variables: Mapping[str, str] = {},
) -> tuple[int, list[str]]:
    """Run a command in a process group of its own; → exit status, last lines of its output.

    variables: of the environment, where it has none of their names.

    torchrun's own report of a failure is shown and kept in the log, but is not in those lines: it
    would push out what the failing process said.
    """
    tail: deque[str] = deque(maxlen=TAIL)
    environment = {
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SAVING),
        OWN_STORE: "1",
        STARTED_BY: own_command(),  # the processes record it
        **variables,
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        LAUNCHER: str(os.getpid()),
    }
    with open(log_file, "a", encoding="utf-8") as kept:
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
        reporting = ending = False

        def show() -> None:
            nonlocal reporting
            for line in without_farewell(child.stdout or ()):
                sys.stdout.write(line)
                sys.stdout.flush()
                kept.write(line)
                kept.flush()
                if line.startswith(FIRST_WORDS):  # of a life; the ones before do not count
                    tail.clear()
                reporting = TORCHRUN in line or (reporting and not line.startswith(FIRST_WORDS))
                if not reporting:
                    tail.append(line.rstrip())
                if on_line and not ending:
                    call(on_line)

        try:
            show()
            return child.wait(), list(tail)
        except BaseException:
            log.info("asking the training to save and end")
            ending = True
            end(child, show)
            raise


def call(on_line: Callable[[], None]) -> None:
    """Call what a user gave; its failure must not end a training."""
    try:
        on_line()
    except Exception:
        log.exception("%s failed; the training goes on", on_line)


def without_farewell(lines: Iterable[str]) -> Iterator[str]:
    """A log without torchrun's traceback of the signal that ended it."""
    held: list[str] = []
    for line in lines:
        if not held and not line.startswith("Traceback"):
            yield line
            continue
        held.append(line)
        if not line.startswith((" ", "Traceback")):  # the exception itself
            if "SignalException" not in line:
                yield from held
            held = []
    yield from held


def end(child: subprocess.Popen, show: Callable[[], None]) -> None:
    """End torchrun, which ends its trainers: asked first, then forced.

    Only torchrun itself is asked: it passes the signal on, waits, and forces what does not end.
    Meanwhile `show` shows what they say.
    """
    reader = threading.Thread(target=show, daemon=True)
    reader.start()
    for sent, patience in ((signal.SIGTERM, SAVING + 15.0), (signal.SIGKILL, 5.0)):
        trainers = children(child.pid) if sent == signal.SIGKILL else []
        if child.poll() is None:
            child.send_signal(sent)
        for trainer in trainers:  # they have sessions of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(trainer, sent)
        try:
            child.wait(patience)
            reader.join(5.0)
            return
        except subprocess.TimeoutExpired:
            log.warning("process %d goes on after %s", child.pid, sent.name)


def children(process: int) -> list[int]:
    """The processes that a process of this machine has started (Linux; elsewhere none)."""
    with contextlib.suppress(OSError):
        return [
            int(x) for x in Path(f"/proc/{process}/task/{process}/children").read_text().split()
        ]
    return []


def write_script(
    path: Path,
    name: str,
    run: str,
    processes: int,
    nodes: int,
    config: Config,
    overrides: Iterable[str] = (),
) -> None:
    """Write the script that trains a run on `nodes` × `processes` GPUs: sbatch PATH.

    name: the config's name or file, as given to the trainer; overrides: its `key=value` words.
    """
    if nodes < 1 or processes < 1:
        raise UserError(f"nodes={nodes}, processes={processes}: both must be at least 1.")
    if config.train.batch:
        share(config.train.batch, config.train.batch_per_process or 6, nodes * processes)
    keep_inputs("slurm", path, [name])
    words = [f"config={name}", f"run={run}", *overrides]
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        SLURM.read_text(encoding="utf-8")
    )
    text = template.render(
        path=path.as_posix(),
        run=run,
        nodes=nodes,
        processes=processes,
        cores=processes * (config.train.workers + 1),
        restarts=config.train.max_restarts or 3,
        words=shlex.join(words),
    )
    write_text(path, text + "\n")
    log.info("%s: written; submit it with: sbatch %s", path, path)
