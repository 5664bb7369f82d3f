"""Picture of an ablation: what is lost when a part of the network is taken out.

Every seed of every variant is shown, compared with the full network:

    ablation_figure(seeds_table(scores(members), "full"))  # scores: dghin/ablation/trainings.py
"""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dghin.report.figures.curves import BLUE, GREY, VERMILLION, new_figure, styled
from dghin.report.figures.scores import FAINT, INK, number_in


def seeds_table(scores: pd.DataFrame, full: str) -> pd.DataFrame:
    """What `ablation_figure` takes, from a line a training and split; `full` comes first.

    Columns of `scores`: Variant, Split, and oIoU in percent. A variant that a split lacks has a
    mean of NaN there.
    """
    variants = sorted(dict.fromkeys(scores["Variant"]), key=lambda name: name != full)
    lines: list[dict] = []
    for variant in variants:
        line: dict = {"Variant": variant}
        for split in dict.fromkeys(scores["Split"]):
            chosen = (scores["Variant"] == variant) & (scores["Split"] == split)
            seeds = scores.loc[chosen, "oIoU"].astype(float)
            line |= {f"{split}, mean": seeds.mean(), f"{split}, sd": seeds.std(ddof=1)}
            line[f"{split}, seeds"] = seeds.tolist()
        lines.append(line)
    return pd.DataFrame(lines, columns=None if lines else ["Variant"])


@styled
def ablation_figure(table: pd.DataFrame) -> Figure:
    """Every seed of every variant, mean ± standard deviation, against the first variant.

    A row a variant, the full network first; a panel a split, all of the same span. Columns:
    Variant, and for each split "<split>, mean", "<split>, sd" (NaN of one seed) and
    "<split>, seeds" (a list of scores), in percent.
    """
    splits = [name.removesuffix(", mean") for name in table.columns if name.endswith(", mean")]
    across = min(3, max(1, len(splits)))
    down = max(1, math.ceil(len(splits) / across))
    height = 0.9 + 0.34 * len(table)
    figure = new_figure(2.2 + 3.1 * across, 0.4 + height * down)
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    names = [textwrap.fill(str(name), 28) for name in table["Variant"]]
    span = max((_span(table, split) for split in splits), default=1.0)
    for axes, split in zip(grid.flat, splits, strict=False):
        _variants(axes, table, split, span)
        axes.set_title(split)
        axes.set_xlabel("oIoU, percent")
    for axes in grid.flat[len(splits) :]:
        axes.set_axis_off()
    grid[0, 0].set_yticks(range(len(names)), names)
    grid[0, 0].set_ylim(len(names) - 0.4, -0.6)
    figure.suptitle(
        "rings: one seed each; mark and line: mean ± standard deviation of the seeds;\n"
        "band: the first row's. Right: difference to it. The axes do not start at 0.",
        fontsize=8,
        color=FAINT,
    )
    return figure


def _seeds(line: pd.Series, split: str) -> np.ndarray:
    found = line.get(f"{split}, seeds")
    return np.asarray(found, float) if isinstance(found, Sequence | np.ndarray) else np.zeros(0)


def _reach(table: pd.DataFrame, split: str) -> tuple[float, float]:
    """The lowest and highest number that a panel has to show."""
    mean = table[f"{split}, mean"].astype(float)
    sd = table[f"{split}, sd"].astype(float).fillna(0)
    seeds = np.concatenate([_seeds(line, split) for _, line in table.iterrows()] or [[]])
    values = np.concatenate([mean - sd, mean + sd, seeds])
    values = values[np.isfinite(values)]
    return (values.min(), values.max()) if len(values) else (0.0, 100.0)


def _span(table: pd.DataFrame, split: str) -> float:
    low, high = _reach(table, split)
    return max(1.0, high - low)


def _variants(axes: Axes, table: pd.DataFrame, split: str, span: float) -> None:
    low, high = _reach(table, split)
    middle = (low + high) / 2
    axes.set_xlim(middle - 0.58 * span, middle + 0.58 * span)
    reference = number_in(table.iloc[0], f"{split}, mean") if len(table) else math.nan
    for place, (_, line) in enumerate(table.iterrows()):
        mean, sd = number_in(line, f"{split}, mean"), number_in(line, f"{split}, sd")
        colour = BLUE if place == 0 else VERMILLION
        if place == 0 and not math.isnan(mean):
            axes.axvline(mean, color=BLUE, lw=0.8, ls="--", zorder=1)
            if not math.isnan(sd):
                axes.axvspan(mean - sd, mean + sd, color=BLUE, alpha=0.12, lw=0, zorder=0)
        seeds = _seeds(line, split)
        axes.plot(seeds, np.full(len(seeds), place + 0.2), "o", mfc="none", mec=INK, ms=4, mew=0.8)
        axes.errorbar(mean, place - 0.1, xerr=None if math.isnan(sd) else sd, fmt="Ds"[place == 0],
                      color=colour, ms=5, capsize=3, lw=1.4, zorder=4)  # fmt: skip
        text = (
            "–" if math.isnan(mean) else f"{mean:.1f}" if place == 0 else _signed(mean - reference)
        )
        axes.annotate(text, (1, place), (4, 0), xycoords=("axes fraction", "data"), va="center",
                      textcoords="offset points", fontsize=8)  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(GREY)


def _signed(difference: float) -> str:
    return "–" if math.isnan(difference) else f"{difference:+.1f}".replace("-", "−")
