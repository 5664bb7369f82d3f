"""Look into the network in a notebook: pick an image, edit the expression, click a patch, a word.

    explorer = explore(predictor, {"3.jpg": ("photos/3.jpg", "the red star")})
    explorer                  # in JupyterLab: the controls
    explorer.figure()         # the same view as a picture, where nobody can click

A click on the photo (or the arrow keys, with the photo in focus) shows what its patch gathers from
in the visual graph; a click on a word, its share in every patch. Nothing is computed but what is
shown; a photo is encoded once.
"""

import html
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets
from matplotlib.figure import Figure

from data_preprocess.base.errors import UserError
from dghin.inspection.observe import LEVELS, STAGES, Observation, stages_of
from dghin.inspection.predictor import Encoded, Photo, Prediction, Predictor, as_photo
from dghin.report.figures.curves import DPI, hide, new_figure, png_of, styled
from dghin.report.figures.graphs import draw_weights, mark_point
from dghin.report.figures.masks import outline, wrap

from .views import checked_phrase, summary

WIDTH = 420  # pixels of the photo that is clicked, at most
STEPS = 24  # arrow keys from one side of the photo to the other
BESIDE = 240  # pixels of the photo, at least, while the view stands beside it
_SCRIPT = """
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
function render({ model, el }) {
  const picture = document.createElement("img");
  picture.alt = "The photo with the mask's outline. Click on a patch, or move with the arrow keys.";
  picture.tabIndex = 0;
  picture.dataset.lmSuppressShortcuts = true; // JupyterLab's, which would leave the cell
  picture.style.cssText = "width: 100%; cursor: crosshair";
  const draw = () => {
    URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(new Blob([model.get("png")]));
    picture.hidden = !model.get("png").byteLength;
  };
  const go = (place) => {
    model.set("place", place.map((part) => Math.min(Math.max(part, 0), 1)));
    model.save_changes();
  };
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    go([(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width]);
  });
  picture.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault(); // the page would scroll
    go(model.get("place").map((part, axis) => part + step[axis] / STEPS_ACROSS));
  });
  model.on("change:png", draw);
  draw();
  el.appendChild(picture);
}
export default { render };
""".replace("STEPS_ACROSS", str(STEPS))


class ClickablePhoto(anywidget.AnyWidget):
    """A picture that says where it was clicked: `place`, (down, right) as fractions."""

    _esm = _SCRIPT
    png = traitlets.Bytes().tag(sync=True)
    place = traitlets.List(traitlets.Float(), [0.5, 0.5]).tag(sync=True)


def has_front_end(interactive: str = "") -> bool:
    """Whether someone can click: yes, no, or (empty) where a Jupyter server started this kernel.

    papermill starts kernels by itself, so that nobody can.
    """
    if interactive not in ("", "yes", "no"):
        raise UserError(f"interactive='{interactive}': choose 'yes', 'no' or '' (find out).")
    return interactive == "yes" or (not interactive and "JPY_SESSION_NAME" in os.environ)


def explore(predictor: Predictor, photos: Mapping[str, tuple[Photo, str]]) -> "Explorer":
    """The explorer of some photos, each with the expression to begin with, by name."""
    if not photos:
        raise UserError("photos: none. Give {name: (photo, expression)}.")
    return Explorer(predictor, photos)


def short_names(names: Iterable[str]) -> list[str]:
    """What images are called in a list: the number that ends a name, or the name without its kind.

    "COCO_train2014_000000581857.jpg" → "581857"; whole names where short ones would be equal.
    """
    names = list(names)
    stems = [PurePath(name).stem for name in names]
    short = [m[1] if (m := re.search(r"_0*(\d+)$", stem)) else stem for stem in stems]
    return short if len(set(short)) == len(names) else names


class Explorer(ipywidgets.VBox):
    """The controls, the photo that is clicked, and the view."""

    def __init__(self, predictor: Predictor, photos: Mapping[str, tuple[Photo, str]]):
        self.predictor, self.photos = predictor, dict(photos)
        self.encoded: Encoded | None = None
        self.result: Prediction | None = None
        self._quiet = False
        first = next(iter(self.photos))
        choices = list(zip(short_names(self.photos), self.photos, strict=True))
        self.image = ipywidgets.Dropdown(options=choices, description="image")
        self.expression = ipywidgets.Text(
            self.photos[first][1],
            description="expression",
            continuous_update=False,
            layout={"width": "100%", "max_width": "900px"},
        )
        self.level = ipywidgets.ToggleButtons(options=LEVELS, description="level")
        self.stage = ipywidgets.ToggleButtons(
            options=stages_of(predictor.model), description="words at"
        )
        self.word = ipywidgets.ToggleButtons(options=[], description="word")
        # side by side where both have room, and one above the other on a narrow screen
        self.photo = ClickablePhoto(
            layout={"flex": f"1 1 {BESIDE}px", "min_width": "0", "max_width": f"{WIDTH}px"}
        )
        self.view = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        shown = ipywidgets.Box(
            [self.view], layout={"flex": f"2 1 {2 * BESIDE}px", "min_width": "0"}
        )
        self.message = ipywidgets.HTML()
        self._change_image()
        self.image.observe(lambda _: self._change_image(), "value")
        self.expression.observe(lambda _: self._read(), "value")
        for widget in (self.level, self.stage, self.word):
            widget.observe(lambda _: self._draw(), "value")
        self.photo.observe(lambda _: self._draw(), "place")
        panes = ipywidgets.HBox([self.photo, shown], layout={"flex_flow": "row wrap"})
        controls = [self.image, self.expression, self.level, self.stage, self.word]
        super().__init__([*controls, self.message, panes])

    def _change_image(self) -> None:
        """See another photo; of one that cannot be read, nothing is shown but what is wrong."""
        photo, text = self.photos[self.image.value]
        self.encoded = self.result = None
        try:
            self.encoded = self.predictor.encode(as_photo(photo))
        except UserError as error:
            self._complain(error)
        if text == self.expression.value:
            self._read()
        else:
            self.expression.value = text  # which reads it

    def _complain(self, error: UserError) -> None:
        self.message.value = f"<b>{html.escape(str(error))}</b>"  # it may quote the expression
        if self.result is None:
            self.photo.png = self.view.value = b""

    def _read(self) -> None:
        """Read the expression; one that cannot be read is said so, and the view stays."""
        if self.encoded is None:
            return
        try:
            text = checked_phrase(self.expression.value)
            self.result = self.predictor.predict(self.encoded, text, inspect=True)
        except UserError as error:
            self._complain(error)
            return
        pieces = list(self.result.pieces[: self.predictor.model.config.words])
        named = [(piece, place) for place, piece in enumerate(pieces)]
        self._quiet = True  # each of these two would draw
        self.word.options = named
        self.word.value = len(named) - 1  # mostly the thing that is meant
        self._quiet = False
        self.message.value = html.escape(summary(text, self.result))
        self._draw()

    def _draw(self) -> None:
        if self._quiet or self.result is None:
            return
        photo, place = np.asarray(self.encoded.photo), tuple(self.photo.place)
        self.photo.png = png_of(masked_figure(photo, self.result.mask, place))
        self.view.value = png_of(self.figure(with_photo=False))

    def figure(self, with_photo: bool = True) -> Figure:
        """What is shown now: the photo with the mask, the word's shares, the patch's neighbours."""
        return explorer_figure(
            np.asarray(self.encoded.photo),
            self.result,
            tuple(self.photo.place),
            self.level.value,
            self.word.value or 0,
            STAGES[self.stage.value],
            with_photo,
        )


@styled
def explorer_figure(
    photo: np.ndarray,
    result: Prediction,
    place: tuple[float, float],
    level: int,
    word: int,
    graph: bool,
    with_photo: bool = True,
) -> Figure:
    """Up to three panels: the mask's outline and the clicked place (with_photo); one word's share
    in every patch; what the clicked patch gathers from (where the network has a visual graph)."""
    seen: Observation = result.seen
    has_graph = seen.has(level, "visual_graph")
    count = 1 + with_photo + has_graph
    figure = new_figure(3.6 * count, 3.2)
    grid = list(figure.subplots(1, count, squeeze=False)[0])
    hide(grid)
    if with_photo:
        axes = grid.pop(0)
        draw_masked(axes, photo, result.mask, place)
        axes.set_xlabel(wrap(f"“{' '.join(result.language.tokens)}”: the mask's outline"))
    shares = seen.word_attention(level, graph)[0, word].float().cpu().numpy()
    draw_weights(grid[0], photo, shares, None)
    name = result.pieces[word].replace("$", r"\$")
    stage = next(name for name, after in STAGES.items() if after == graph)
    grid[0].set_xlabel(f"share of “{name}” in each patch, percent\nlevel {level}, {stage}")
    if has_graph:
        (weights,) = seen.rows_at(level, [place])
        draw_weights(grid[1], photo, weights, place)
        grid[1].set_xlabel(f"share of each patch in the marked one, percent\nlevel {level}")
    return figure


def draw_masked(axes: Any, photo: np.ndarray, mask: np.ndarray, place: tuple[float, float]) -> None:
    """The photo with the mask's outline and a cross at the place."""
    axes.imshow(photo)
    outline(axes, mask)
    mark_point(axes, place, photo.shape)


def masked_figure(photo: np.ndarray, mask: np.ndarray, place: tuple[float, float]) -> Figure:
    """The photo alone, filling the picture, so that a click's fractions are the photo's."""
    height, width = photo.shape[:2]
    figure = Figure(figsize=(WIDTH / DPI, WIDTH / DPI * height / width))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    draw_masked(axes, photo, mask, place)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_aspect("auto")
    return figure
