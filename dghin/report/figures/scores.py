"""Pictures of scores: by group of expressions, and under controls.

    breakdown_figure(breakdown_table(results, "by_kind"), "Kind")  # bars by kind, a colour a split
    controls_figure(table)                         # does the answer follow the words?

All scores are in percent. Intervals are columns "<score>, low" and "<score>, high"; an end that is
not known (NaN, or no such column) is not drawn. Numbers of expressions stand in rows and columns
of their own, where no bar or interval can reach them.
"""

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.patheffects as effects
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, DrawingArea
from matplotlib.patches import Rectangle

from dghin.report.tables.scores import EXPRESSIONS

from .curves import HATCHES, SERIES, new_figure, styled, styles

FEW = 20  # a score of fewer expressions says little: it is drawn paler
INK, FAINT = "#222222", "#555555"
HALO = (effects.withStroke(linewidth=2, foreground="white"),)
CONTROLS = {  # in this order: name → what is done
    "shuffled": "every photo with another photo's expression",
    "blind": "no expression at all",
    "other-image": "another photo, true mask kept (long: it looks at the photo)",
    "left-right": "left and right swapped in the expression",
    "above-below": "above and below, top and bottom swapped in the expression",
}


@styled
def breakdown_figure(table: pd.DataFrame, group: str) -> Figure:
    """A table's oIoU (percent) by `group`, one bar for every split, with 95 % intervals.

    Below the bars: a row a split with its key and its numbers of expressions ("none" where there
    are none). Bars of fewer than 20 expressions are paler, and their number has an asterisk.
    """
    groups, names = _merged_order(table, group), list(dict.fromkeys(table["Split"]))
    labels = [textwrap.fill(str(name), 14, break_long_words=False) for name in groups]
    widest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    column = max(0.62, 0.09 * widest + 0.12, 0.15 * len(names) + 0.2)  # inches
    across = max(3.2, column * len(groups))
    rows = 0.17 * len(names)
    figure = new_figure(across + 1.3, 3.1 + rows)
    axes, counts = figure.subplots(2, 1, height_ratios=(2.3, max(0.17, rows)))
    few = False
    for number, name in enumerate(names):
        part = table[table["Split"] == name].set_index(group).reindex(groups)
        few |= _series_bars(axes, part, number, len(names))
        _series_counts(counts, part, number)
    _finish_breakdown(axes, counts, labels, names)
    whiskers = {"oIoU, low", "oIoU, high"} & set(table.columns)
    axes.set_title("lines on the bars: 95 % interval" if whiskers else "", fontsize=8, color=FAINT)
    axes.set_xlabel(group.lower())
    axes.set_ylabel("oIoU, percent")
    note = f"\n* and paler: fewer than {FEW}, the score says little" if few else ""
    counts.set_xlabel(f"numbers of expressions{note}", fontsize=8, color=FAINT)
    return figure


def _merged_order(table: pd.DataFrame, group: str) -> list:
    """The groups of all splits: numbers by size, names as each split has them.

    A group that only later splits have comes after the one it follows there.
    """
    values = table[group].dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        present = set(values)
        return [name for name in values.cat.categories if name in present]
    if pd.api.types.is_numeric_dtype(values):
        return sorted(set(values))
    order: list = []
    for _, part in values.groupby(table["Split"], sort=False):
        place = 0
        for name in part:
            if name not in order:
                order.insert(place, name)
            place = order.index(name) + 1
    return order


def _look(number: int, pale: bool = False) -> dict[str, Any]:
    """Colour and hatch of one series after another; pale: on a tint, the hatch in the colour."""
    colour = SERIES[number % len(SERIES)]
    tint = tuple(0.2 * part + 0.8 for part in to_rgb(colour))
    return {
        "facecolor": tint if pale else colour,
        "hatch": HATCHES[number * 7 // 6 % len(HATCHES)],
        "edgecolor": colour if pale else "white",
    }


def _series_bars(axes: Axes, part: pd.DataFrame, number: int, series: int) -> bool:
    """Draw one series' bars; → whether one of them has few expressions."""
    width = min(0.5, 0.82 / series)
    any_few = False
    for place, (_, line) in enumerate(part.iterrows()):
        x = place + (number - (series - 1) / 2) * width
        score, count = number_in(line, "oIoU"), number_in(line, EXPRESSIONS)
        if not count > 0:
            continue
        few = count < FEW
        any_few |= few
        if math.isnan(score):
            axes.annotate("?", (x, 0), (0, 2), textcoords="offset points", ha="center", fontsize=7)
            continue
        axes.bar(x, score, 0.9 * width, linewidth=0.8, **_look(number, few))
        ends = (number_in(line, f"oIoU, {end}") for end in ("low", "high"))
        _whisker(axes, x, score, *ends, cap=min(0.06, 0.25 * width))
    return any_few


def number_in(line: pd.Series, column: str) -> float:
    """A cell as a number; NaN where it is missing or there is no such column."""
    found = line.get(column)
    return math.nan if found is None or pd.isna(found) else float(found)


def _whisker(
    axes: Axes,
    place: float,
    score: float,
    low: float,
    high: float,
    cap: float,
    sideways: bool = False,
) -> None:
    """The interval of a score, each end for itself: one that is NaN is not drawn.

    The ends need not lie around the score: those of a bootstrap may both be on one side.
    """
    for end in (low, high):
        if math.isnan(end) or math.isnan(score):
            continue
        along = [score, end, math.nan, end, end]
        across = [place, place, math.nan, place - cap, place + cap]
        x, y = (along, across) if sideways else (across, along)
        halo = () if sideways else HALO  # sets it off from hatches
        axes.plot(x, y, color=INK, lw=1, solid_capstyle="butt", path_effects=halo, zorder=4)


def _series_counts(counts: Axes, part: pd.DataFrame, number: int) -> None:
    """A row of the numbers below the bars; at its left end the series' key."""
    for place, (_, line) in enumerate(part.iterrows()):
        count = number_in(line, EXPRESSIONS)
        text = f"{int(count):,}" if count > 0 else "none"
        colour = INK if count > 0 else FAINT
        mark = "*" if 0 < count < FEW else ""
        counts.text(place, number, text + mark, ha="center", va="center", fontsize=8, color=colour)
    key = DrawingArea(16, 8)  # points, so that it keeps its place beside the name
    key.add_artist(Rectangle((0, 0), 16, 8, **_look(number)))
    beside = AnnotationBbox(key, (0, number), (-20, 0), xycoords=("axes fraction", "data"),
                            boxcoords="offset points", box_alignment=(0, 0.5), pad=0,
                            frameon=False)  # fmt: skip
    counts.add_artist(beside)


def _finish_breakdown(axes: Axes, counts: Axes, labels: list[str], names: Sequence[str]) -> None:
    for one in (axes, counts):
        one.set_xlim(-0.5, max(1, len(labels)) - 0.5)
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 101)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    if not labels:
        axes.text(0.5, 0.5, "no expressions", ha="center", transform=axes.transAxes)
    counts.set_ylim(max(1, len(names)) - 0.5, -0.5)
    counts.set_xticks([])
    counts.set_yticks(range(len(names)), names)
    counts.tick_params(axis="y", length=0, pad=24)  # the keys stand between
    counts.spines[:].set_visible(False)


@styled
def controls_figure(table: pd.DataFrame) -> Figure:
    """How far the answer follows the words: from the control's score to the real one.

    A row a control and split. Columns: Split, Control, Expressions, "oIoU, real" and
    "oIoU, control" (percent, of the same expressions), both with ", low" and ", high", and Changed
    (percent of the answers that are another under the control, NaN where that is unknown).
    """
    order = [name for name in CONTROLS if name in set(table["Control"])]
    order += [name for name in dict.fromkeys(table["Control"]) if name not in order]
    splits = list(dict.fromkeys(table["Split"]))
    looks = dict(zip(splits, styles(), strict=False))
    figure = new_figure(8, 1.5 + 0.24 * len(table) + 0.36 * len(order))
    axes = figure.subplots()
    y, ticks = 0.0, {}
    for name in order:
        _control_heading(axes, y, name)
        for _, line in table[table["Control"] == name].iterrows():
            y += 1
            ticks[y] = line["Split"]
            _dumbbell(axes, y, line, *looks[line["Split"]])
        y += 1.5
    _finish_controls(axes, y - 0.9, ticks)
    return figure


def _control_heading(axes: Axes, y: float, name: str) -> None:
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    text = f"{name}: {CONTROLS[name]}" if name in CONTROLS else name
    axes.annotate(text, (0, y), (4, 0), weight="bold", fontsize=8.5, **place)


def _dumbbell(axes: Axes, y: float, line: pd.Series, colour: str, marker: str) -> None:
    """One row: a band between the two scores, their intervals beside it, the numbers right."""
    real, control = number_in(line, "oIoU, real"), number_in(line, "oIoU, control")
    axes.plot([control, real], [y, y], color=colour, lw=5, alpha=0.35, solid_capstyle="butt")
    for which, score, above in (("real", real, -0.16), ("control", control, 0.16)):
        ends = (number_in(line, f"oIoU, {which}, {end}") for end in ("low", "high"))
        _whisker(axes, y + above, score, *ends, cap=0.1, sideways=True)
        face = colour if which == "real" else "white"
        axes.plot([score], [y + above], marker=marker, ms=6, mec=colour, mfc=face, mew=1.4,
                  ls="", zorder=5)  # fmt: skip
    count, changed = number_in(line, EXPRESSIONS), number_in(line, "Changed")
    scores = " → ".join("–" if math.isnan(s) else f"{s:.1f}" for s in (real, control))
    shown = (
        scores if count > 0 else "–",
        "–" if math.isnan(changed) else f"{changed:.0f} %",
        f"{int(count):,}" if count > 0 else "none",
    )
    _columns(axes, y, shown, {})


def _columns(axes: Axes, y: float, texts: Iterable[str], look: dict) -> None:
    """Text in the three columns right of the axes."""
    for text, right in zip(texts, (82, 138, 202), strict=True):  # points
        axes.annotate(text, (1, y), (right, 0), xycoords=("axes fraction", "data"), va="center",
                      textcoords="offset points", ha="right", fontsize=8, **look)  # fmt: skip


def _finish_controls(axes: Axes, bottom: float, ticks: dict[float, str]) -> None:
    axes.set_ylim(max(bottom, 0.5), -1.6)
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 100)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("oIoU, percent; thin lines: 95 % interval")
    heads = ("real → control", "answers\nchanged", EXPRESSIONS.lower())
    _columns(axes, -1.1, heads, {"color": FAINT})
    axes.set_title(
        "How far does the answer follow the words?\n"
        "The longer the band from the open mark (control) to the filled one (real), the further.",
        loc="left",
        fontsize=9,
    )
    if not ticks:
        axes.text(0.5, 0.5, "no controls", ha="center", transform=axes.transAxes)
