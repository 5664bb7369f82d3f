"""Train a network in this process, or as one of torchrun's processes.

    dghin train config=demo run=demo
    dghin train config=refcoco --dry-run                     what it would do here
    dghin train config=demo run=demo train.iterations=100    any setting on top
    torchrun --standalone --nproc-per-node=4 -m dghin train config=refcoco run=refcoco
    torchrun --nnodes=2 --nproc-per-node=4 --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 \\
             -m dghin train config=refcoco run=refcoco       on each of two nodes

config: a name (refcoco, demo, ...) or a YAML file. All is written to reports/<run>/train:
log.jsonl, checkpoints (the same command goes on from the newest) and best/, the weights that scored
best on val. SIGTERM and Ctrl-C save a checkpoint and end the run.
"""

from collections.abc import Sequence
from pathlib import Path

from dghin.run.command_line import read_words
from dghin.run.config import Config, load_config


def main(arguments: Sequence[str]) -> None:
    """`dghin train`; see the module's docstring."""
    own = {"config": "refcoco", "run": "", "reports": "reports"}
    values, words = read_words("dghin train", __doc__, own, arguments, flags=("dry-run",))
    config = load_config(values["config"], words)
    if values["dry-run"]:
        return show_recipe(config)
    from dghin.training.trainer import train

    train(config, Path(values["reports"]) / (values["run"] or config.name))


def show_recipe(config: Config) -> None:
    """Print what a run would do on the processes that are here, and do none of it."""
    from dghin.run.processes import Place
    from dghin.training.recipe import derive

    place = Place.here()
    if place.is_main:
        print(derive(config, place.world, place.device).text())
