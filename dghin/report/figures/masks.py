"""Pictures of masks: truth, prediction and what is wrong, over the photo; samples of a data set."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dghin.data.split import PreparedSplit
from dghin.evaluation.metrics import MaskSample

from .curves import BLUE, VERMILLION, YELLOW, hide, new_figure, styled

# hit, missed and extra differ in lightness, and the last two are hatched: they hold in grey
ERRORS = {"hit": (BLUE, ""), "missed": (YELLOW, "////"), "extra": (VERMILLION, "....")}
COLUMNS = ("photo", "truth", "prediction", "errors")
LINE = 46  # characters of an expression's line over a panel


@styled
def mask_figure(samples: Sequence[MaskSample], title: str = "") -> Figure:
    """A row for every expression: photo, ground truth, prediction, and where they differ."""
    figure = new_figure(9, 0.5 + 2.15 * len(samples))
    grid = figure.subplots(len(samples), len(COLUMNS), squeeze=False)
    hide(grid.flat)
    for axes, sample in zip(grid, samples, strict=True):
        draw_row(axes, sample)
    for axes, name in zip(grid[-1], COLUMNS, strict=True):
        axes.set_xlabel(name)
    figure.legend(handles=error_legend(), loc="outside lower right", ncols=3, title="errors")
    if title:
        figure.suptitle(title)
    return figure


@styled
def mask_comparison_figure(samples: Mapping[str, Sequence[MaskSample]], title: str = "") -> Figure:
    """Several runs side by side: photo, ground truth, and every run's errors with its IoU.

    samples: by run, the same expressions in the same order.
    """
    runs = list(samples)
    rows = list(zip(*samples.values(), strict=True))
    figure = new_figure(2.25 * (2 + len(runs)), 0.8 + 2.15 * len(rows))
    grid = figure.subplots(len(rows), 2 + len(runs), squeeze=False)
    hide(grid.flat)
    for axes, of_runs in zip(grid, rows, strict=True):
        first = of_runs[0]
        grey = faded(first.photo)
        axes[0].imshow(first.photo)
        axes[0].set_title(wrap(f"“{first.expression}”"), loc="left", fontsize=9)
        axes[1].imshow(painted(grey, first.truth, BLUE))
        for panel, sample in zip(axes[2:], of_runs, strict=True):
            draw_errors(panel, grey, sample.truth, sample.prediction)
            panel.set_title(f"IoU {100 * sample.iou:.1f} %", loc="right", fontsize=9)
    for axes, name in zip(grid[-1], ("photo", "truth", *runs), strict=True):
        axes.set_xlabel(wrap(name, 24))
    figure.legend(handles=error_legend(), loc="outside lower right", ncols=3, title="errors")
    if title:
        figure.suptitle(title)
    return figure


def error_legend() -> list[Patch]:
    """What the colours and hatches of errors mean."""
    return [
        Patch(facecolor=colour, hatch=hatch, edgecolor="black", lw=0.4, label=name)
        for name, (colour, hatch) in ERRORS.items()
    ]


def draw_row(axes: Sequence[Axes], sample: MaskSample) -> None:
    """The four panels of one expression, which stands over them as a whole."""
    photo, truth, prediction, errors = axes
    grey = faded(sample.photo)
    photo.imshow(sample.photo)
    photo.set_title(wrap(f"“{sample.expression}”"), loc="left", fontsize=9)
    truth.imshow(painted(grey, sample.truth, BLUE))
    prediction.imshow(painted(grey, sample.prediction, BLUE))
    prediction.set_title(f"IoU {100 * sample.iou:.1f} %", loc="left", fontsize=9)
    draw_errors(errors, grey, sample.truth, sample.prediction)


def draw_errors(axes: Axes, grey: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> None:
    """Hit, missed and extra pixels over the faded photo."""
    parts = {"hit": truth & prediction, "missed": truth & ~prediction, "extra": prediction & ~truth}
    for name, part in parts.items():
        grey = painted(grey, part, ERRORS[name][0])
    axes.imshow(grey)
    for name, part in parts.items():
        hatch = ERRORS[name][1]
        if hatch and part.any():
            axes.contourf(part.astype(float), [0.5, 1.5], colors="none", hatches=[hatch])


def faded(photo: np.ndarray) -> np.ndarray:
    """The photo paled (H, W, 3) uint8, so that colours laid over it stand out."""
    return (0.4 * np.asarray(photo, np.float32) + 150).clip(0, 255).astype(np.uint8)


def painted(image: np.ndarray, mask: np.ndarray, colour: str) -> np.ndarray:
    """The image with a mask laid over it: (H, W, 3) uint8."""
    pixels = image.astype(np.float32)
    pixels[mask] = 0.15 * pixels[mask] + 0.85 * 255 * np.array(to_rgb(colour))
    return pixels.round().astype(np.uint8)


def wrap(text: str, width: int = LINE) -> str:
    """Text in lines, its end cut off after three; `$` is no formula."""
    return "\n".join(textwrap.wrap(text, width, max_lines=3, placeholder=" …")).replace("$", r"\$")


@dataclass(frozen=True)
class ObjectSample:
    """One object of a data set with all its expressions: photo (H, W, 3), truth (H, W) bool."""

    photo: np.ndarray
    truth: np.ndarray
    expressions: tuple[str, ...]


def object_samples(dataset: PreparedSplit, count: int) -> list[ObjectSample]:
    """Objects of different images, evenly spread over the split, with all their expressions."""
    by_object: dict[str, list[int]] = {}
    for index, expression in enumerate(dataset.expressions):
        by_object.setdefault(expression.segment_id, []).append(index)
    by_image: dict[str, list[list[int]]] = {}
    for members in by_object.values():
        by_image.setdefault(dataset.expressions[members[0]].image, []).append(members)
    # of each image another one in turn: the first may all be of one kind
    groups = [listed[place % len(listed)] for place, listed in enumerate(by_image.values())]
    chosen = np.unique(np.linspace(0, len(groups) - 1, min(count, len(groups))).astype(int))
    return [
        ObjectSample(
            np.asarray(dataset.image(members[0])),
            dataset.truth(members[0]),
            tuple(dataset.expressions[i].sentence for i in members),
        )
        for members in (groups[i] for i in chosen)
    ]


@styled
def samples_figure(samples: Sequence[ObjectSample]) -> Figure:
    """A sheet of objects: each outlined in its photo, its expressions below."""
    columns = 4
    rows = -(-len(samples) // columns)
    figure = new_figure(2.6 * columns, 3.0 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    hide(grid.flat)
    for axes, sample in zip(grid.flat, samples, strict=False):
        axes.imshow(sample.photo)
        axes.set_anchor("N")
        outline(axes, sample.truth)
        shown = [wrap(f"“{text}”", 34) for text in sample.expressions[:3]]
        left = len(sample.expressions) - len(shown)
        shown += [f"and {left} more"] if left else []
        shown += [] if np.asarray(sample.truth).any() else ["(names nothing in the image)"]
        axes.set_xlabel("\n".join(shown), fontsize=8)
    return figure


def outline(axes: Axes, mask: Any) -> None:
    """A mask's border, white with a dark core: seen on every ground."""
    if np.asarray(mask).any():
        padded = np.pad(np.asarray(mask, float), 1)  # a mask at the photo's edge is closed, too
        x, y = np.arange(-1, padded.shape[1] - 1), np.arange(-1, padded.shape[0] - 1)
        axes.contour(x, y, padded, [0.5], colors="white", linewidths=2.6)
        axes.contour(x, y, padded, [0.5], colors=VERMILLION, linewidths=1.3)
        axes.set_xlim(-0.5, padded.shape[1] - 2.5)
        axes.set_ylim(padded.shape[0] - 2.5, -0.5)
