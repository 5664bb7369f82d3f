"""How a training step grows: with the image's size, the words, the batch; and with processes.

    python benchmarks/growth.py                                the paper's network, 224 to 640
    python benchmarks/growth.py config=demo sizes=[64,96,128]  a smaller one

One step (forward, backward, AdamW) on noise at every point; time is the median of `turns` steps,
memory the forward pass's peak, nearly all of which it keeps for the backward pass. The figure shows
both, with the exponents fitted to the upper half of each curve beside those expected: almost
everything is done once a patch, so that time and memory should grow with the area, size squared
(the visual graph's attention alone, a small part of both, grows with its square), and with the
batch as it is; words are few beside patches.

`processes.py` measures real trainings on several processes. Here is what more of them give on
paper: each computes its own expressions as fast as one does alone (`rate` expressions a second;
without it, as measured here at the config's size), then sends and receives 2 (n - 1) / n times the
gradients' bytes at `gbits` Gbit/s, as if nothing of that were hidden behind the backward pass.
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from harness import MIB, machine, peak_memory, seconds_of
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from noise import loss_of, random_batch, random_network, step_of
from processes import gradient_bytes, sent_bytes
from tqdm import tqdm

from data_preprocess.base.files import write_json
from data_preprocess.base.tables import to_markdown
from dghin.report.figures.curves import BLUE, GREY, save_figure, styled
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import Config, load_config
from dghin.run.precision import keep_freed_memory
from dghin.run.processes import threads
from dghin.training.device.recompute import recompute_cheap

AXES = {
    "image size": ("model.image_size", 2.0),
    "words": ("model.words", 0.0),
    "batch": ("batch", 1.0),
}  # the setting, and the exponent that is expected of time and memory


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own: dict[str, Any] = {"config": "refcoco", "sizes": [224, 320, 416, 512, 640]}
    own |= {"words": [10, 17, 25, 40], "batches": [1, 2, 4], "turns": 3, "small": 224}
    own |= {"rate": 0.0, "gbits": 100.0, "output": "reports/benchmarks"}
    values, words = read_words("benchmarks.growth", __doc__, own, arguments)
    keep_freed_memory()
    config = load_config(values["config"], words)
    torch.set_num_threads(threads(config.train.threads))
    small = {"model.image_size": values["small"], "batch": 1}
    axes = {
        "image size": [{"model.image_size": size, "batch": 1} for size in values["sizes"]],
        "words": [small | {"model.words": count} for count in values["words"]],
        "batch": [small | {"batch": count} for count in values["batches"]],
    }
    found = {
        axis: [
            measure(values["config"], words, point, values["turns"])
            for point in tqdm(points, axis, unit="point", disable=None)
        ]
        for axis, points in axes.items()
    }
    output = Path(values["output"])
    write_json(output / "growth.json", {"machine": machine(), "growth": found})
    saved = save_figure(growth_figure(found), output, "growth")
    print(to_markdown(summary(found)))
    rate = values["rate"] or rate_at(found["image size"], config.model.image_size)
    print(to_markdown(exchanged(config, rate, values["gbits"])))
    print(saved)


def measure(name: str, words: Sequence[str], point: Mapping[str, Any], turns: int) -> dict:
    """A point's seconds (median) and MiB of one step."""
    settings = [f"{key}={value}" for key, value in point.items() if key != "batch"]
    config = load_config(name, [*words, *settings])
    network = random_network(config).eval()  # in training, norms want more than one expression
    recompute_cheap(network)
    batch = random_batch(config, point["batch"])
    step = step_of(network, batch)
    step()
    seconds = statistics.median(seconds_of(step) for _ in range(turns))
    kept = peak_memory(lambda: loss_of(network, batch))
    return {**point, "seconds": seconds, "MiB": kept / MIB}


def exponent(points: Sequence[Mapping[str, Any]], axis: str, what: str) -> float:
    """The slope of log(what) over log(axis), fitted to the upper half of the points."""
    upper = points[len(points) // 2 - (len(points) == 2) :]
    x, y = (np.log([point[key] for point in upper]) for key in (AXES[axis][0], what))
    return float(np.polyfit(x, y, 1)[0])


def summary(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """Every point's time and memory, and the exponents of its axis."""
    lines = []
    for axis, points in found.items():
        for point in points:
            figures = point[AXES[axis][0]], f"{point['seconds']:.2f}", f"{point['MiB']:,.0f}"
            slopes = (f"{exponent(points, axis, what):.2f}" for what in ("seconds", "MiB"))
            last = (*slopes, f"{AXES[axis][1]:g}") if point is points[-1] else ("", "", "")
            lines.append((axis, *figures, *last))
    names = ["Axis", "Value", "Seconds", "MiB", "Exponent, time", "Exponent, memory", "Expected"]
    return pd.DataFrame(lines, columns=names)


def rate_at(points: Sequence[Mapping[str, Any]], size: int) -> float:
    """Expressions a second at an image size, between the measured ones on logarithmic axes."""
    sizes, seconds = (
        np.log([p[key] for p in points]) for key in (AXES["image size"][0], "seconds")
    )
    return float(np.exp(-np.interp(np.log(size), sizes, seconds)))


def exchanged(
    config: Config, rate: float, gbits: float, processes: Sequence[int] = (1, 2, 8, 64)
) -> pd.DataFrame:
    """What each of n processes sends in a step (ring all-reduce), how long that takes, and the
    expressions a second of all, where one alone does `rate`."""
    lines, own, gradients = [], config.train.batch_per_process or 6, gradient_bytes(config)
    for n in processes:
        sent = sent_bytes(gradients, n)
        passed = sent / (gbits / 8 * 1e9)
        together = n * own / (own / rate + passed)
        share = together / (n * rate)
        lines.append(
            (n, n * own, f"{sent / MIB:,.0f}", f"{passed:.3f}", f"{together:,.3g}", f"{share:.1%}")
        )
    names = ["Processes", "Expressions a step", "MiB sent by each", f"Seconds at {gbits:g} Gbit/s"]
    names += ["Expressions/s on paper", "of n times one"]
    return pd.DataFrame(lines, columns=names)


@styled
def growth_figure(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """A column an axis; time above, memory below, on logarithmic axes."""
    figure = Figure(figsize=(3.1 * len(found), 5.2), layout="constrained")
    grid = figure.subplots(2, len(found), squeeze=False)
    labels = {"seconds": "seconds a step", "MiB": "MiB of activations"}
    for column, (axis, points) in enumerate(found.items()):
        key, expected = AXES[axis]
        x = np.array([point[key] for point in points], float)
        for axes, (what, label) in zip(grid[:, column], labels.items(), strict=True):
            y = np.array([point[what] for point in points])
            slope = exponent(points, axis, what)
            axes.loglog(x, y, "o-", color=BLUE, label=f"measured, exponent {slope:.2f}")
            guide = y[-1] * (x / x[-1]) ** expected
            axes.loglog(x, guide, "--", color=GREY, label=f"expected, exponent {expected:g}")
            axes.set(xlabel=axis, ylabel=label if column == 0 else "")
            axes.set_xticks(x, [f"{value:g}" for value in x])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_ylim(min(y.min(), guide.min()) / 1.5, max(y.max(), guide.max()) * 2.2)
            axes.legend(loc="upper left", fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
