"""A page to try a network: drop a photo, type a phrase, see the mask and what was looked at.

    dghin demo                                # the network of the last `make reproduce`
    dghin demo model=FOLDER_OR_HUB_NAME port=7860

Needs Gradio: pip install -e '.[demo]'. Only this machine can open the page (host=127.0.0.1);
it has no password. Nothing is fetched from the internet.
"""

import logging
from collections.abc import Sequence
from typing import Any

from data_preprocess.base.errors import UserError
from dghin.demo.server import examples_of, load_page, model_of, training_of
from dghin.demo.views import Limits
from dghin.inspection.predictor import Predictor
from dghin.run.command_line import read_words

log = logging.getLogger(__name__)
OWN = {
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


def main(arguments: Sequence[str]) -> None:
    """`dghin demo`; see the module's docstring."""
    values = read_command(arguments)
    model = model_of(values)
    page_module = load_page()
    predictor = Predictor.from_pretrained(model, values["device"], values["data"])
    limits = Limits(values["max_megabytes"], values["max_megapixels"])
    examples, training = examples_of(model, values), training_of(model)
    page = page_module.DemoPage(predictor, limits, examples, training)
    url = page_module.serve(page, values["host"], values["port"])
    log.info("open %s in a browser; Ctrl+C stops the page", url)
    page.blocks.block_thread()


def read_command(arguments: Sequence[str]) -> dict[str, Any]:
    """The command's settings, checked."""
    values, _ = read_words("dghin demo", __doc__, OWN, arguments, settings=False)
    if not isinstance(values["port"], int) or not 0 < values["port"] < 65536:
        raise UserError(f"port={values['port']}: give a number from 1 to 65535.")
    for key in ("max_megabytes", "max_megapixels"):
        if not isinstance(values[key], int | float) or not values[key] > 0:
            raise UserError(f"{key}={values[key]}: give a number above 0.")
    return values
