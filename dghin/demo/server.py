"""A page to try the network: drop a photo, type a phrase, see the mask and what was looked at.

python -m dghin.demo.server                 # the network of the last `make reproduce`
python -m dghin.demo.server run=demo model=FOLDER_OR_HUB_NAME port=7860

Needs Gradio: pip install -e '.[demo]'. Only this machine can open the page (host=127.0.0.1);
it has no password. Nothing is fetched from the internet.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_preprocess.base.common import UserError
from dghin.inspection.predictor import Predictor
from dghin.model.hub import CONFIG
from dghin.run.command_line import read_words
from dghin.run.config import load_config

from .views import Limits

log = logging.getLogger(__name__)
EXAMPLES = 6
TELLING = 5  # words of an example's phrase, where there is a choice
KEYS = {
    "run": "demo",
    "model": "",  # a folder or a hub's name; empty: the run's best weights
    "reports": "reports",
    "host": "127.0.0.1",
    "port": 7860,
    "device": "cpu",
    "data": "data",
    "max_megabytes": 10.0,
    "max_megapixels": 25.0,
}
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
    folder = Path(values["reports"]) / values["run"] / "train" / "best"
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{folder}: no trained network. Run `make reproduce` first, or name one: "
            "model=FOLDER, or model=OWNER/NAME of a hub."
        )
    return str(folder)


def examples_of(model: str, values: dict[str, Any], count: int = EXAMPLES) -> list[Example]:
    """Photos of the run's validation split, each with an expression; none where it is not here.

    The data are looked for where the run had them, and in data=FOLDER.
    """
    folders = [Path(model).parent.parent, Path(values["reports"]) / values["run"]]
    config = next((path for f in folders if (path := f / "config.yaml").is_file()), None)
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


def read_command(arguments: Sequence[str] | None) -> dict[str, Any]:
    """The command's settings, checked."""
    values, words = read_words("dghin.demo.server", __doc__, KEYS, arguments)
    if words:
        raise UserError(f"{words[0]}: the network has its settings already. Leave it out.")
    if not isinstance(values["port"], int) or not 0 < values["port"] < 65536:
        raise UserError(f"port={values['port']}: give a number from 1 to 65535.")
    for key in ("max_megabytes", "max_megapixels"):
        if not isinstance(values[key], int | float) or not values[key] > 0:
            raise UserError(f"{key}={values[key]}: give a number above 0.")
    return values


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    values = read_command(sys.argv[1:] if arguments is None else arguments)
    model = model_of(values)
    demo_page = load_page()
    predictor = Predictor.from_pretrained(model, values["device"], values["data"])
    limits = Limits(values["max_megabytes"], values["max_megapixels"])
    page = demo_page.Page(predictor, limits, examples_of(model, values))
    url = demo_page.serve(page, values["host"], values["port"])
    log.info("open %s in a browser; Ctrl+C stops the page", url)
    page.blocks.block_thread()


if __name__ == "__main__":
    from dghin.run.command_line import run_cli

    run_cli(main)
