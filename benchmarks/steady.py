"""How steady the demo's training is: five seeds, processes, threads, instruction sets.

    python benchmarks/steady.py                  # trains and scores into reports/steady (1.5 hours)
    python benchmarks/steady.py cases=[0,1]      # the first two only; what has rows is kept
    dghin verify reports/steady                  # computes the table again from the rows

What it found, with the rows: docs/steadiness.
"""

import logging
import sys
from pathlib import Path

from data_preprocess.base.settings import as_list
from dghin.ablation.steadiness import CASES, run_study
from dghin.data.preparing import prepare_data
from dghin.run.command_line import read_words
from dghin.run.config import load_config
from dghin.run.folder import REPORTS, Run

OWN = {"config": "demo", "run": "steady", "reports": str(REPORTS), "cases": []}


def main() -> None:
    """Train, score, and show the table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values, words = read_words("steady.py", __doc__, OWN, sys.argv[1:])
    config = load_config(values["config"], words)
    chosen = as_list("cases", values["cases"], int) or range(len(CASES))
    prepare_data(config)
    run = Run(values["run"], config, Path(values["reports"]) / values["run"])
    print(run_study(run, [CASES[number] for number in chosen]).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
