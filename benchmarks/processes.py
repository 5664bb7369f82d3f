"""Steps per second of real trainings on one, two ... processes, beside one, in one run.

    python benchmarks/processes.py                         the demo, on 1 and 2 processes
    python benchmarks/processes.py processes=[1,2,4,8] config=refcoco data.root=DATA steps=200

Each is a training under torchrun with the config's loader, `rounds` times, taking turns; its speed
is that of the log's later half. A config whose data are drawn gets 200 scenes of them, elsewhere.
In each step a process sends and receives 2 (n - 1) / n times the gradients' bytes (ring
all-reduce); `growth.py` says what that would cost many.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from harness import MIB
from noise import random_network

from data_preprocess.base.tables import to_markdown
from dghin.data.preparing import prepare_data
from dghin.report.figures.curves import read_log
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import Config, load_config
from dghin.training.launch import launch_training
from dghin.training.optimizer.groups import make_optimizer


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own = {"config": "demo", "processes": [1, 2], "steps": 40, "rounds": 2}
    values, words = read_words("benchmarks.processes", __doc__, own, arguments)
    words += short_run(values["steps"])
    with tempfile.TemporaryDirectory() as scratch:
        config = load_config(values["config"], words)
        if config.data.shapes:
            drawn = [f"data.root={scratch}/shapes", "data.shapes=200"]
            config = load_config(values["config"], [*words, *drawn])
            prepare_data(config)
        speeds: dict[int, list[float]] = {number: [] for number in values["processes"]}
        for turn in range(values["rounds"]):
            for number, found in speeds.items():
                folder = Path(scratch) / f"{number}-{turn}"
                found.append(steps_per_second(config, folder, number))
    print(to_markdown(table(speeds, config)), end="")


def short_run(steps: int) -> list[str]:
    """Settings of a short training."""
    return [
        f"train.iterations={steps}", "train.iterations_of=0", "train.warmup=1",
        f"train.validate_every={steps}", "train.validate_expressions=8", "train.log_every=5",
        "train.tensorboard=false",
    ]  # fmt: skip


def steps_per_second(config: Config, folder: Path, processes: int) -> float:
    """The speed of a training, by the later half of its log."""
    with contextlib.redirect_stdout(io.StringIO()):
        launch_training(config, folder, processes)
    log = read_log(folder / "train" / "log.jsonl")
    speed = log.loc[log["kind"] == "train", "expressions_per_second"]
    return float(speed.iloc[len(speed) // 2 :].median()) / config.train.batch


def gradient_bytes(config: Config) -> int:
    """Bytes of the gradients in float32; a frozen part has none."""
    with torch.device("meta"):
        network = random_network(config)
    groups = make_optimizer(network, config.train).param_groups
    return 4 * sum(p.numel() for group in groups for p in group["params"])


def sent_bytes(gradients: int, processes: int) -> float:
    """What each of so many processes sends in a step, by a ring all-reduce."""
    return 2 * (processes - 1) / processes * gradients


def table(speeds: dict[int, list[float]], config: Config) -> pd.DataFrame:
    """Steps and expressions per second, with the ratio to the first, and MiB sent in a step."""
    lines, first = [], None
    batch, gradients = config.train.batch, gradient_bytes(config)
    for number, found in speeds.items():
        speed = float(np.median(found))
        first = first or speed
        sent = f"{sent_bytes(gradients, number) / MIB:,.1f}"
        lines.append((number, f"{speed:.3f}", f"{speed * batch:.1f}", f"{speed / first:.2f}", sent))
    names = ["Processes", f"Steps/s of {batch}", "Expressions/s", "to the first"]
    return pd.DataFrame(lines, columns=[*names, "MiB sent by each in a step"])


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
