"""A run: its configuration and its folder reports/<run>, from wherever the caller stands."""

import ast
import contextlib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.paths import enter_project
from data_preprocess.base.settings import as_list

from .config import CONFIGS, Config, load_config

REPORTS = Path("reports")
PAPERMILLS = "# Parameters\n"  # the first line of the cell with what `papermill -p` gave
WEIGHTS = "model.safetensors"  # of a folder that `save_pretrained` wrote


@dataclass(frozen=True)
class RunFolder:
    """Every path of a run's folder, reports/<run>: no other module spells them.

    An ablation or a comparison has fewer of them.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The settings that the run was trained (or scored) with."""
        return self.path / "config.yaml"

    @property
    def requested(self) -> Path:
        """The settings that a training was asked for; it writes `config` once it accepts them."""
        return self.path / "requested.yaml"

    @property
    def environment(self) -> Path:
        """Versions, hardware and commands, by stage."""
        return self.path / "environment.json"

    @property
    def state(self) -> Path:
        """Which notebooks were finished, and from what."""
        return self.path / "state.json"

    @property
    def train(self) -> Path:
        """What the trainer writes: checkpoints, log, best weights."""
        return self.path / "train"

    @property
    def log(self) -> Path:
        """The training's log: a JSON object a line."""
        return self.train / "log.jsonl"

    @property
    def best(self) -> Path:
        """The weights that scored best on val."""
        return self.train / "best"

    @property
    def all_rows(self) -> Path:
        """The folder of all rows."""
        return self.path / "rows"

    def rows(self, split: str, control: str = "") -> Path:
        """The rows of a split, an expression each."""
        return self.all_rows / control / f"{split}.parquet"

    def answers(self, split: str, control: str = "") -> Path:
        """The masks that were answered about a split, as run lengths."""
        return self.path / "answers" / control / f"{split}.jsonl"

    @property
    def kept_answers(self) -> Path:
        """The folder of what an evaluation that has not ended yet has answered."""
        return self.path / "answers" / ".kept"

    @property
    def about(self) -> Path:
        """Who answered: name, backbone, training data, ...; DGHIN's own runs need none."""
        return self.path / "model.yaml"

    @property
    def claims(self) -> Path:
        """What a paper claims, for the report's table of verdicts."""
        return self.path / "claims.yaml"

    @property
    def review(self) -> Path:
        """Which expressions reviewers keep, for scores on those alone."""
        return self.path / "reviewed.json"

    @property
    def metrics(self) -> Path:
        """All scores: {split: {protocol: {...}}}, and "controls"."""
        return self.path / "metrics.json"

    @property
    def tables(self) -> Path:
        """Tables as Markdown, CSV and LaTeX."""
        return self.path / "tables"

    @property
    def figures(self) -> Path:
        """Figures as PNG and PDF."""
        return self.path / "figures"

    @property
    def gallery(self) -> Path:
        """Small copies of the figures on a Markdown page."""
        return self.path / "gallery"

    @property
    def notebooks(self) -> Path:
        """The executed notebooks."""
        return self.path / "notebooks"

    @property
    def page(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def proof(self) -> Path:
        """Digests of what the report was made from."""
        return self.path / "provenance.json"

    @property
    def runs(self) -> Path:
        """An ablation's trainings, a run's folder each."""
        return self.path / "runs"


def local_network(name: str) -> Path:
    """The folder of weights on this machine that a name means: a run's best ones, or itself."""
    best = RunFolder(Path(name)).best
    return best if best.is_dir() else Path(name)


@dataclass(frozen=True)
class Run:
    """A run's name, configuration and folder (relative to the project's root)."""

    name: str
    config: Config
    folder: Path

    @property
    def paths(self) -> RunFolder:
        """Every path of the folder: `DGHIN.from_pretrained(run.paths.best)`."""
        return RunFolder(self.folder)


def open_run(
    run: str | int,
    config: str | None = None,
    data: str | int | None = None,
    overrides: Iterable[str] | str = (),
    reports: str | Path = REPORTS,
) -> Run:
    """The run called `run`; nothing is written (the trainer records what it trains with).

    config: a config's name or file (default: the one of the run's name; where there is none, the
    settings that the run was trained with). data: the raw data set's folder, instead of the
    config's. overrides: `key=value` words on top. Values of papermill's -p are understood: a number
    as the name it is, one text as a list of one. In a notebook, a name that papermill gave and the
    notebook does not have is refused.
    """
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()):
        check_parameters(shell.user_ns.get("In", ()))
    enter_project()
    run, config, data, reports = _texts(run=run, config=config, data=data, reports=reports)
    overrides = as_list("overrides", overrides)
    saved = RunFolder(Path(reports) / run).config
    if not config and not (CONFIGS / f"{run}.yaml").is_file() and saved.is_file():
        config = str(saved)
    words = ([f"data.root={data}"] if data else []) + list(overrides)
    settings = load_config(config or run, words)
    return Run(run, settings, Path(reports) / run)


def check_parameters(cells: Iterable[str]) -> None:
    """UserError for a parameter that papermill gave and the notebook does not declare.

    papermill itself only warns of it, and the notebook would run with its defaults. cells: the
    sources that ran so far. Declared is what has an annotation (`run: str = "demo"`); what
    papermill gave stands in a cell that starts with its comment.
    """
    declared, given = [], []
    for cell in cells:
        with contextlib.suppress(SyntaxError):  # a magic
            for node in ast.parse(cell).body:
                if isinstance(node, ast.AnnAssign):
                    declared.append(ast.unparse(node.target))
                elif isinstance(node, ast.Assign) and cell.startswith(PAPERMILLS):
                    given += map(ast.unparse, node.targets)
    for name in given if declared else ():
        if name not in declared:
            raise unknown_name("parameter", name, declared)


def reopen_run(
    run: str | int,
    config: str | None = None,
    data: str | int | None = None,
    overrides: Iterable[str] | str = (),
    reports: str | Path = REPORTS,
) -> Run:
    """The run with the settings it was trained with; what is given is laid on top of them.

    A `config` that is given replaces them all. A run that was never opened is opened.
    """
    enter_project()
    run, config, data, reports = _texts(run=run, config=config, data=data, reports=reports)
    saved = RunFolder(Path(reports) / run).config
    if not config and saved.is_file():
        config = str(saved)
    return open_run(run, config, data, overrides, reports)


def _texts(**values: Any) -> list[str]:
    """Names and paths as text: `papermill -p run 2024` gives a number.

    A number that may have been written in another way (7 or 007, 1.1 or 1.10) is refused.
    """
    texts = []
    for name, value in values.items():
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1000:
            value = str(value)
        if not isinstance(value, str | Path | None):
            raise UserError(
                f"{name}={value!r}: a {type(value).__name__}, which may have been written in "
                f"another way (7 or 007). Give it as text: papermill -r {name} {value}, or "
                f'{name} = "{value}" in the notebook.'
            )
        texts.append("" if value is None else os.path.expanduser(value))
    return texts
