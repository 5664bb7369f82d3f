"""How steady the demo's training is: five seeds, processes, threads, instruction sets.

    python benchmarks/steady.py                  # trains and scores into reports/steady (1.5 hours)
    python benchmarks/steady.py cases=[0,1]      # the first two only; what has rows is kept
    dghin verify reports/steady                  # computes the table again from the rows

What it found, with the rows: docs/steadiness.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from data_preprocess.base.errors import UserError
from dghin.ablation.steadiness import CASES, run_study
from dghin.data.preparing import prepare_data
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import load_config
from dghin.run.folder import REPORTS, Run

OWN = {"config": "demo", "run": "steady", "reports": str(REPORTS), "cases": [*range(len(CASES))]}


def main(arguments: Sequence[str]) -> None:
    """Train, score, and show the table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values, words = read_words("steady.py", __doc__, OWN, arguments)
    config = load_config(values["config"], words)
    unknown = [number for number in values["cases"] if not 0 <= number < len(CASES)]
    if unknown:
        raise UserError(f"cases={unknown}: there are the cases 0 to {len(CASES) - 1}.")
    prepare_data(config)
    run = Run(values["run"], config, Path(values["reports"]) / values["run"])
    print(run_study(run, [CASES[number] for number in values["cases"]]).read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
