"""Score the masks of a run's splits, from its best weights or from others.

    dghin evaluate run=demo                                  val and every test split of the run
    dghin evaluate run=demo split=testA                      one split
    dghin evaluate run=demo control=all                      under all controls, too
    dghin evaluate run=theirs config=refcoco model=FOLDER    weights from elsewhere
    torchrun --standalone --nproc-per-node=4 -m dghin evaluate run=demo

Every expression is scored under every protocol and becomes one row of
reports/<run>/rows/<split>.parquet; metrics.json and the tables are computed from those rows, which
carry where they come from: commit, checkpoint, data and command.
"""

from collections.abc import Sequence
from pathlib import Path

from data_preprocess.base.errors import UserError
from dghin.evaluation.controls import CONTROLS
from dghin.evaluation.evaluate import evaluate_run
from dghin.model.dghin import DGHIN
from dghin.report.tables.results import write_results
from dghin.report.tables.scores import metrics_table, read_results, with_intervals
from dghin.run.command_line import read_words
from dghin.run.config import load_config, save_config
from dghin.run.environment import record_environment
from dghin.run.folder import RunFolder
from dghin.run.processes import join, leave


def main(arguments: Sequence[str]) -> None:
    """`dghin evaluate`; see the module's docstring."""
    own = {"run": "demo", "split": "", "control": "", "model": "", "config": ""}
    own["reports"] = "reports"
    values, words = read_words("dghin evaluate", __doc__, own, arguments)
    folder = Path(values["reports"]) / values["run"]
    if not values["config"] and not (RunFolder(folder).config).is_file():
        raise UserError(
            f"{folder / 'config.yaml'}: no such run. Train it first: "
            f"dghin train config=NAME run={values['run']}"
        )
    config = load_config(values["config"] or str(RunFolder(folder).config), words)
    model = DGHIN.from_pretrained(values["model"]) if values["model"] else None
    splits = [values["split"]] if values["split"] else []
    controls = CONTROLS if values["control"] == "all" else list(filter(None, [values["control"]]))
    place = join()
    try:
        weights = Path(values["model"]) if values["model"] else None
        results = evaluate_run(folder, config, splits, controls, model, place, weights)
        if place.is_main:
            if values["config"]:
                save_config(config, RunFolder(folder).config)
            record_environment(folder, config, "evaluate")
            write_results(read_results(folder), folder)  # with what was scored before
            print(with_intervals(metrics_table(results)).round(2).to_string(index=False))
    finally:
        leave()
