"""Train on all GPUs of this machine (or all cores), or on several nodes, through torchrun.

    dghin launch config=refcoco run=refcoco                        all GPUs of this machine
    dghin launch config=refcoco run=refcoco processes=2            two of them
    dghin launch config=refcoco nodes=2 endpoint=HOST:29500        the same on each of two nodes
    dghin launch config=refcoco nodes=2 slurm=refcoco.sbatch       write a Slurm script
    dghin launch config=refcoco processes=8 --dry-run              what it would do

processes: of one machine (0: as the config says, but no more than GPUs, or cores). Interrupted by
Ctrl-C or SIGTERM, the trainers save and end; the same command goes on from there.
"""

import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from dghin.run.command_line import read_words
from dghin.run.config import load_config
from dghin.run.stopping import Interrupted
from dghin.training.launch import (
    PAPERS,
    TrainingFailed,
    launch_training,
    processes_here,
    write_script,
)
from dghin.training.recipe import derive


def main(arguments: Sequence[str]) -> int:
    """`dghin launch`; see the module's docstring."""
    own: dict[str, Any] = {"config": "refcoco", "run": "", "reports": "reports"}
    own |= {"processes": 0, "nodes": 1, "endpoint": "", "slurm": ""}
    values, words = read_words("dghin launch", __doc__, own, arguments, flags=("dry-run",))
    config = load_config(values["config"], words)
    run = values["run"] or config.name
    processes, nodes = values["processes"], values["nodes"]
    if values["slurm"]:
        per_node = processes or config.train.processes or PAPERS
        write_script(Path(values["slurm"]), values["config"], run, per_node, nodes, config, words)
        return 0
    if values["dry-run"]:
        world = (processes or processes_here(config)) * nodes
        print(derive(config, world).text())
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(values["reports"]) / run
    try:
        launch_training(config, folder, processes or None, None, nodes, values["endpoint"])
    except TrainingFailed as failure:  # its log has been shown
        return failure.status
    return 0


def _interrupt(number: int, _: FrameType | None) -> None:
    raise Interrupted(128 + number)
