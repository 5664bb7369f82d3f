"""A page to try the network: drop a photo, type a phrase, see the mask and what was looked at.

dghin demo                 # the network of the last `make reproduce`
dghin demo run=demo model=FOLDER_OR_HUB_NAME port=7860

Needs Gradio: pip install -e '.[demo]'. Only this machine can open the page (host=127.0.0.1);
it has no password. Nothing is fetched from the internet.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.shapes.scene import SHAPES
from dghin.model.hub import CONFIG
from dghin.run.config import load_config
from dghin.run.folder import RunFolder

log = logging.getLogger(__name__)
EXAMPLES = 6
TELLING = 5  # words of an example's phrase, where there is a choice
Example = tuple[Image.Image, str]  # a photo and an expression


def load_page() -> Any:
    """The module of the page; without Gradio an error that says how to get it."""
    try:
        from dghin.demo import page as demo_page
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UserError(
            "The page needs Gradio, which is not installed: pip install -e '.[demo]'"
        ) from error
    return demo_page


def model_of(values: dict[str, Any]) -> str:
    """The folder or the hub's name of the network that is meant."""
    if values["model"]:
        return values["model"]
    folder = RunFolder(Path(values["reports"]) / values["run"]).best
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{folder}: no trained network. Run `make reproduce` first, or name one: "
            "model=FOLDER, or model=OWNER/NAME of a hub."
        )
    return str(folder)


def training_of(model: str) -> str:
    """What the network of a folder was trained on, in plain sentences for the page.

    From the config of the run that the folder lies in (<run>/train/best); a folder without one, or
    a hub's repository, does not say it.
    """
    path = RunFolder(Path(model).parent.parent).config
    try:
        config = load_config(str(path)) if path.is_file() else None
    except UserError as error:
        log.info("%s: not read (%s)", path, error)
        config = None
    if config is None:
        return (
            f"What this network was trained on is not known: {model} holds no settings of its "
            "training. On what it never saw, its masks mean nothing."
        )
    data, start = config.data, config.weights.network
    before = f" It started from the network {start}, which saw other data before." if start else ""
    if data.shapes:
        return (
            f"This network was trained on {data.shapes:,} drawn scenes of coloured shapes "
            f"({', '.join(SHAPES)}). It knows coloured shapes only: on a photograph, its mask "
            f"means nothing.{before}"
        )
    names = f"{data.dataset} ({', '.join(data.members)})" if data.members else data.dataset
    return (
        f"This network was trained on the data set {names}, split {data.train_split} (run "
        f"{config.name}). It knows things and phrases like those in it.{before}"
    )


def examples_of(model: str, values: dict[str, Any], count: int = EXAMPLES) -> list[Example]:
    """Photos of the run's validation split, each with an expression; none where it is not here.

    The data are looked for where the run had them, and in data=FOLDER.
    """
    folders = [Path(model).parent.parent, Path(values["reports"]) / values["run"]]
    config = next((path for f in folders if (path := RunFolder(f).config).is_file()), None)
    if config is None:
        log.info("%s: no config.yaml of the run, so the page has no examples", folders[0])
        return []
    for words in ([], [f"data.root={values['data']}", "data.prepared="]):
        try:
            return _read_examples(str(config), words, count)
        except UserError as error:
            reason = error
    log.info("the page has no examples: %s", reason)
    return []


def _read_examples(config: str, words: Sequence[str], count: int) -> list[Example]:
    from dghin.data.dataset import open_split

    settings = load_config(config, words)
    if not settings.data.prepared_root.is_dir():  # nothing is fetched for examples
        raise UserError(f"{settings.data.prepared_root}: no prepared data. Give data=FOLDER.")
    dataset = open_split(settings, settings.data.val_split)
    by_image: dict[str, list[int]] = {}
    for index, expression in enumerate(dataset.expressions):
        by_image.setdefault(expression.image, []).append(index)
    images = list(by_image.values())
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
    # of each photo the phrase nearest to five words: short ones show little of the graphs
    indices = [
        min(images[i], key=lambda index: abs(dataset.expressions[index].length - TELLING))
        for i in chosen
    ]
    return [(dataset.image(i), dataset.expressions[i].sentence) for i in indices]
