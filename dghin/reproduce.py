"""Run the notebooks in order, from a raw data set to the report (`dghin reproduce`).

Executed notebooks and everything they make stand in reports/<run>. Run again, only what is out of
date is repeated; after a failure it goes on from the notebook that failed.
"""

import ast
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError
from papermill.log import logger as papermill_log
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.files import keep_inputs, sha256_file, write_json
from data_preprocess.base.settings import flatten, to_mapping, typed_like
from data_preprocess.prepared.manifest import manifest_path
from dghin.data.preparing import check_splits
from dghin.run.config import Config, load_config
from dghin.run.folder import REPORTS, RunFolder
from dghin.run.freshness import (
    notebook_digest,
    read_state,
    set_aside,
    set_stale_training_aside,
)
from dghin.training.launch import processes_here
from dghin.training.logbook import clock

log = logging.getLogger(__name__)
NOTEBOOKS = Path("notebooks")
STARTED = {  # modules that a notebook starts by name
    "03_train": ("dghin.training.trainer",),
    "07_ablation": ("dghin.training.trainer",),
}
ON_REQUEST = ("07_ablation",)  # run where a config names them only
RESULTS = {  # what a finished notebook has left in the run's folder
    "03_train": ("train/best/model.safetensors", "train/log.jsonl"),
    "04_evaluate": ("metrics.json",),
    "06_report": ("report.html",),
    "07_ablation": ("report.html", "tables/ablation.csv"),
}
TRAINS, ABLATES = "03_train", "07_ablation"
PREPARES = "01_preprocess"  # its result is the prepared data's manifest, outside the run's folder
NOISE = (
    "Executing Cell",
    "Ending Cell",
    "Input Notebook",
    "Output Notebook",
    "Executing notebook",
    "<IPython",
)


@dataclass(frozen=True)
class PlannedNotebook:
    """One notebook with the parameters it is given and the digest of all it depends on."""

    name: str
    source: Path
    parameters: dict[str, Any]
    digest: str
    manifest: Path | None = None  # of the data that it prepares

    def finished(self, seconds: float) -> dict[str, Any]:
        """What is kept of a notebook that came to its end."""
        entry = {"digest": self.digest, "seconds": round(seconds, 1)}
        return entry | ({"manifest": sha256_file(self.manifest)} if self.manifest else {})


def reproduce(words: Sequence[str], force: bool = False) -> Path:
    """Run every notebook that is out of date; → the run's folder."""
    parameters, config = read_parameters(words)
    folder = Path(parameters.get("reports", REPORTS)) / parameters["run"]
    steps = plan(parameters, config)
    state_file = RunFolder(folder).state
    done = {} if force else read_state(state_file)
    pending = [step for step in steps if not up_to_date(step, done, folder)]
    first = steps.index(pending[0]) if pending else len(steps)
    trains = any(step.name in (TRAINS, ABLATES) for step in steps)
    if pending:
        check_splits(config, trains)
    for step in steps[:first]:
        log.info("%s: up to date", step.name)
    with logging_redirect_tqdm(), tqdm(steps, unit="notebook", disable=None) as bar:
        bar.update(first)
        for number, step in enumerate(steps[first:], first + 1):
            log.info("%s: notebook %d of %d", step.name, number, len(steps))
            bar.set_description(step.name)
            if force and step.name == ABLATES and RunFolder(folder).runs.is_dir():
                set_aside(RunFolder(folder).runs)
            if step.name == TRAINS:
                processes = parameters.get("processes") or processes_here(config)
                set_stale_training_aside(folder, config, force, processes)
            done.pop(step.name, None)
            write_json(state_file, done)
            done[step.name] = step.finished(execute(step, folder))
            if step.name == PREPARES:  # other forms tell their splits only when they are read
                check_splits(config, trains, prepared=True)
            write_json(state_file, done)
            log.info("%s: done in %s", step.name, clock(done[step.name]["seconds"]))
            bar.update()
    return folder


def read_parameters(words: Sequence[str]) -> tuple[dict[str, Any], Config]:
    """The notebooks' parameters from `key=value` words, and the config they stand for.

    Unknown keys and wrong values are refused here, before anything is run (papermill itself only
    warns of unknown names).
    """
    defaults = {
        name: ast.literal_eval(entry["default"])
        for path in notebooks()
        for name, entry in parameters_of(path).items()
    }
    known = defaults.keys()
    settings = flatten(to_mapping(Config()))
    values: dict[str, Any] = {"run": "demo"}
    overrides = []
    for word in words:
        key, separator, text = word.partition("=")
        if not separator:
            raise UserError(f"'{word}' is not of the form key=value. See --help for the keys.")
        if key in known and key != "overrides":
            values[key] = typed_like(key, text, defaults[key])
        elif key in settings:
            overrides.append(word)
        else:
            raise unknown_name("key", key, [*sorted(known - {"overrides"}), *settings])
    values.setdefault("config", values["run"])
    words = ([f"data.root={values['data']}"] if values.get("data") else []) + overrides
    config = load_config(values["config"], words)
    chosen = chosen_notebooks(config)
    own = {name for path in chosen for name in parameters_of(path)}
    if idle := [name for name in values if name not in {*own, "config", "run", "reports", "data"}]:
        ran = ", ".join(path.stem for path in chosen)
        raise UserError(f"{idle[0]}={values[idle[0]]}: no notebook of this run has it ({ran}).")
    return values | {"overrides": overrides}, config


def notebooks() -> list[Path]:
    """The notebooks, in order."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UserError(f"{NOTEBOOKS.resolve()}: no notebooks. Run from a checkout of dghin.")
    return found


def chosen_notebooks(config: Config) -> list[Path]:
    """The notebooks of this run, in order: those that the config names, or 01 to 06."""
    found = {path.stem: path for path in notebooks()}
    for name in config.notebooks:
        if name not in found:
            raise unknown_name("notebook", name, found)
    names = config.notebooks or [name for name in found if name not in ON_REQUEST]
    return [found[name] for name in sorted(names)]


def parameters_of(path: Path) -> dict[str, Any]:
    """A notebook's parameters as its `parameters` cell declares them."""
    return papermill.inspect_notebook(str(path))


def plan(parameters: dict[str, Any], config: Config) -> list[PlannedNotebook]:
    """Every notebook with its own parameters and its digest, each building on the one before."""
    data = config.data
    manifest = manifest_path(data.prepared_root, data.dataset)
    steps, previous = [], ""
    for path in chosen_notebooks(config):
        own = {name: parameters[name] for name in parameters_of(path) if name in parameters}
        previous = notebook_digest(
            path, own, STARTED.get(path.stem, ()), previous, to_mapping(config)
        )
        made = manifest if path.stem == PREPARES else None
        steps.append(PlannedNotebook(path.stem, path, own, previous, made))
    return steps


def up_to_date(step: PlannedNotebook, done: dict[str, Any], folder: Path) -> bool:
    """Whether the notebook was finished with this digest and its results are still there."""
    entry = done.get(step.name, {})
    results = [executed_path(step, folder), *(folder / name for name in RESULTS.get(step.name, ()))]
    if step.manifest:  # data may be prepared anew behind the notebook's back
        results.append(step.manifest)
    if entry.get("digest") != step.digest or not all(path.is_file() for path in results):
        return False
    return step.manifest is None or entry.get("manifest") == sha256_file(step.manifest)


def executed_path(step: PlannedNotebook, folder: Path) -> Path:
    """Where the executed notebook is kept."""
    return RunFolder(folder).notebooks / step.source.name


def execute(step: PlannedNotebook, folder: Path) -> float:
    """Execute one notebook, its output shown as it comes; → seconds. The executed notebook is
    kept also when it fails."""
    output = executed_path(step, folder)
    keep_inputs("run", output, [step.source])
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        papermill.execute_notebook(
            str(step.source),
            str(output),
            parameters=step.parameters,
            progress_bar=False,
            log_output=True,
            autosave_cell_every=30,
            extra_arguments=["--log-level=CRITICAL"],  # the kernel: no word on its transport
        )
    except PapermillExecutionError as error:
        raise UserError(
            f"{step.source}: cell {error.cell_index} failed: {error.ename}: {error.evalue}\n"
            f"The executed notebook is {output}. Put it right and run the same command again: "
            "it goes on from here."
        ) from error
    return time.monotonic() - started


def show_output() -> None:
    """Show what notebooks print as lines, and none of papermill's own bookkeeping."""
    papermill_log.setLevel(logging.INFO)
    papermill_log.addFilter(_tidy)


def _tidy(record: logging.LogRecord) -> bool:
    text = record.getMessage().rstrip()
    record.msg, record.args = text.rpartition("\r")[2], ()  # of a progress bar, its last state
    return bool(text) and not text.startswith(NOISE)


def closing_words(folder: Path) -> str:
    """The main table and where the report is."""
    files = RunFolder(folder)
    tables = [files.tables / f"{name}.md" for name in ("main", "ablation")]
    parts = [table.read_text(encoding="utf-8") for table in tables if table.is_file()]
    places = {
        "report": files.page,
        "tables": files.tables,
        "figures": files.figures,
        "executed notebooks": files.notebooks,
    }
    parts += [f"{name}: {path}" for name, path in places.items() if path.exists()]
    return "\n".join(parts)


def parameter_listing() -> str:
    """The parameters of all notebooks with their defaults and who has them, for `--help`."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for path in notebooks():
        for name, entry in parameters_of(path).items():
            found.setdefault(name, (entry, []))[1].append(path.stem[:2])
    lines = [
        f"  {name}={entry['default']}  {entry.get('help') or ''}".rstrip()
        + f"  ({', '.join(having)})"
        for name, (entry, having) in found.items()
        if name != "overrides"
    ]
    return "\n".join(["parameters of the notebooks (default; which have it):", *lines])
