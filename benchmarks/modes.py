"""Training speed and memory of every mode, beside float32, in one run.

    python benchmarks/modes.py                              the demo's network on this machine
    python benchmarks/modes.py config=refcoco batch=6       the paper's (a GPU with 40 GB or more)
    python benchmarks/modes.py modes=[float32,bfloat16] rounds=4 steps=30

Each mode is measured in a process of its own, `rounds` times, the modes taking turns, so that a
machine that slows down or speeds up does so for all. Random weights, random images: no data set.
The memory is the GPU's peak, without one the process's. Ratios are to the first mode.
"""

import json
import logging
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from harness import seconds_of
from noise import random_batch
from tqdm import tqdm

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.tables import to_markdown
from dghin.model.dghin import DGHIN
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import Config, load_config
from dghin.run.precision import keep_freed_memory
from dghin.run.processes import Place, threads
from dghin.training.recipe import of_one_batch
from dghin.training.step import Stepper

MODES = {
    "float32": [],
    "float32, nothing recomputed": ["train.recompute=false"],
    "bfloat16": ["train.precision=bfloat16"],
    "bfloat16, compiled": ["train.precision=bfloat16", "train.compile=true"],
    "float32, compiled": ["train.compile=true"],
    "float32, checkpointed": ["train.checkpoint_activations=true"],
    "bfloat16, checkpointed": ["train.precision=bfloat16", "train.checkpoint_activations=true"],
    "float32, channels last": ["train.channels_last=true"],
    "float32, deterministic": ["train.deterministic=true"],
}
GIB = 2**30


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own = {"config": "demo", "batch": 6, "steps": 10, "rounds": 2, "modes": [], "measure": ""}
    values, words = read_words("benchmarks.modes", __doc__, own, arguments)
    for name in values["modes"] or ():
        if name not in MODES:
            raise unknown_name("mode", name, MODES)
    if values["measure"]:
        config = load_config(values["config"], [*words, *MODES[values["measure"]]])
        print(json.dumps(measure(config, values["batch"], values["steps"])))
        return
    named = [f"{name}={values[name]}" for name in ("config", "batch", "steps")]
    results = take_turns(values["modes"] or list(MODES), values["rounds"], [*named, *words])
    place = Place.here()
    card = torch.cuda.get_device_name(place.device) if place.device.type == "cuda" else "CPU"
    print(f"config {values['config']}, batch {values['batch']}, {card}, torch {torch.__version__}")
    print(to_markdown(table(results)), end="")


def take_turns(modes: list[str], rounds: int, words: list[str]) -> dict[str, list[dict]]:
    """Measure every mode so many times, in turns, each time in a fresh process."""
    results: dict[str, list[dict]] = {mode: [] for mode in modes}
    turns = [mode for _ in range(rounds) for mode in modes]
    for mode in tqdm(turns, unit="measurement", disable=None):
        command = [sys.executable, str(Path(__file__)), f"measure={mode}", *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"{mode}: failed.\n{done.stderr[-2000:]}")
        results[mode].append(json.loads(done.stdout.splitlines()[-1]))
    return results


def table(results: dict[str, list[dict]]) -> pd.DataFrame:
    """Images a second and peak memory, with their ratios to the first mode."""
    lines, first = [], None
    for mode, found in results.items():
        speed = float(np.median([x["images_per_second"] for x in found]))
        memory = float(np.median([x["peak_memory"] for x in found]))
        first = first or (speed, memory)
        ratios = f"{speed / first[0]:.2f}", f"{memory / first[1]:.2f}"
        lines.append((mode, f"{speed:.1f}", ratios[0], f"{memory / GIB:.2f}", ratios[1]))
    names = ["Mode", "Images/s", "to the first", "Peak GiB", "to the first"]
    return pd.DataFrame(lines, columns=names)


def measure(config: Config, batch: int, steps: int, warm: int = 3) -> dict[str, float]:
    """Images per second and the peak memory (bytes) of so many steps of the optimizer."""
    logging.getLogger().setLevel(logging.ERROR)
    keep_freed_memory()
    place = Place.here()
    torch.set_num_threads(threads(config.train.threads))
    torch.manual_seed(0)
    model = DGHIN(config.model).to(place.device)
    recipe = of_one_batch(config.train, batch, warm + steps, place.device)
    if recipe.settings.channels_last:
        model.to(memory_format=torch.channels_last)
    stepper = Stepper(model, config, recipe, place)
    stepper.training_mode()
    batches = [random_batch(config, batch)]
    for _ in range(warm):
        stepper.step(batches, 1e-5)
    seconds = seconds_of(lambda: [stepper.step(batches, 1e-5) for _ in range(steps)])
    if place.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"images_per_second": batch * steps / seconds, "peak_memory": peak}


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
