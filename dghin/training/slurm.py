"""A Slurm script of a run over several nodes, generated from its config."""

import logging
import shlex
from collections.abc import Iterable
from pathlib import Path

import jinja2

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_text
from dghin.run.config import Config

from .recipe import share

log = logging.getLogger(__name__)
TEMPLATE = Path(__file__).parent / "slurm.sh"


def write_script(
    path: Path,
    name: str,
    run: str,
    processes: int,
    nodes: int,
    config: Config,
    overrides: Iterable[str] = (),
) -> None:
    """Write the script that trains a run on `nodes` × `processes` GPUs: sbatch PATH.

    name: the config's name or file, as given to the trainer; overrides: its `key=value` words.
    """
    if nodes < 1 or processes < 1:
        raise UserError(f"nodes={nodes}, processes={processes}: both must be at least 1.")
    if config.train.batch:
        share(config.train.batch, config.train.batch_per_process, nodes * processes)
    words = [f"config={name}", f"run={run}", *overrides]
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    text = template.render(
        path=path.as_posix(),
        run=run,
        nodes=nodes,
        processes=processes,
        cores=processes * (config.train.workers + 1),
        restarts=config.train.max_restarts or 3,
        words=shlex.join(words),
    )
    write_text(path, text + "\n")
    log.info("%s: written; submit it with: sbatch %s", path, path)
