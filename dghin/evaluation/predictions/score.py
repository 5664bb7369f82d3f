"""Score saved predictions as a run's rows; write what a model of files is to be asked.

    results, about = score_predictions(folder, config, Path("masks"), ["val"])
    write_control(Path("asked.jsonl"), config, ["val"], ["left-right"])

Needs no torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import keep_inputs
from dghin.data.split import PreparedSplit, open_split
from dghin.evaluation.controls import Altered, alter
from dghin.evaluation.evaluate import evaluate_run, possible_controls
from dghin.evaluation.segmenters.answerers import Saved
from dghin.run.config import Config
from dghin.run.folder import RunFolder

from .predictions import Predictions
from .read import read_predictions
from .write import request, write_answers

Opened = dict[str, PreparedSplit]


def score_predictions(
    folder: Path,
    config: Config,
    path: Path,
    splits: Sequence[str] = (),
    controls: Sequence[str] = (),
    missing: str = "error",
) -> tuple[dict[str, dict[str, pd.DataFrame]], dict[str, Any]]:
    """Score the predictions at a path and write rows; → (results, what they tell of the model).

    With controls, the path holds the answers under these, and the plain ones must have been scored
    before: they are read from the run's stored answers, and their rows stay as they are. Of several
    controls, entries name theirs ("control"), or it is a folder with <control>/ or <control>.jsonl.
    """
    opened = open_splits(config, splits)
    found: dict[str, dict[str, Predictions]] = {}
    if not controls:
        found[""] = read_predictions(path, opened, missing)
    else:
        found[""] = {name: _stored(folder, name, split) for name, split in opened.items()}
    for control in controls:
        own = _of_control(path, control, controls)
        inputs = {
            name: alter(split, control, config, encode=False) for name, split in opened.items()
        }
        found[control] = read_predictions(own[0], opened, missing, own[1], inputs)
    answerer = Saved(found)
    results = evaluate_run(
        folder, config, list(opened), controls, answerer, without_plain=bool(controls)
    )
    sizes = {predictions.size for predictions in found[""].values()}
    size = sizes.pop() if len(sizes) == 1 and not controls else None
    return results, {"image_size": size} if size else {}


def open_splits(config: Config, splits: Sequence[str]) -> Opened:
    """The splits that are asked for; none: val and the test splits."""
    names = list(splits) or config.data.scored_splits
    return {name: open_split(config, name, checked=False) for name in names}


def _stored(folder: Path, name: str, split: PreparedSplit) -> Predictions:
    """The plain answers of a run, from where its evaluation has stored them."""
    path = RunFolder(folder).answers(name)
    if not path.is_file():
        raise UserError(
            f"{path}: no plain answers of '{name}' yet, which those under a control are compared "
            f"with. Score them first: dghin evaluate run={folder.name} predictions=PATH."
        )
    return read_predictions(path, {name: split}, "empty")[name]


def _of_control(path: Path, control: str, controls: Sequence[str]) -> tuple[Path, str]:
    """Where a control's answers are, and the control that their entries name."""
    for own in (path / control, path / f"{control}.jsonl", path / f"{control}.json"):
        if own.exists():
            return own, _named(own, control)
    if len(controls) > 1 and path.is_dir() and not list(path.glob("*.jsonl")):
        raise UserError(
            f"{path}: no answers under '{control}'. Give a folder with {control}/ or "
            f"{control}.jsonl, or one JSONL whose entries name their control."
        )
    return path, _named(path, control)


def _named(path: Path, control: str) -> str:
    """The control that a path's entries name: theirs, or none at all."""
    files = [path] if path.is_file() else sorted(path.glob("*.json*"))
    for file in files:
        if file.suffix in (".json", ".jsonl"):
            with open(file, encoding="utf-8", errors="replace") as lines:
                return control if any('"control"' in line for line in lines) else ""
    return ""


def write_control(
    path: Path, config: Config, splits: Sequence[str], controls: Sequence[str]
) -> str:
    """Write what is to be answered, a line a question (write.request); → what was written.

    controls: none writes the plain questions of the splits.
    """
    opened = open_splits(config, splits)
    _check_questions(path, opened)
    lines, counts = [], []
    for control in controls or [""]:
        for name, split in opened.items():
            if control and not possible_controls(split, [control]):
                continue
            inputs = alter(split, control, config, encode=False)
            counts.append(f"{len(inputs.indices):,} of {name}" + (f", {control}" * bool(control)))
            lines += [_line(control, name, split, inputs, i) for i in inputs.indices.tolist()]
    write_answers(path, lines)
    return f"{path}: {len(lines):,} questions ({'; '.join(counts)})"


def _check_questions(path: Path, opened: Opened) -> None:
    """UserError where the questions would be written over the data, or over something else."""
    for split in opened.values():
        keep_inputs("write", path, split.folder.glob("*"))
    if path.is_file() and path.suffix not in (".jsonl", ".json", ".txt"):
        raise UserError(f"write={path}: is there, and no file of questions. Name a .jsonl file.")


def _line(
    control: str, name: str, split: PreparedSplit, inputs: Altered, index: int
) -> dict[str, Any]:
    expression = split.expressions[index]
    shown = inputs.image(expression.image)
    line = request(control, name, expression, inputs.sentences[index], shown)
    return line if control else {key: value for key, value in line.items() if key != "control"}
