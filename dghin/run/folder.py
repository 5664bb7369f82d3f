"""A run: its configuration and its folder reports/<run>, from wherever the caller stands."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .config import CONFIGS, Config, load_config

REPORTS = Path("reports")
SETTINGS = "config.yaml"
BEST = Path("train") / "best"  # in a run's folder: the weights that scored best on val


@dataclass(frozen=True)
class Run:
    """A run's name, configuration and folder (relative to the project's root)."""

    name: str
    config: Config
    folder: Path

    @property
    def best(self) -> Path:
        """The weights that scored best on val: `DGHIN.from_pretrained(run.best)`."""
        return self.folder / BEST


def enter_project() -> Path:
    """Make the project's root the working folder: the nearest folder up with notebooks/.

    Notebooks stand in notebooks/ in JupyterLab and in the root under papermill; after this, paths
    mean the same in both. Where there is no such folder, nothing changes.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            os.chdir(folder)
            return folder
    return Path.cwd()


def open_run(
    run: str,
    config: str | None = None,
    data: str | None = None,
    overrides: Iterable[str] = (),
    reports: str | Path = REPORTS,
) -> Run:
    """The run called `run`; nothing is written (the trainer records what it trains with).

    config: a config's name or file (default: the one of the run's name; where there is none, the
    settings that the run was trained with). data: the raw data set's folder, instead of the
    config's. overrides: `key=value` words on top.
    """
    enter_project()
    saved = Path(reports) / run / SETTINGS
    if not config and not (CONFIGS / f"{run}.yaml").is_file() and saved.is_file():
        config = str(saved)
    words = ([f"data.root={data}"] if data else []) + list(overrides)
    settings = load_config(config or run, words)
    return Run(run, settings, Path(reports) / run)


def reopen_run(
    run: str,
    config: str | None = None,
    data: str | None = None,
    overrides: Iterable[str] = (),
    reports: str | Path = REPORTS,
) -> Run:
    """The run with the settings it was trained with; what is given is laid on top of them.

    A `config` that is given replaces them all. A run that was never opened is opened.
    """
    enter_project()
    saved = Path(reports) / run / SETTINGS
    if not config and saved.is_file():
        config = str(saved)
    return open_run(run, config, data, overrides, reports)
