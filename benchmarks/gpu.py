"""Training the paper's network on one GPU: images a second, memory, and where the time goes.

    python benchmarks/gpu.py                         on a GPU; without one it says so
    python benchmarks/gpu.py device=cpu config=demo batches=[2] steps=1     to try the script itself

One table of images a second and peak memory: the original's formulation in float32 (as torch sets
it by default, without TF32) at batch 6 and at the largest batch that fits 24 GB, and ours in
bfloat16 with torch.compile and channels-last memory, there and at every batch of `batches`. FLOPs
are those of the original's formulation, counted by torch; the card's rate is that of a bfloat16
matrix product measured here. A profile of one step says where the rest goes; the visual graph at
stride 8 is timed alone, too, with its matrix and as we compute it, in both precisions. Last, steps
on batches that a loader with `workers` makes of JPEGs, beside steps on a batch that is there.
Targets, for a card of the H200's class: 4 times the baseline's images a second and half its memory,
250 images a second, the card 90 % busy.
"""

import contextlib
import dataclasses
import functools
import logging
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import harness
import lines_graphs
import pandas as pd
import torch
from harness import machine, seconds_of
from noise import loss_of, random_batch, random_network
from original import Original
from photos import Photos
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_json
from data_preprocess.base.tables import to_markdown
from dghin.data.batches import collate
from dghin.data.loading import Batch, load_batches
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import Config, load_config
from dghin.run.precision import autocast, set_deterministic
from dghin.run.processes import Place
from dghin.training.recipe import of_one_batch
from dghin.training.step import Stepper

GB = 10**9
FAST = {"precision": "bfloat16", "compile": True, "channels_last": True}
SCHEDULE_IMAGES = 2.56e6  # of the paper's whole schedule


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own: dict[str, Any] = {"config": "refcoco", "device": "cuda", "batches": [6, 24, 48, 96, 128]}
    own |= {"steps": 10, "compile": True, "fits": 24, "workers": 8}
    own["output"] = "reports/benchmarks/gpu.json"
    values, words = read_words("benchmarks.gpu", __doc__, own, arguments)
    if values["device"] == "cuda" and not torch.cuda.is_available():
        print(
            "No GPU here: nothing measured. Run this command on a machine that has one: "
            "python benchmarks/gpu.py"
        )
        return
    logging.getLogger().setLevel(logging.ERROR)
    device = torch.device(values["device"])
    config = load_config(values["config"], words)
    set_deterministic(False)
    flops, rate = training_flops(config), matrix_rate(device)
    results = []
    for way in ("original, float32", "ours, bfloat16"):
        for batch in tqdm(values["batches"], way, unit="batch", disable=None):
            one = measure(config, way, batch, values["steps"], device, values["compile"])
            results.append({"way": way, "batch": batch, **one})
            if one["images a second"] is None:
                break  # larger ones do not fit either
    frame = table(results, flops, rate, values["fits"] * GB)
    best = max_batch(results)
    where = profile(config, best, device, values["compile"])
    graphs = graphs_alone(config, min(best, 8), values["steps"], device)
    share = busy(config, best, values["steps"], device, values["compile"], values["workers"])
    write_json(
        Path(values["output"]),
        {"machine": machine(), "settings": values, "results": results, "profile": where,
         "visual graph": [dataclasses.asdict(one) for one in graphs],
         "busy": share, "FLOPs an image": flops, "bfloat16 FLOPs a second": rate},
    )  # fmt: skip
    print(f"{flops / 1e12:.2f} TFLOP a training image; {rate / 1e12:.0f} TFLOP/s in bfloat16 here")
    print(to_markdown(frame))
    print(f"busy with {values['workers']} workers at batch {best}: {share:.0%}\n")
    print(to_markdown(pd.DataFrame(where, columns=["Operation", "Share of the step's time"])))
    print(to_markdown(harness.table(graphs)), end="")


def training_flops(config: Config) -> float:
    """FLOPs of one image's forward and backward pass, in the original's formulation."""
    network = Original(random_network(config)).eval()
    with FlopCounterMode(display=False) as counter:
        loss_of(network, random_batch(config, 1)).backward()
    return float(counter.get_total_flops())


def matrix_rate(device: torch.device, size: int = 8192) -> float:
    """FLOPs a second of a large bfloat16 matrix product here: the rate that can be had."""
    size = size if device.type == "cuda" else 512
    one = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        one @ one
    seconds = statistics.median(seconds_of(lambda: one @ one) for _ in range(10))
    return 2 * size**3 / seconds


def stepper_of(
    config: Config, way: str, batch: int, device: torch.device, compiling: bool
) -> Callable[[list[Batch]], object]:
    """What takes one training step of a way, as the trainer does, on given batches."""
    ours = way.startswith("ours")
    plain = {"precision": "float32", "compile": False, "recompute": False}
    options = FAST | {"compile": compiling} if ours else plain
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, **options))
    model = random_network(config).to(device)
    if ours:
        model.to(memory_format=torch.channels_last)
    recipe = of_one_batch(config.train, batch, 10, device, 1e-6)
    stepper = Stepper(model, config, recipe, Place(0, 1, device))
    stepper.training_mode()
    if not ours:
        stepper.network = Original(model).train()
        stepper.trained = list(stepper.network.parameters())
        group = {"params": stepper.trained, "scale": 1.0, "lr": 0.0}
        stepper.optimizer = torch.optim.AdamW([group], weight_decay=0.01)
    return lambda batches: stepper.step(batches, 1e-6)


def measure(
    config: Config, way: str, batch: int, steps: int, device: torch.device, compiling: bool
) -> dict[str, float | None]:
    """Images a second and the peak of memory; None for both where it does not fit."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        step = stepper_of(config, way, batch, device, compiling)
        batches = [random_batch(config, batch)]
        for _ in range(3):
            step(batches)
        seconds = statistics.median(seconds_of(lambda: step(batches)) for _ in range(steps))
    except torch.OutOfMemoryError:
        return {"images a second": None, "peak memory": None}
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return {"images a second": batch / seconds, "peak memory": peak}


def max_batch(results: Sequence[dict[str, Any]]) -> int:
    """The batch at which ours was fastest."""
    own = [one for one in results if one["way"].startswith("ours") and one["images a second"]]
    if not own:
        raise UserError("batches: none fits on this card. Give smaller ones: batches=[1,2].")
    return max(own, key=lambda one: one["images a second"])["batch"]


def table(
    results: Sequence[dict[str, Any]], flops: float, rate: float, fits: float
) -> pd.DataFrame:
    """Way, batch, images a second, beside the baseline's at that batch, memory, utilisation."""
    baseline = {x["batch"]: x for x in results if x["way"].startswith("original")}
    lines = []
    for one in results:
        speed, peak = one["images a second"], one["peak memory"]
        if speed is None:
            lines.append((one["way"], one["batch"], "does not fit", "", "", "", "", "", ""))
            continue
        first = baseline.get(one["batch"], {})
        ratios = "", ""
        if first.get("images a second") and one is not first:
            memory = f"{peak / first['peak memory']:.2f}" if first["peak memory"] else ""
            ratios = f"{speed / first['images a second']:.2f}", memory
        lines.append((
            one["way"], one["batch"], f"{speed:.1f}", ratios[0], f"{peak / GB:.1f}", ratios[1],
            "yes" if peak <= fits else "no", f"{speed * flops / rate:.0%}",
            f"{SCHEDULE_IMAGES / speed / 3600:.1f}",
        ))  # fmt: skip
    names = ["Way", "Batch", "Images/s", "to baseline", "Peak GB", "to baseline",
             f"Fits {fits / GB:g} GB", "FLOP utilisation", "Paper's schedule, hours"]  # fmt: skip
    return pd.DataFrame(lines, columns=names)


def profile(
    config: Config, batch: int, device: torch.device, compiling: bool, shown: int = 12
) -> list[tuple[str, str]]:
    """The operations that take most of a step of ours, with their share of its time."""
    step = stepper_of(config, "ours", batch, device, compiling)
    batches = [random_batch(config, batch)]
    for _ in range(3):
        step(batches)
    with torch.profiler.profile() as found:
        step(batches)
    of = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = sorted(found.key_averages(), key=lambda event: -getattr(event, of))
    whole = sum(getattr(event, of) for event in events) or 1
    return [(event.key, f"{getattr(event, of) / whole:.1%}") for event in events[:shown]]


def graphs_alone(
    config: Config, batch: int, turns: int, device: torch.device
) -> list[harness.Result]:
    """The visual graph layer, forward and backward, in float32 and in bfloat16."""
    found = []
    for precision in ("float32", "bfloat16"):
        with autocast(precision, device):
            lines = lines_graphs.visual_graph(config, turns, "", device, batch)
        found += [dataclasses.replace(one, what=f"{precision}: {one.what}") for one in lines]
    return found


def busy(
    config: Config, batch: int, steps: int, device: torch.device, compiling: bool, workers: int
) -> float:
    """The share of a training's time that the steps alone take: the loader costs the rest."""
    step = stepper_of(config, "ours", batch, device, compiling)
    with tempfile.TemporaryDirectory() as folder:
        indices = [list(range(i * batch, (i + 1) * batch)) for i in range(steps + 3)]
        gather = functools.partial(collate, share_images=False)
        photos = Photos(Path(folder), config)
        with contextlib.closing(load_batches(photos, indices, gather, workers)) as loaded:
            for _ in range(3):
                given = [next(loaded)]
                step(given)
            whole = seconds_of(lambda: [step([next(loaded)]) for _ in range(steps)])
        alone = seconds_of(lambda: [step(given) for _ in range(steps)])
    return min(alone / whole, 1.0)


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
