"""Pictures of the dual graph: the words' dependency edges, the patches' soft adjacency."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from data_preprocess.language.parts_of_speech import NAMES, SHORT
from dghin.inspection.observe import patch_of

from .curves import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION, hide, new_figure, styled
from .masks import faded, wrap

# the parts of speech with their colours
POS = tuple(zip(NAMES, ("#FFFFFF", BLUE, ORANGE, VERMILLION, GREEN, PURPLE, GREY), strict=True))
# weights are ink: none is clear, the greatest nearly black, so that the photo shows through
INK = LinearSegmentedColormap.from_list("ink", [(0.17, 0, 0.4, 0), (0.17, 0, 0.4, 0.95)])


@styled
def dependency_graph(language: Any, title: str = "") -> Figure:
    """An expression's dependency edges as arcs, child → head, words coloured by part of speech.

    language: data_preprocess.language.encoder.Language. A word past the last position, which the
    network never sees, is grey; a word piece is shown where it differs from the word it stands for.
    """
    words = list(language.tokens[: len(language.heads)])  # one cut-off word stands for all
    edges = graph_edges(language.heads, len(words))
    top = max((arc_height(child, head) for child, head in edges), default=0.5) + 0.3
    figure = new_figure(max(4.5, 1.0 * len(words)), 1.4 + 0.55 * top)
    axes = figure.subplots()
    hide([axes])
    for child, head in edges:
        draw_edge(axes, child, head, top)
    for place, word in enumerate(words):
        draw_word(axes, place, word, language)
    axes.set_xlim(-0.6, len(words) - 0.4)
    axes.set_ylim(-1.15, top + 0.1)
    used = sorted({int(c) for c in language.pos[1 : len(words) + 1]} - {0})
    legend = [Patch(facecolor=POS[c][1], label=POS[c][0]) for c in used]
    figure.legend(handles=legend, loc="outside lower center", ncols=max(1, len(legend)))
    axes.set_title(wrap(title, 90), loc="left")
    return figure


def graph_edges(heads: np.ndarray, count: int) -> list[tuple[int, int]]:
    """(child, head) pairs of words, 0-based; heads (L,) by position, -1 for no edge."""
    last = min(count, len(heads) - 1)
    return [(i, int(heads[i + 1]) - 1) for i in range(last) if heads[i + 1] > 0]


def arc_height(child: int, head: int) -> float:
    """Longer edges arch higher, so that nested arcs do not cross."""
    return 0.9 * abs(child - head) ** 0.6


def draw_edge(axes: Axes, child: int, head: int, top: float) -> None:
    """One arc over the words; the root, which points at itself, is an arrow from above."""
    foot, colour = 0.16, "#333333"
    if child == head:
        axes.plot([child, child], [top, foot], color=colour, lw=1.1)
        axes.plot(child, foot, "v", ms=5, color=colour)
        axes.text(child + 0.06, top, "root", va="top", fontsize=8, style="italic")
        return
    end = head + (0.15 if child > head else -0.15)  # beside the edge that leaves the head
    angle = np.linspace(0, np.pi, 60)
    across = (child + end) / 2 - (end - child) / 2 * np.cos(angle)
    up = foot + (arc_height(child, head) - foot) * np.sin(angle) ** 0.75
    axes.plot(across, up, color=colour, lw=1.1)
    axes.plot(end, foot, "v", ms=5, color=colour)


def draw_word(axes: Axes, place: int, word: str, language: Any) -> None:
    """A word in the colour of its class, the class's name below it."""
    seen = place + 1 < len(language.pos)
    number = int(language.pos[place + 1]) if seen else 0
    colour = POS[number][1]
    dark = np.dot(to_rgb(colour), (0.299, 0.587, 0.114)) < 0.55
    box = {"boxstyle": "round,pad=0.3", "facecolor": colour, "edgecolor": "#333333", "lw": 0.6}
    ink = "#AAAAAA" if not seen else "white" if dark else "black"
    word = word.replace("$", r"\$")
    axes.text(place, -0.2, word, ha="center", va="center", color=ink, fontsize=10, bbox=box)
    left = len(language.tokens) - place
    below = SHORT[number] if seen else "cut off" if left == 1 else f"and {left - 1} more,\ncut off"
    piece = language.pieces[place] if place < len(language.pieces) else "—"
    if seen and piece != word.lower():
        below += f"\n({piece})".replace("$", r"\$")
    axes.text(place, -0.62, below, ha="center", va="top", fontsize=7.5, color="#333333")


@styled
def visual_graph_figure(
    photo: np.ndarray,
    points: Sequence[tuple[float, float]],
    rows: Mapping[int, np.ndarray],
    title: str = "",
) -> Figure:
    """Rows of the soft visual adjacency over the photo: which patches a patch draws from.

    photo (H, W, 3) uint8; points: P places as (down, right) fractions of the photo; rows: for
    every level (P, h, w), each summing to 1. A row of panels a place, a column a level.
    """
    figure = new_figure(2.3 + 2.5 * len(rows), 0.4 + 2.1 * len(points))
    grid = figure.subplots(len(points), 1 + len(rows), squeeze=False)
    hide(grid.flat)
    for number, point in enumerate(points):
        grid[number, 0].imshow(photo)
        mark_point(grid[number, 0], point, photo.shape)
        grid[number, 0].set_xlabel(f"patch {number + 1}")
        for axes, (level, weights) in zip(grid[number, 1:], rows.items(), strict=True):
            draw_weights(axes, photo, weights[number], point)
            grid_size = " × ".join(map(str, weights[number].shape))
            axes.set_xlabel(f"level {level}: {grid_size} patches")
    figure.suptitle(title or "Share that each patch has in the marked one, percent")
    return figure


def draw_weights(
    axes: Axes, photo: np.ndarray, weights: np.ndarray, point: tuple[float, float] | None
) -> None:
    """A map of weights (h, w) over the faded photo, with its scale in percent."""
    height, width = photo.shape[:2]
    extent = (0, width, height, 0)
    axes.imshow(faded(photo), extent=extent)
    shown = axes.imshow(100 * weights, cmap=INK, extent=extent, vmin=0)
    bar = axes.figure.colorbar(shown, cax=axes.inset_axes((1.03, 0, 0.05, 1)))
    bar.ax.tick_params(labelsize=7)
    if point is not None:
        row, column = patch_of(point, weights.shape)
        size = height / weights.shape[0], width / weights.shape[1]
        corner = (column * size[1], row * size[0])
        for colour, line in (("white", 3), (VERMILLION, 1.5)):
            axes.add_patch(Rectangle(corner, size[1], size[0], fill=False, ec=colour, lw=line))


def mark_point(axes: Axes, point: tuple[float, float], shape: Sequence[int]) -> None:
    """A cross at a place given as (down, right) fractions."""
    x, y = point[1] * shape[1], point[0] * shape[0]
    axes.plot(x, y, "P", ms=10, color=VERMILLION, mec="white", mew=1.5)


@styled
def word_attention_figure(
    photo: np.ndarray, words: Sequence[str], shares: np.ndarray, title: str = ""
) -> Figure:
    """Every word piece's share in every patch: shares (L, h, w), of which len(words) are shown."""
    columns = min(4, len(words))
    lines = -(-len(words) // columns)
    figure = new_figure(2.6 * columns, 0.4 + 2.0 * lines)
    grid = figure.subplots(lines, columns, squeeze=False)
    hide(grid.flat)
    for axes, word, share in zip(grid.flat, words, shares, strict=False):
        draw_weights(axes, photo, share, None)
        axes.set_xlabel(word.replace("$", r"\$"))
    figure.suptitle(wrap(title, 90) or "Share of each word in each patch, percent")
    return figure
