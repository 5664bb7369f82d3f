"""Scores in the Hugging Face hub's form for a model's repository: .eval_results/<data set>.yaml.

    write_eval_results(folder, results, config, run="reports/refcoco")

The form is that of https://huggingface.co/docs/hub/eval-results (huggingface/hub-docs,
docs/hub/eval-results.md and eval_results.yaml), written with huggingface_hub's own EvalResultEntry.
It has one value an entry, and names a benchmark by a hub data set's id and a task's id in that data
set's eval.yaml. What does not fit says `notes`: split, metric, protocol, how many expressions.

No hub data set of RIS is known to have an eval.yaml (November 2026). So the task's id here is
split_metric, such as testA_oiou, and the hub lists these scores on no leaderboard until such a
benchmark exists; the model card's header (`model-index`) shows them. Only data sets are written
whose copy on the hub is certain: `HUB_DATASETS`. The embedded data set has none, and a part of a
split is no result of a data set.
"""

from pathlib import Path

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from data_preprocess.base.files import write_text
from data_preprocess.raw.datasets import JOINT
from dghin.evaluation.metrics import first_protocol, metrics_from_rows
from dghin.evaluation.segmenters.about import about_run
from dghin.report.tables.scores import Results
from dghin.run.config import Config
from dghin.run.environment import read_environment

FOLDER = ".eval_results"
SHOWN = {"oiou": "overall IoU", "miou": "mean IoU"}
# Ours → the hub's copy. Its card counts the objects of every split, and they are REFER's: RefCOCO
# (UNC) 42404, 3811, 1975, 1810; RefCOCO+ 42278, 3805, 1975, 1798; RefCOCOg (UMD) 42226, 2573, 5023.
HUB_DATASETS = {
    "refcoco": "jxu124/refcoco",
    "refcoco+": "jxu124/refcocoplus",
    "refcocog_umd": "jxu124/refcocog",
}


def write_eval_results(
    folder: Path, results: Results, config: Config | None, run: str | Path | None
) -> list[Path]:
    """Write a file for every data set that a run was scored on and the hub has; → their paths.

    folder: of the weights. run: the run's folder, for the date of the evaluation. Files of these
    names that an earlier run has left are removed, also where there is no run; others stay.
    """
    found = {} if config is None or run is None else eval_results(results, config, Path(run))
    written = []
    for dataset in HUB_DATASETS:
        path = folder / FOLDER / f"{dataset}.yaml"
        path.unlink(missing_ok=True)
        if entries := found.get(dataset):
            values = eval_result_entries_to_yaml(entries)
            write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
            written.append(path)
    return written


def eval_results(results: Results, config: Config, run: Path) -> dict[str, list[EvalResultEntry]]:
    """Overall and mean IoU of every split, in percent, under its first protocol, by data set.

    The date is that of the evaluation, the source the model's link where model.yaml has one; both
    are left out where they are not known.
    """
    if config.data.drawn or config.evaluate.expressions:
        return {}
    date = read_environment(run).get("evaluate", {}).get("time")
    link = about_run(run, config).link
    found: dict[str, list[EvalResultEntry]] = {}
    for name, rows in results[""].items():
        dataset, split = config.data.dataset, name
        if dataset == JOINT:  # which calls its splits refcoco_testA
            dataset, _, split = name.rpartition("_")
        if dataset not in HUB_DATASETS:
            continue
        protocol = first_protocol(rows)
        scores = metrics_from_rows(rows, protocol)
        found.setdefault(dataset, []).extend(
            EvalResultEntry(
                dataset_id=HUB_DATASETS[dataset],
                task_id=f"{split}_{metric}",
                value=round(100 * scores[metric], 2),
                date=date,
                source_url=link if link.startswith(("https://", "http://")) else None,
                notes=f"split {split}; {shown} in percent; protocol {protocol} of dghin; "
                f"{len(rows)} expressions",
            )
            for metric, shown in SHOWN.items()
        )
    return found
