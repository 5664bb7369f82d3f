"""Ten experiments on one GPU in one command of at most 25 minutes.

    python benchmarks/gpu_session.py                               on a machine with a GPU
    python benchmarks/gpu_session.py experiments=[1,2,3,4]         some of them
    python benchmarks/gpu_session.py experiments=[6] batches=[6,24]        at other batches
    python benchmarks/gpu_session.py size=tiny device=cpu compiler=none    to try the script

 1  one step at batch 6                       6  all of it at batch 24 and 48
 2  recompute on and off, batch 6 and 24      7  last merge against interpolate and convolve
 3  waits and idle share, by the profiler     8  demo: stop, resume, to the bit, float16
 4  visual graph: fused, plain, math          9  the loader's share at 4, 8, 16 workers
 5  compiled, static shapes                  10  evaluation in float32 and bfloat16, twice

Each line is printed as it comes, and `output` (JSON) holds all lines up to then. Those that compile
run last, and each experiment in a process of its own: nothing of another is in its memory, and one
that fails, or even breaks its process, ends no other. One that would end after `minutes` is skipped
and says so. Data and weights are noise: no parser, no network, no download.
"""

import contextlib
import functools
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_data
import gpu_network
import torch
from gpu import NO_GPU
from gpu_sizes import NEEDS_GPU, Lines, Session, open_session
from gpu_steps import matrix_rate, set_tf32, tf32, tf32_text
from harness import machine

from data_preprocess.base.errors import UserError, one_line
from data_preprocess.base.files import read_json_or, write_json
from dghin.run.command_line import read_words, run_cli
from dghin.run.environment import hardware
from dghin.run.precision import set_deterministic

Record = dict[str, Any]  # what the JSON says of an experiment
STOPPED = "stopped: the time is over"
EVERY = 5  # seconds between two looks at what a process has written


@dataclass(frozen=True)
class Experiment:
    """seconds: about what it takes at the paper's size on a card of the H100's class; of each large
    batch, if that is said."""

    number: int
    name: str
    seconds: int
    run: Callable[[Session], Lines]
    each: bool = False


EXPERIMENTS = (  # in this order: what compiles comes last, the loader's after what it compiles
    Experiment(1, "one step", 60, gpu_network.one_step),
    Experiment(2, "recompute", 75, gpu_network.recompute),
    Experiment(3, "waits and idle share", 75, gpu_network.waiting),
    Experiment(4, "visual graph", 35, gpu_network.visual_graph),
    Experiment(7, "last merge", 30, gpu_network.last_merge),
    Experiment(8, "demo", 90, gpu_data.demo),
    Experiment(10, "evaluation", 100, gpu_data.evaluation),
    Experiment(5, "compiled", 250, gpu_network.compiled),
    Experiment(6, "all of it", 310, gpu_network.together, each=True),
    Experiment(9, "loader", 150, gpu_data.loading),
)
OF_TINY = 10  # seconds of any at the tiny size


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring. part=1 or 2: this process runs one experiment of a
    session (`run_apart`); 1 also describes the card."""
    own: Record = {"size": "paper", "device": "cuda", "experiments": list(range(1, 11))}
    own |= {"minutes": 25.0, "steps": 10, "batches": [0], "workers": [4, 8, 16]}
    own |= {"compiler": "inductor", "tf32": "default", "apart": True, "part": 0}
    own["output"] = "reports/benchmarks/gpu_session.json"
    stood = Path.cwd()
    values, words = read_words("benchmarks.gpu_session", __doc__, own, arguments)
    chosen = chosen_experiments(values["experiments"])
    if values["device"] == "cuda" and not torch.cuda.is_available():
        print(NO_GPU.format("benchmarks/gpu_session.py"))
        return
    logging.getLogger().setLevel(logging.ERROR)
    session = open_session(values, words)
    set_tf32(values["tf32"])
    results = Results(Path(values["output"]), values, ends=not values["part"])
    limit = Limit(values["minutes"], values["size"], len(session.large))
    if values["apart"]:
        given = list(sys.argv[1:] if arguments is None else arguments)
        run_apart(chosen, results, limit, given, stood)
        return
    if any(one.run is gpu_data.demo for one in chosen):  # read once, with the first product
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    set_deterministic(False)
    results.whole["machine"] = machine()
    if values["part"] <= 1:
        results.whole["card"] = describe(session)
    for experiment in chosen:
        record = results.begin(experiment)
        if limit.allows(experiment, record):
            run_here(experiment, session, record, results.write)
        results.end(record)


def chosen_experiments(numbers: Sequence[int]) -> list[Experiment]:
    """The experiments of these numbers, in the order in which they run."""
    known = {one.number for one in EXPERIMENTS}
    if unknown := sorted(set(numbers) - known):
        raise UserError(f"experiments={unknown}: no such numbers. Known: 1 to {max(known)}.")
    return [one for one in EXPERIMENTS if one.number in numbers]


class Results:
    """The JSON, which is written whenever something is added, and the lines on the screen."""

    def __init__(self, path: Path, settings: Record, ends: bool = True):
        self.path, self.ends, self.started = path, ends, time.perf_counter()
        self.whole: Record = {
            "machine": None, "TF32": tf32(), "settings": settings, "experiments": [],
        }  # fmt: skip

    def begin(self, experiment: Experiment) -> Record:
        """A new experiment's record."""
        record = {"number": experiment.number, "name": experiment.name, "state": "running"}
        record |= {"seconds": 0.0, "lines": [], "began": time.perf_counter() - self.started}
        self.whole["experiments"].append(record)
        self.write()
        return record

    def write(self) -> None:
        """Everything up to now."""
        write_json(self.path, self.whole)

    def end(self, record: Record) -> None:
        """An experiment's end: a line of its state, if this process is the session."""
        record["seconds"] = time.perf_counter() - self.started - record["began"]
        self.write()
        if self.ends:
            say(record, f"{record['state']} ({record['seconds']:.0f} s)")


class Limit:
    """The time that all experiments have together."""

    def __init__(self, minutes: float, size: str, large: int):
        self.minutes, self.size, self.large = minutes, size, large  # large: number of batches
        self.end = time.perf_counter() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.perf_counter()

    def takes(self, experiment: Experiment) -> int:
        """About how many seconds an experiment needs."""
        if self.size != "paper":
            return OF_TINY
        return experiment.seconds * (self.large if experiment.each else 1)

    def allows(self, experiment: Experiment, record: Record) -> bool:
        """Whether an experiment would end in time; if not, its record says so."""
        takes = self.takes(experiment)
        if takes <= self.left:
            return True
        record["state"] = (
            f"skipped: takes about {takes} s, {max(self.left, 0):.0f} s are left of "
            f"{self.minutes:g} minutes"
        )
        return False


def run_here(
    experiment: Experiment, session: Session, record: Record, write: Callable[[], None]
) -> None:
    """Run an experiment in this process; an error of any kind ends it alone."""
    try:
        for line in experiment.run(session):
            record["lines"].append({"what": line.what, **line.figures})
            say(record, line.text())
            write()
        gpu_only = [NEEDS_GPU in line.values() for line in record["lines"]]
        record["state"] = NEEDS_GPU if gpu_only and all(gpu_only) else "done"
    except Exception as error:
        record["state"] = f"failed: {type(error).__name__}: {one_line(error)}"
        record["error"] = traceback.format_exc()


def run_apart(
    chosen: Sequence[Experiment], results: Results, limit: Limit, words: list[str], stood: Path
) -> None:
    """Run each experiment by this command in a process of its own. words: the command's own;
    stood: the folder where it was given."""
    for experiment in chosen:
        record = results.begin(experiment)
        if limit.allows(experiment, record):
            with tempfile.TemporaryDirectory() as folder:
                output = Path(folder) / "one.json"
                command = [sys.executable, str(Path(__file__).resolve()), *words]
                command += [f"experiments=[{experiment.number}]", "apart=false", "minutes=9999"]
                part = 2 if results.whole.get("card") else 1
                command += [f"part={part}", f"output={output}"]
                copy = functools.partial(take_over, results, record, output)
                status = run_process(command, stood, limit.left, copy)
                copy()
            if record["state"] == "running":
                ended = f"failed: its process ended with status {status}"
                record["state"] = STOPPED if status is None else ended
        results.end(record)


def run_process(
    command: list[str], folder: Path, seconds: float, meanwhile: Callable[[], None]
) -> int | None:
    """Run a command; → its status, or None where it was ended after so many seconds, with all
    processes that it has started. meanwhile: called every few seconds."""
    until = time.perf_counter() + seconds
    process = subprocess.Popen(command, cwd=folder, start_new_session=True)
    try:
        while (left := until - time.perf_counter()) > 0:
            try:
                return process.wait(min(left, EVERY))
            except subprocess.TimeoutExpired:
                meanwhile()
        return None
    finally:
        if process.poll() is None:  # also where this one is interrupted
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def take_over(results: Results, record: Record, path: Path) -> None:
    """What a process has written of its experiment, into this one's record and file."""
    found = read_json_or(path, {})
    here = {"began": record["began"]}
    record |= next(iter(found.get("experiments", ())), {}) | here
    for key in ("machine", "card"):
        if found.get(key) and not results.whole.get(key):
            results.whole[key] = found[key]
    results.write()


def describe(session: Session) -> Record:
    """Print what the figures depend on: the machine, TF32, the card's rates."""
    here = hardware()
    rates = {
        name: matrix_rate(session.device, kind)
        for name, kind in (("bfloat16", torch.bfloat16), ("float32", torch.float32))
    }
    name = ", ".join(here["GPUs"]) or f"no GPU ({here['processor']})"
    print(f"{name}; torch {torch.__version__}; device={session.device}")
    print(tf32_text())
    products = (f"{rate / 1e12:.3g} TFLOP/s in {kind}" for kind, rate in rates.items())
    print(f"products: {', '.join(products)}", flush=True)
    return {"name": name, "FLOPs a second": rates}


def say(record: Record, text: str) -> None:
    """A line on the screen, at once."""
    print(f"{record['number']:>2}  {record['name']}: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
