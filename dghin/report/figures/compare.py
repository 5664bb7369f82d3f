"""Pictures of several runs in one: scores with their intervals, and curves of training.

interval_figure(scores_table(runs), "oIoU")          # points with intervals, by split
validation_figure({"demo": read_log(path), ...})     # the score on val by iteration
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .curves import LINES, new_figure, styled, styles


@styled
def interval_figure(table: pd.DataFrame, value: str, protocol: str = "strict") -> Figure:
    """A table's `value` (percent) by split, one point a run with its interval.

    table: columns Split, Protocol, Run, `value`, and "<value>, low", "<value>, high"; an interval
    that is not known (NaN) is not drawn.
    """
    table = table[table["Protocol"] == protocol]
    splits, runs = list(dict.fromkeys(table["Split"])), list(dict.fromkeys(table["Run"]))
    figure = new_figure(min(14.0, 3.0 + len(splits) * max(1.0, 0.3 * len(runs))), 3.4)
    axes = figure.subplots()
    step = min(0.15, 0.8 / max(1, len(runs)))
    for number, (run, (colour, marker)) in enumerate(zip(runs, styles(), strict=False)):
        part = table[table["Run"] == run].set_index("Split").reindex(splits)
        place = np.arange(len(splits)) + (number - (len(runs) - 1) / 2) * step
        low, high = part[f"{value}, low"], part[f"{value}, high"]
        axes.vlines(place, low, high, color=colour, lw=1.2)
        for end in (low, high):
            axes.plot(place, end, ls="", marker="_", ms=6, color=colour)
        axes.plot(place, part[value], ls="", marker=marker, ms=5, color=colour, label=run)
    axes.set_xticks(range(len(splits)), splits)
    axes.set_xlim(-0.6, len(splits) - 0.4)
    axes.set_xlabel("split")
    axes.set_ylabel(f"{value}, percent, {protocol} protocol")
    axes.grid(axis="y", alpha=0.3)
    axes.set_title("lines: 95 % interval over images", fontsize=8, color="#555555")
    axes.legend(title="run", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@styled
def validation_figure(logs: Mapping[str, pd.DataFrame]) -> Figure | None:
    """The overall IoU on val by iteration, a curve a run; None where no run was validated.

    logs: `read_log`'s, by run. A run's best value, whose weights are kept, has a larger marker.
    """
    curves = {run: log[log["kind"] == "val"] for run, log in logs.items() if "kind" in log}
    curves = {run: val for run, val in curves.items() if len(val)}
    if not curves:
        return None
    figure = new_figure(6.4, 3.4)
    axes = figure.subplots()
    protocols = {protocol for val in curves.values() for protocol in val["protocol"]}
    for number, (item, (colour, marker)) in enumerate(zip(curves.items(), styles(), strict=False)):
        run, val = item
        label = run if len(protocols) == 1 else f"{run} ({val['protocol'].iloc[-1]})"
        axes.plot(val["iteration"], 100 * val["oiou"], color=colour, marker=marker, ms=3.5,
                  ls=LINES[number % len(LINES)], label=label)  # fmt: skip
        best = val.loc[val["oiou"].idxmax()]
        axes.plot(best["iteration"], 100 * best["oiou"], marker=marker, ms=9, color=colour,
                  markerfacecolor="none")  # fmt: skip
    of_protocol = f", {protocols.pop()} protocol" if len(protocols) == 1 else ""
    axes.set_xlabel("iteration")
    axes.set_ylabel(f"oIoU on validation, percent{of_protocol}")
    axes.grid(alpha=0.3)
    axes.legend(title="run", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
