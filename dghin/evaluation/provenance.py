"""Where rows come from: commit, command, checkpoint and data, kept inside every rows file.

rows.attrs["provenance"]      # pandas writes attrs into the parquet file and reads them back
"""

from pathlib import Path
from typing import Any

from data_preprocess.base.files import sha256_file
from dghin.run.config import Config
from dghin.run.environment import ROOT, command, data_digests, git_state
from dghin.run.folder import WEIGHTS, RunFolder


def provenance(config: Config, weights: Path | None) -> dict[str, Any]:
    """What rows made here and now come from.

    weights: the model's folder, if it has one. A number of changed files other than 0 means that
    the commit alone does not say what code ran.
    """
    path = Path(weights) / WEIGHTS if weights else None
    return {
        **git_state(ROOT),
        "command": command(),
        "checkpoint": sha256_file(path) if path and path.is_file() else None,
        "data": data_digests(config),
    }


def checkpoint(run: Path) -> str | None:
    """The SHA-256 of the weights in a run's folder; None where they are elsewhere."""
    path = RunFolder(run).best / WEIGHTS
    return sha256_file(path) if path.is_file() else None
