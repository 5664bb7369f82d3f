"""On how many patches the visual graph rests while it is trained, and what its scale changes.

    spread_log(found)          # a row for every training, validation and level, from their logs
    spread_table(spread)       # a row for every scale and level: at the start, at the end
    spread_figure(spread)      # the same by iteration

Two numbers, each e to the power of an entropy (`VisualGraph.spread`): on how many patches one row
of the soft adjacency rests, and on how many all rows of an image do together. Where the first is
near 1, a patch looks at a single other; where the second is, too, all look at the same one.
"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dghin.model.encoders import STRIDES
from dghin.report.figures.curves import SERIES, new_figure, read_log, styled
from dghin.run.folder import RunFolder

from .trainings import FULL, Member

SCALES = {FULL: "paper", "visual graph scaled": "scaled", "visual graph normalised": "normalised"}
ROW, ALL = "Patches of a row", "Patches of all rows"
COLUMNS = ["Scale", "Seed", "Level", "Patches", "Iteration", ROW, ALL]
ENDS = (", first", ", last")


def spread_log(found: Sequence[Member]) -> pd.DataFrame:
    """COLUMNS: a row for every validation of the trainings of SCALES, by level. Patches: how many
    the level has. Empty where no log holds it."""
    lines = []
    for member in found:
        path = RunFolder(member.folder).log
        if member.variant not in SCALES or not path.is_file():
            continue
        log = read_log(path)
        if "graph_rows_1" not in log:
            continue
        scores = log[(log["kind"] == "val") & log["graph_rows_1"].notna()]
        for level, stride in enumerate(STRIDES[1:], 1):
            count = (-(-member.config.model.image_size // stride)) ** 2
            columns = ("iteration", f"graph_rows_{level}", f"graph_all_{level}")
            for values in scores[list(columns)].itertuples(index=False):
                lines.append([SCALES[member.variant], member.seed, level, count, *values])
    return pd.DataFrame(lines, columns=COLUMNS)


def spread_table(spread: pd.DataFrame) -> pd.DataFrame:
    """A row for every scale and level: Scale, Level, Patches, Seeds, and of both numbers the mean
    over seeds at the first validation and at the last."""
    lines = []
    for (scale, level), own in spread.groupby(["Scale", "Level"], sort=False):
        line = {"Scale": scale, "Level": level, "Patches": int(own["Patches"].max())}
        line["Seeds"] = own["Seed"].nunique()
        ordered = own.sort_values("Iteration").groupby("Seed")
        for column in (ROW, ALL):
            line[column + ENDS[0]] = ordered[column].first().mean()
            line[column + ENDS[1]] = ordered[column].last().mean()
        lines.append(line)
    return pd.DataFrame(lines)


def collapse(table: pd.DataFrame) -> str:
    """One sentence on where the graphs end up, by scale; nothing where nothing was measured."""
    parts = []
    for scale, own in table.groupby("Scale", sort=False) if len(table) else ():
        ends = [
            f"{line[ROW + ENDS[1]]:.1f} and {line[ALL + ENDS[1]]:.1f} of {line['Patches']}"
            for _, line in own.iterrows()
        ]
        parts.append(f"{scale}: {', '.join(ends)}")
    if not parts:
        return ""
    return (
        "On how many patches the visual graph rests after training, at levels 1, 2 and 3 (one row, "
        f"and all rows of a photo together): {'; '.join(parts)}."
    )


@styled
def spread_figure(spread: pd.DataFrame) -> Figure | None:
    """Both numbers by iteration, a panel a level, a colour a scale: mean over seeds. None where
    nothing was measured."""
    if spread.empty:
        return None
    levels = sorted(set(spread["Level"]))
    figure = new_figure(3.1 * len(levels), 3.2)
    panels = figure.subplots(1, len(levels), squeeze=False)[0]
    for axes, level in zip(panels, levels, strict=True):
        _level(axes, spread[spread["Level"] == level])
        axes.set_title(f"level {level}, {int(spread[spread['Level'] == level]['Patches'].max())} "
                       "patches")  # fmt: skip
    panels[0].set_ylabel("patches that the graph rests on")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _level(axes: Axes, spread: pd.DataFrame) -> None:
    """One level's curves; grey: as many as there are."""
    for colour, (scale, own) in zip(SERIES, spread.groupby("Scale", sort=False), strict=False):
        means = own.groupby("Iteration")[[ROW, ALL]].mean()
        for column, line, of in ((ROW, "-", "one row"), (ALL, "--", "all rows")):
            axes.plot(means.index, means[column], color=colour, ls=line, marker="o", ms=3,
                      label=f"{scale}, {of}")  # fmt: skip
    count = int(spread["Patches"].max())
    axes.axhline(count, color="0.6", lw=0.8, ls=":")
    axes.set_yscale("log")
    axes.set_ylim(0.9, count * 1.2)
    ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if n <= count]
    axes.set_yticks(ticks, list(map(str, ticks)))
    axes.minorticks_off()
    axes.set_xlabel("iteration")
    axes.grid(alpha=0.3)
