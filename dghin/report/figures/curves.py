"""Pictures of numbers: learning curves, breakdowns, precision; and how every figure is saved.

Figures are plain `matplotlib.figure.Figure` objects, made without pyplot: no global state, no
display. Colours are Okabe and Ito's, told apart by colour-blind eyes; hatches and line styles
carry the same in grey.

    save_figure(learning_curves(read_log(path)), folder, "learning_curves")  # .png and .pdf
"""

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path, read_text
from dghin.evaluation.metrics import expression_iou, first_protocol
from dghin.report.tables.scores import LANGUAGE_CONTROL

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILLION, YELLOW, GREY = "#56B4E9", "#D55E00", "#F0E442", "#999999"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY)
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++")
LINES = ("-", "--", ":", "-.")
MARKERS = "os^Dv*P"
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,  # text stays text in the PDF
}
DPI = 144


@dataclass(frozen=True)
class SavedFigure:
    """A figure on disk; in a notebook it shows itself."""

    png: Path
    pdf: Path

    def __repr__(self) -> str:
        return f"figure: {self.png}"

    def _repr_png_(self) -> bytes:
        return self.png.read_bytes()


styled = matplotlib.rc_context(STYLE)  # a decorator: the function draws in the house's style


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


@styled
def save_figure(figure: Figure, folder: Path, name: str) -> SavedFigure:
    """Write <folder>/<name>.png and .pdf, each atomically; equal figures give equal bytes."""
    saved = SavedFigure(Path(folder) / f"{name}.png", Path(folder) / f"{name}.pdf")
    with atomic_path(saved.png) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})
    with atomic_path(saved.pdf) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"CreationDate": None})
    return saved


@styled
def png_of(figure: Figure) -> bytes:
    """A figure as PNG, not written anywhere."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def remove_figure(folder: Path, name: str) -> None:
    """Remove what `save_figure` wrote, where it is."""
    for suffix in ("png", "pdf"):
        (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def read_log(path: Path) -> pd.DataFrame:
    """A training run's log.jsonl (dghin/training/logbook.py): one line a record, columns as found.

    A last line that is not complete (it is being written, or was at a kill) is left out.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such log. Train first: dghin train run=RUN.")
    remedy = "Copy the file again, or move it away: a report needs none."
    *lines, _ = read_text(path, remedy, "a log").split("\n")
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(json.loads(line) if line.strip() else {})
            if not isinstance(entries[-1], dict):
                raise ValueError("no object")
        except ValueError as error:
            problem = f"line {number}: {error}"
            raise UserError(f"{path}: not readable as a log ({problem}). {remedy}") from error
    return pd.DataFrame([entry for entry in entries if entry] or {"kind": []})


@styled
def learning_curves(log: pd.DataFrame) -> Figure:
    """Loss, score on val and learning rate by iteration.

    Marked: the weights that are kept, steps that were skipped, where a stopped run went on.
    """
    figure = new_figure(9, 3)
    loss, score, rate = figure.subplots(1, 3)
    train, val = log[log["kind"] == "train"], log[log["kind"] == "val"]
    loss.plot(train["iteration"], train["loss"], color=BLUE, label="all five outputs")
    if "seg" in train:
        loss.plot(train["iteration"], train["seg"], color=ORANGE, ls="--", label="mask alone")
    loss.set_ylabel("training loss")
    loss.set_ylim(bottom=0)
    _mark_events(loss, log)
    loss.legend()
    _validation_curves(score, val)
    rate.plot(train["iteration"], train["lr"], color=GREY)
    rate.set_ylabel("learning rate")
    for axes in (loss, score, rate):
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.3)
    return figure


def _mark_events(axes: Axes, log: pd.DataFrame) -> None:
    """Crosses at the bottom for steps that were skipped, lines where a run went on."""
    events = log["iteration"] if "iteration" in log else pd.Series(np.nan, log.index)
    skipped = events[log["kind"] == "skipped"]
    if len(skipped):
        axes.plot(skipped, np.zeros(len(skipped)), ls="", marker="x", color=VERMILLION, zorder=3,
                  clip_on=False, label=f"{len(skipped)} skipped steps")  # fmt: skip
    resumed = events[(log["kind"] == "start") & (events > 0)].unique()
    for number, iteration in enumerate(resumed):
        label = "stopped, went on" if number == 0 else None
        axes.axvline(iteration, color=GREY, lw=0.8, ls="-.", label=label)


def _validation_curves(axes: Axes, val: pd.DataFrame) -> None:
    if val.empty:
        axes.text(0.5, 0.5, "no scores on validation", ha="center", transform=axes.transAxes)
        return
    names = {"oiou": "overall IoU", "miou": "mean IoU", "pr50": "Pr@0.5"}
    column = chosen_by(val)
    if column == "score":  # a mean IoU that counts right answers of "nothing" has another name
        names = {"oiou": "cIoU", "miou": "gIoU", "n_acc": "N-acc"}
    for (name, label), colour, marker in zip(names.items(), SERIES, "os^", strict=False):
        axes.plot(val["iteration"], 100 * val[name], color=colour, marker=marker, ms=4, label=label)
    best = val.loc[val[column].idxmax()]
    axes.axvline(best["iteration"], color=GREY, ls=":")
    side = "right" if best["iteration"] > val["iteration"].mean() else "left"
    axes.text(best["iteration"], 99, f" kept: {100 * best[column]:.1f} ", ha=side, va="top")
    axes.set_ylabel(f"validation, {val['protocol'].iloc[-1]} protocol, percent")
    axes.set_ylim(0, 100)
    axes.legend(loc="lower right")


def chosen_by(val: pd.DataFrame) -> str:
    """The column of a log's validations that the weights were picked by: `score` where expressions
    may have no target, else overall IoU (in all logs of older versions, too)."""
    return "score" if "score" in val and val["score"].notna().all() else "oiou"


def styles() -> Iterator[tuple[str, str]]:
    """Colour and marker of one series after another: as many pairs as there are combinations."""
    return zip(itertools.cycle(SERIES), itertools.cycle(MARKERS), strict=False)


@styled
def precision_curves(results: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """The share of expressions that reach every IoU, a curve a split; dashed: `shuffled`.

    Under the first protocol that the rows have.
    """
    protocol = first_protocol(next(iter(results[""].values())))
    figure = new_figure(5.2, 3.6)
    axes = figure.subplots()
    thresholds = np.linspace(0, 1, 101)
    shown = {name: results[name] for name in ("", LANGUAGE_CONTROL) if name in results}
    for number, (control, splits) in enumerate(shown.items()):
        for (colour, marker), (split, rows) in zip(styles(), splits.items(), strict=False):
            if f"{protocol}_union" not in rows:
                continue
            iou = expression_iou(rows[f"{protocol}_intersection"], rows[f"{protocol}_union"])
            shares = 100 * (iou[None] >= thresholds[:, None]).mean(axis=1)
            label = f"{split}, {control}" if control else split
            axes.plot(thresholds, shares, color=colour, ls=LINES[number % len(LINES)],
                      marker=marker, ms=4, markevery=10, label=label)  # fmt: skip
    axes.set_xlabel(f"IoU at least t, {protocol} protocol")
    axes.set_ylabel("expressions, percent")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 101)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@styled
def length_histogram(lengths: Mapping[str, Sequence[int]]) -> Figure:
    """The share of every split's expressions by number of words (spaCy tokens)."""
    figure = new_figure(6, 2.8)
    axes = figure.subplots()
    longest = max((max(values) for values in lengths.values() if len(values)), default=1)
    words = np.arange(1, longest + 1)
    parts = zip(styles(), itertools.cycle(LINES), lengths.items(), strict=False)
    for (colour, marker), line, (split, values) in parts:
        counts = np.bincount(values, minlength=longest + 1)[1:]
        label = f"{split} ({len(values):,} expressions)"
        share = 100 * counts / max(1, len(values))
        axes.plot(words, share, color=colour, ls=line, marker=marker, ms=3.5, label=label)
    axes.set_xlabel("words of the expression")
    axes.set_ylabel("share of the split, percent")
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    if len(lengths) > 4:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    else:
        axes.legend()
    return figure


def hide(axes: Iterable[Axes]) -> None:
    """No ticks and no frame, for pictures."""
    for one in axes:
        one.set_xticks([])
        one.set_yticks([])
        for spine in one.spines.values():
            spine.set_visible(False)
