"""Training the paper's network on one GPU: images a second, memory, and where the time goes.

    python benchmarks/gpu.py                         on a GPU; without one it says so
    python benchmarks/gpu.py tf32=off                float32 in full; =on: TF32 everywhere
    python benchmarks/gpu.py device=cpu config=demo batches=[2] steps=1     to try the script itself

One table of images a second and peak memory: the original's formulation in float32 at every batch
of `batches`, alone in memory, and ours in bfloat16 with torch.compile and channels-last memory,
compiled for each batch apart, with static shapes. How float32 is computed is stated first: torch
by itself shortens it to TF32 in convolutions, not in products. The peak is that of the steps after
the first three, in which cuDNN tries its algorithms (gpu_steps.py).

Two utilisations, both shares of the card's rate, that of a bfloat16 matrix product measured here:
of the FLOPs that are executed, which says how busy the card's units are; and of those that the
original's formulation takes, which says how fast the work is done. A profile of one step says where
the rest goes; the visual graph at stride 8 is timed alone, too, with its matrix and as we compute
it, in both precisions. Last, steps on batches that a loader with `workers` makes of JPEGs, beside
steps on a batch that is there.
Targets, for a card of the H200's class: 4 times the baseline's images a second and half its memory,
250 images a second, the card 90 % busy.
"""

import dataclasses
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import lines_graphs
import pandas as pd
import torch
from gpu_loading import loader_share
from gpu_steps import FAST, GB, SCHEDULE_IMAGES, WARM, Bench, set_tf32, settle, tf32, tf32_text
from harness import machine
from photos import Photos
from tqdm import tqdm

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_json
from data_preprocess.base.tables import to_markdown
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import load_config
from dghin.run.precision import autocast, set_deterministic

ORIGINAL, OURS = "original, float32", "ours, bfloat16"
NO_GPU = "No GPU here: nothing measured. Run this command on a machine that has one: python {}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own: dict[str, Any] = {"config": "refcoco", "device": "cuda", "batches": [6, 24, 48, 96, 128]}
    own |= {"steps": 10, "compile": True, "fits": 24, "workers": 8, "tf32": "default"}
    own["output"] = "reports/benchmarks/gpu.json"
    values, words = read_words("benchmarks.gpu", __doc__, own, arguments)
    if values["device"] == "cuda" and not torch.cuda.is_available():
        print(NO_GPU.format("benchmarks/gpu.py"))
        return
    logging.getLogger().setLevel(logging.ERROR)
    set_tf32(values["tf32"])
    set_deterministic(False)
    device = torch.device(values["device"])
    bench = Bench(load_config(values["config"], words), device, values["steps"])
    options = FAST | {"compile": values["compile"]}
    results = measure_all(bench, values["batches"], options)
    frame = table(results, values["fits"] * GB)
    best = max_batch(results)
    where = profile(bench, best, options)
    graphs = graphs_alone(bench, min(best, 8))
    shares = busy(bench, best, options, values["workers"])
    write_json(
        Path(values["output"]),
        {"machine": machine(), "settings": values, "TF32": tf32(), "results": results,
         "profile": where, "visual graph": [dataclasses.asdict(one) for one in graphs],
         "busy": shares, "original's FLOPs an image": bench.original_flops,
         "executed FLOPs an image": bench.executed_flops(options),
         "bfloat16 FLOPs a second": bench.rate},
    )  # fmt: skip
    print(flops_text(bench, options))
    print(tf32_text())
    print(to_markdown(frame))
    print(f"busy with {values['workers']} workers at batch {best}: {shares['busy']:.0%}\n")
    print(to_markdown(pd.DataFrame(where, columns=["Operation", "Share of the step's time"])))
    print(to_markdown(harness.table(graphs)), end="")


def flops_text(bench: Bench, options: dict[str, Any]) -> str:
    """FLOPs of a training image in both formulations, and the card's rate."""
    of_original, executed = bench.original_flops / 1e12, bench.executed_flops(options) / 1e12
    return (
        f"{of_original:.2f} TFLOP a training image in the original's formulation, {executed:.2f} "
        f"executed by ours; {bench.rate / 1e12:.0f} TFLOP/s in bfloat16 here"
    )


def measure_all(
    bench: Bench, batches: Sequence[int], options: dict[str, Any]
) -> list[dict[str, Any]]:
    """Both ways at every batch, up to the first that does not fit."""
    results = []
    for way, used in ((ORIGINAL, None), (OURS, options)):
        for batch in tqdm(batches, way, unit="batch", disable=None):
            make = bench.original if used is None else lambda b=batch: bench.ours(b, options)
            found = bench.measure(make, batch)
            results.append({"way": way, "batch": batch, **found})
            if not found["fits"]:
                break  # larger ones do not fit either
            results[-1] |= bench.utilisations(found["images a second"], used)
    return results


def max_batch(results: Sequence[dict[str, Any]]) -> int:
    """The batch at which ours was fastest."""
    own = [one for one in results if one["way"] == OURS and one["fits"]]
    if not own:
        raise UserError("batches: none fits on this card. Give smaller ones: batches=[1,2].")
    return max(own, key=lambda one: one["images a second"])["batch"]


def table(results: Sequence[dict[str, Any]], fits: float) -> pd.DataFrame:
    """Way, batch, images a second, beside the baseline's at that batch, memory, utilisations."""
    baseline = {x["batch"]: x for x in results if x["way"] == ORIGINAL and x["fits"]}
    lines = []
    for one in results:
        if not one["fits"]:
            lines.append((one["way"], one["batch"], "does not fit", *[""] * 7))
            continue
        first, speed, memory = baseline.get(one["batch"]), one["images a second"], "peak memory"
        faster = smaller = ""
        if first and first is not one:
            faster = f"{speed / first['images a second']:.2f}"
            smaller = f"{one[memory] / first[memory]:.2f}" if first[memory] else ""
        lines.append((
            one["way"], one["batch"], f"{speed:.1f}", faster, f"{one[memory] / GB:.1f}", smaller,
            "yes" if one[memory] <= fits else "no", f"{one['utilisation of executed FLOPs']:.0%}",
            f"{one['utilisation of the original FLOPs']:.0%}",
            f"{SCHEDULE_IMAGES / speed / 3600:.1f}",
        ))  # fmt: skip
    names = ["Way", "Batch", "Images/s", "to baseline", "Peak GB", "to baseline",
             f"Fits {fits / GB:g} GB", "Utilisation: executed", "of the original's FLOPs",
             "Paper's schedule, hours"]  # fmt: skip
    return pd.DataFrame(lines, columns=names)


def profile(
    bench: Bench, batch: int, options: dict[str, Any], shown: int = 12
) -> list[tuple[str, str]]:
    """The operations that take most of a step of ours, with their share of its time."""
    settle(bench.device)
    step, batches = bench.ours(batch, options), [bench.batch(batch)]
    for _ in range(WARM):
        step(batches)
    with torch.profiler.profile() as found:
        step(batches)
    of = "self_device_time_total" if bench.device.type == "cuda" else "self_cpu_time_total"
    events = sorted(found.key_averages(), key=lambda event: -getattr(event, of))
    whole = sum(getattr(event, of) for event in events) or 1
    return [(event.key, f"{getattr(event, of) / whole:.1%}") for event in events[:shown]]


def graphs_alone(bench: Bench, batch: int) -> list[harness.Result]:
    """The visual graph layer, forward and backward, in float32 and in bfloat16."""
    settle(bench.device)
    found = []
    for precision in ("float32", "bfloat16"):
        with autocast(precision, bench.device):
            lines = lines_graphs.visual_graph(bench.config, bench.steps, "", bench.device, batch)
        found += [dataclasses.replace(one, what=f"{precision}: {one.what}") for one in lines]
    return found


def busy(bench: Bench, batch: int, options: dict[str, Any], workers: int) -> dict[str, float]:
    """What a loader leaves of the steps' rate: see `loader_share`."""
    settle(bench.device)
    step = bench.ours(batch, options)
    with tempfile.TemporaryDirectory() as folder:
        return loader_share(step, Photos(Path(folder), bench.config), batch, workers, bench.steps)


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
