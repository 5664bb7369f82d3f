"""Where rows come from: commit, command, checkpoint and data, kept inside every rows file.

rows.attrs["provenance"]      # pandas writes attrs into the parquet file and reads them back
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError, one_line
from data_preprocess.base.files import mistaken, sha256_file, sha256_json
from data_preprocess.raw.datasets import DRAWN
from dghin.run.code_digest import code_digest
from dghin.run.config import Config, load_config
from dghin.run.environment import ROOT, command, data_digests, git_state
from dghin.run.folder import WEIGHTS, RunFolder

DGHIN = "DGHIN"
WHAT = ("answered by", "checkpoint", "data")  # of a provenance: what was scored, not where or when


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


def check_same_run(folder: Path, origin: Mapping[str, Any], dataset: str) -> None:
    """UserError where a run's folder holds a training, or rows, of another model than answers now,
    or of another data set than is scored.

    origin: the answerer's. DGHIN's own rows name no model: they have a checkpoint.
    """
    paths, name = RunFolder(folder), origin.get("answered by", DGHIN)
    remedy = f"Score this one in a run of its own (run=NAME), or remove {folder}."
    if name != DGHIN and paths.best.is_dir():
        raise UserError(f"{folder}: holds a training of DGHIN; {name} is another model. {remedy}")
    if paths.best.is_dir() and paths.config.is_file():
        _check_same_data(paths.config, load_config(str(paths.config)).data.dataset, dataset, folder)
    for path in sorted(paths.all_rows.rglob("*.parquet")):
        there = read_rows(path, []).attrs.get("provenance")
        known = there.get("answered by", DGHIN) if there else name
        if known != name:
            raise UserError(f"{path}: was answered by {known}, and not by {name}. {remedy}")
        data = (there or {}).get("data") or {}
        _check_same_data(path, data.get("dataset", dataset), dataset, folder)


def _check_same_data(path: Path, there: str, dataset: str, folder: Path) -> None:
    """UserError for another data set; drawn scenes may be called by their layout."""
    if there != dataset and DRAWN.get(there) != dataset and DRAWN.get(dataset) != there:
        best = RunFolder(folder).best
        weights = f", with model={best}" if best.is_dir() else ""
        raise UserError(
            f"{path}: of the data set {there}, and not {dataset}: a run is of one data set: score "
            f"this one in a run of its own (run=NAME{weights})."
        )


def identity_of(config: Config) -> str:
    """What decides kept answers beside the model: data, settings, code."""
    settings = [config.evaluate.precision, config.model.image_size, config.data.dataset]
    code = code_digest(["dghin.evaluation.evaluate"])
    return json.dumps([data_digests(config), *settings, code], sort_keys=True)


def checkpoint(run: Path) -> str | None:
    """The SHA-256 of the weights in a run's folder; None where they are elsewhere."""
    path = RunFolder(run).best / WEIGHTS
    return sha256_file(path) if path.is_file() else None


def rows_digest(path: Path) -> str:
    """The SHA-256 of what a file of rows says: the rows as CSV, and the model and data in WHAT.

    The same rows scored again, by another command or on another machine, have the same digest. Of a
    file that is not readable as rows it is the digest of the file.
    """
    try:
        rows = read_rows(path)
    except UserError:
        return sha256_file(path)
    origin = rows.attrs.get("provenance", {})
    known = {name: origin[name] for name in WHAT if name in origin}
    return sha256_json([known, rows.to_csv(index=False, lineterminator="\n")])


def read_rows(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of a split, with their provenance in `attrs`; a damaged file is a UserError.

    columns: those that are read; none, [], for the provenance alone.
    """
    try:
        rows = pd.read_parquet(path, columns=columns)
        if not isinstance(rows.attrs.get("provenance", {}), dict):
            raise ValueError("its provenance is no mapping")
        return rows
    except FileNotFoundError:
        raise
    except Exception as error:  # pyarrow raises many kinds
        if isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno is not None:
            raise
        what = mistaken(path) if Path(path).is_file() else ""
        raise UserError(
            f"{path}: not readable as rows ({what or one_line(error)}). Copy the file again, or "
            "remove it and score the split anew: dghin evaluate."
        ) from error
