"""Score masks of a run's splits: of its best weights, of another model, or saved ones.

    dghin evaluate run=demo                                  val and every test split of the run
    dghin evaluate run=demo split=testA control=all          one split, under the five controls, too
    dghin evaluate run=demo control=exam                     under those of the exam; or NAME,NAME
    dghin evaluate run=theirs config=refcoco model=FOLDER    weights of DGHIN from elsewhere
    dghin evaluate run=mine config=refcoco model=hf:NAME     of transformers, or module:Class
    dghin evaluate run=lavt config=refcoco predictions=PATH  saved masks; no torch is needed
    dghin evaluate run=lavt control=left-right write=FILE    what a model of files is to answer
    dghin evaluate run=lavt control=left-right predictions=PATH       its answers, read back
    torchrun --standalone --nproc-per-node=4 -m dghin evaluate run=demo

Every expression becomes one row of reports/<run>/rows/<split>.parquet, scored under every protocol
that its answer carries; metrics.json and the tables are computed from those rows. missing=empty
counts missing answers as empty masks. options: of a model, such as options='{size: 480}'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json_or
from data_preprocess.base.settings import parse_value
from dghin.evaluation.controls import CONTROLS, EXAM, check_control
from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.reference import is_reference, reference_answerer
from dghin.evaluation.segmenters.about import KEYS, PREFIX, About, about_run, write_about
from dghin.report.tables.results import write_results
from dghin.report.tables.scores import (
    controls_table,
    metrics_table,
    read_results,
    with_intervals,
)
from dghin.run.command_line import read_words
from dghin.run.config import Config, load_config, save_config
from dghin.run.environment import record_environment
from dghin.run.folder import RunFolder

OWN = {
    "run": "demo", "split": "", "control": "", "model": "", "options": "", "predictions": "",
    "missing": "error", "write": "", "config": "", "reports": "reports",
}  # fmt: skip
ABOUT = {f"{PREFIX}{field.name}": field.default for field in fields(About)}


def main(arguments: Sequence[str]) -> None:
    """`dghin evaluate`; see the module's docstring."""
    values, words = read_words("dghin evaluate", __doc__, OWN | ABOUT, arguments)
    folder = Path(values["reports"]) / values["run"]
    config = settings_of(folder, values["config"], words)
    splits = [values["split"]] if values["split"] else []
    several = {"all": CONTROLS, "exam": EXAM}
    controls = several.get(values["control"], values["control"].split(","))
    controls = [check_control(control) for control in filter(None, controls)]
    about = {key: values[f"{PREFIX}{key}"] for key in KEYS}
    if values["write"]:
        from dghin.evaluation.predictions.score import write_control

        print(write_control(Path(values["write"]), config, splits, controls))
    elif values["predictions"]:
        from dghin.evaluation.predictions.score import score_predictions

        results, found = score_predictions(
            folder, config, Path(values["predictions"]), splits, controls, values["missing"]
        )
        found = _unknown(folder, {"name": values["run"]} | found)
        _finish(folder, config, values, results, found | {k: v for k, v in about.items() if v})
    else:
        _of_a_model(folder, config, values, splits, controls, about)


def settings_of(folder: Path, config: str, words: Sequence[str]) -> Config:
    """The settings that are asked for; else the run's own."""
    saved = RunFolder(folder).config
    if not config and not saved.is_file():
        raise UserError(
            f"{saved}: no such run. Train it first: dghin train config=NAME run={folder.name}; "
            "for a model of others give config=NAME, a config of its data set."
        )
    return load_config(config or str(saved), words)


def _of_a_model(
    folder: Path,
    config: Config,
    values: Mapping[str, Any],
    splits: Sequence[str],
    controls: Sequence[str],
    about: Mapping[str, Any],
) -> None:
    """Ask a model: DGHIN from the run or a folder, or one of others."""
    from dghin.run.processes import join, leave

    place = join()
    try:
        model, weights, facts = None, None, {}
        if is_reference(values["model"]):
            model = reference_answerer(values["model"])
            facts = {"name": model.name, "training_data": "none: it knows the annotations"}
        elif ":" in values["model"]:
            from dghin.evaluation.segmenters.answerers import Outside
            from dghin.evaluation.segmenters.load import load_segmenter

            options = _options(values["options"])
            segmenter = load_segmenter(values["model"], options, place.device)
            model = Outside(segmenter, values["model"], options)
            facts = {"name": values["model"]} | dict(getattr(segmenter, "facts", {}))
        elif values["model"]:
            weights = Path(values["model"])
            _check_weights(weights)
        found = evaluate_run(folder, config, splits, controls, model, place, weights)
        if place.is_main:
            given = {key: value for key, value in about.items() if value}
            _finish(folder, config, values, found, _unknown(folder, facts) | given)
    finally:
        leave()


def _check_weights(folder: Path) -> None:
    """UserError for a folder of transformers' models: hf: is missing before it."""
    path = folder / "config.json"
    if path.is_file() and "architectures" in read_json_or(path, {}):
        raise UserError(
            f"model={folder}: a model of transformers, and no weights of DGHIN. "
            f"Give model=hf:{folder}."
        )


def _unknown(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a model tells of itself, without what was said of it before."""
    said = about_run(folder, None) if RunFolder(folder).about.is_file() else About()
    return {key: value for key, value in facts.items() if not getattr(said, key)}


def _options(text: str) -> dict[str, Any]:
    """options='{size: 480}' as a mapping."""
    found = parse_value("options", text) or {}
    if not isinstance(found, dict):
        raise UserError(f"options={text}: expected a mapping, such as options='{{size: 480}}'.")
    return found


def _finish(
    folder: Path,
    config: Config,
    values: Mapping[str, Any],
    results: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """Settings, environment, who answered, and all tables of what was scored now and before."""
    if values["config"] and not RunFolder(folder).best.is_dir():  # a training's own stay
        save_config(config, RunFolder(folder).config)
    if about:
        write_about(folder, about)
    record_environment(folder, config, "evaluate")
    write_results(read_results(folder), folder)
    everything = read_results(folder)
    shown = (
        results if "" in results else {control: everything[control] for control in ["", *results]}
    )
    if "" in results:
        print(with_intervals(metrics_table(results)).round(2).to_string(index=False))
    if len(shown) > 1:
        print(with_intervals(controls_table(shown)).round(2).to_string(index=False))
