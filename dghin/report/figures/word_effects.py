"""Pictures of what each word does to the mask."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dghin.inspection.word_effects import WordEffect

from .curves import hide, new_figure, styled
from .masks import ERRORS, draw_errors, faded, wrap

COLUMNS = 4
NAMES = ("stays", "lost without the word", "added without the word")  # in the order of ERRORS


@styled
def word_effects_figure(
    photo: np.ndarray, effects: Sequence[WordEffect], title: str = ""
) -> Figure:
    """A panel for every word: the mask of the expression without it, beside the whole one's.

    photo (H, W, 3) uint8; effects: at least one, of one expression.
    """
    if not effects:
        raise ValueError("no effects: an expression of one word has none")
    columns = min(COLUMNS, len(effects))
    lines = -(-len(effects) // columns)
    figure = new_figure(2.6 * columns, 0.9 + 2.6 * lines)
    figure.get_layout_engine().set(h_pad=0.1)
    grid = figure.subplots(lines, columns, squeeze=False)
    hide(grid.flat)
    for axes, effect in zip(grid.flat, effects, strict=False):
        draw_errors(axes, faded(photo), effect.whole.mask, effect.without.mask)
        # all of it above: what stands below a panel reads as the next row's
        share = f"IoU with the whole one's: {100 * effect.iou:.0f} %"
        axes.set_title(f"without “{wrap(effect.word, 24)}”\n{share}", loc="left", fontsize=9)
    legend = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="black", lw=0.4, label=name)
        for name, (colour, hatch) in zip(NAMES, ERRORS.values(), strict=True)
    ]
    figure.legend(handles=legend, loc="outside lower right", ncols=3)
    if title:
        figure.suptitle(wrap(title, 90))
    return figure
