"""The shortest training to a strict oIoU of 65 on val of the embedded data set, on this machine.

    python benchmarks/speedrun.py                           # make speedrun; reports/speedrun
    python benchmarks/speedrun.py run=shorter train.iterations=500    # another try
    dghin verify reports/shorter                            # the line follows from rows and log

The record, and what each change brought: benchmarks/speedrun.md.
"""

import logging
import sys
from pathlib import Path

from dghin.ablation.speedrun import run_speedrun
from dghin.data.preparing import prepare_data
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import load_config
from dghin.run.folder import REPORTS, Run

OWN = {"config": "speedrun", "run": "speedrun", "reports": str(REPORTS)}


def main(arguments: list[str]) -> None:
    """Train, score, and show the line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values, words = read_words("speedrun.py", __doc__, OWN, arguments)
    config = load_config(values["config"], words)
    prepare_data(config)
    run = Run(values["run"], config, Path(values["reports"]) / values["run"])
    print(run_speedrun(run).read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
