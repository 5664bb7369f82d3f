"""Where rows come from: commit, command, checkpoint and data, kept inside every rows file.

rows.attrs["provenance"]      # pandas writes attrs into the parquet file and reads them back
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from dghin.run.code_digest import code_digest
from dghin.run.config import Config
from dghin.run.environment import ROOT, command, data_digests, git_state
from dghin.run.folder import WEIGHTS, RunFolder

from .rows import read_rows

DGHIN = "DGHIN"


def provenance(
    config: Config, checkpoint: str | None, origin: Mapping[str, Any] = {}
) -> dict[str, Any]:
    """What rows made here and now come from.

    checkpoint: the SHA-256 of the weights, or what else the model's digest is; None where it is not
    known. origin: what the answerer knows of itself (files, missing answers, CPU threads). A number
    of changed files other than 0 means that the commit alone does not say what code ran.
    """
    return {
        **git_state(ROOT),
        "command": command(),
        "checkpoint": checkpoint,
        "data": data_digests(config),
        **origin,
    }


def check_same_model(folder: Path, origin: Mapping[str, Any]) -> None:
    """UserError where a run's folder holds a training, or rows, of another model than answers now.

    origin: the answerer's. DGHIN's own rows name no model: they have a checkpoint.
    """
    paths, name = RunFolder(folder), origin.get("answered by", DGHIN)
    remedy = f"Score this one in a run of its own (run=NAME), or remove {folder}."
    if name != DGHIN and paths.best.is_dir():
        raise UserError(f"{folder}: holds a training of DGHIN; {name} is another model. {remedy}")
    for path in sorted(paths.all_rows.rglob("*.parquet")):
        there = read_rows(path, []).attrs.get("provenance")
        known = there.get("answered by", DGHIN) if there else name
        if known != name:
            raise UserError(f"{path}: was answered by {known}, and not by {name}. {remedy}")


def identity_of(config: Config) -> str:
    """What decides kept answers beside the model: data, settings, code."""
    settings = [config.evaluate.precision, config.model.image_size, config.data.dataset]
    code = code_digest(["dghin.evaluation.evaluate"])
    return json.dumps([data_digests(config), *settings, code], sort_keys=True)


def checkpoint(run: Path) -> str | None:
    """The SHA-256 of the weights in a run's folder; None where they are elsewhere."""
    path = RunFolder(run).best / WEIGHTS
    return sha256_file(path) if path.is_file() else None
