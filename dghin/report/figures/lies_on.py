"""Picture of what the masks lie on: a bar a kind of expression, in parts.

lies_on_figure(lies_on_table(results))
"""

import matplotlib.patheffects as effects
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dghin.report.tables.objects.lies_on import GUESS, PLACES
from dghin.report.tables.objects.sentences import shown_split
from dghin.report.tables.scores import EXPRESSIONS

from .curves import BLUE, GREY, ORANGE, SKY, VERMILLION, new_figure, styled

COLOURS = dict(zip(PLACES.values(), (BLUE, ORANGE, VERMILLION, SKY, "#CCCCCC", GREY), strict=True))
PATTERNS = dict(zip(PLACES.values(), ("", "///", "xx", "...", "", "\\\\\\"), strict=True))
LEAST = 6  # percent: a part that is narrower has no room for its number
INK = "#222222"
HALO = (effects.withStroke(linewidth=4, foreground="white"),)
MARK = "a guess among the objects that the name fits"


@styled
def lies_on_figure(table: pd.DataFrame, named: pd.DataFrame | None = None) -> Figure:
    """A bar a kind, whose parts are what its masks lie on, in percent.

    table: of `lies_on_table`; drawn are the test splits together, or the last split. named: of
    `named_table`, for a mark at what a guess among the objects that the name fits would reach.
    """
    split = shown_split(table)
    lines = table[table["Split"] == split].reset_index(drop=True)
    guesses = {}
    if named is not None:
        guesses = named[named["Split"] == split].set_index("Kind")[GUESS].to_dict()
    figure = new_figure(9, 1.5 + 0.42 * len(lines))
    axes = figure.subplots()
    for place, line in lines.iterrows():
        _bar(axes, int(place), line)
        guess = guesses.get(line["Kind"])
        if guess is not None:
            axes.plot([guess] * 2, [place - 0.42, place + 0.42], color=INK, lw=1.6, zorder=4,
                      path_effects=HALO, label=MARK)  # fmt: skip
    _finish(axes, lines, split)
    return figure


def _bar(axes: Axes, place: int, line: pd.Series) -> None:
    """One kind's bar, the parts from left to right, with their numbers where there is room."""
    start = 0.0
    for name in PLACES.values():
        share = float(line[name])
        axes.barh(place, share, 0.7, start, color=COLOURS[name], hatch=PATTERNS[name],
                  edgecolor="white", linewidth=0.8, label=name)  # fmt: skip
        if share >= LEAST:
            text = axes.text(start + 1.2, place, f"{share:.0f}", va="center", fontsize=8, color=INK)
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85})
        start += share


def _finish(axes: Axes, lines: pd.DataFrame, split: str) -> None:
    names = [
        f"{kind} ({count:,})" for kind, count in zip(lines["Kind"], lines[EXPRESSIONS], strict=True)
    ]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"percent of the masks of a kind; in brackets: expressions ({split})")
    axes.tick_params(axis="y", length=0)
    handles, labels = axes.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))  # each name once
    shown = {name: known[name] for name in (*PLACES.values(), MARK) if name in known}
    axes.figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=4,
                       fontsize=8)  # fmt: skip
