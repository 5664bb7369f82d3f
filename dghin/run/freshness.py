"""What a notebook's result depends on, as one digest; and what a training depends on."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_preprocess.base.files import read_json_or, write_json
from data_preprocess.prepared.manifest import read_manifest

from .code_digest import code_digest, imported_modules
from .config import Config, settings_with_effect
from .environment import ROOT, start_digest
from .folder import RunFolder
from .stopping import only_one

log = logging.getLogger(__name__)
TRAINER = "dghin.training.trainer"
BESIDE = (  # how a training is started, ended and written down: none of its numbers depends on it
    "dghin.run.environment",
    "dghin.training.logbook",
    "dghin.run.folder",
    "dghin.run.stopping",
)


def notebook_digest(
    notebook: Path,
    parameters: Mapping[str, Any],
    modules: Iterable[str],
    previous: str,
    settings: Mapping[str, Any] = {},
) -> str:
    """The digest of everything that a notebook's result depends on.

    Its cells; the parameters it gets; what the code means (`code_digest`) of every module of ours
    that it imports, directly or through others, and of the `modules` that it starts by name;
    templates and tables beside the code; the run's settings; the digest of the notebook before it.
    """
    cells = code_cells(notebook)
    names = imported_modules("\n".join(cells)) | set(modules)
    own = [cells, dict(parameters), dict(settings), previous, code_digest(names)]
    digest = hashlib.sha256(json.dumps(own).encode())
    for path in beside_the_code():
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def training_digest(config: Config, processes: int) -> str:
    """The digest of what a training is made from: its settings, processes, data and code.

    The code: what the trainer and all that it imports mean (`code_digest`), without `BESIDE` and
    what is imported inside functions only. So a training of days outlives a comment, a docstring or
    another line in its log.
    """
    code = code_digest([TRAINER], inner=False, without=BESIDE)
    manifest = read_manifest(config.data.prepared_root, config.data.dataset)
    made = [settings_with_effect(config), processes, manifest["splits"], code]
    if start := start_digest(config):
        made.append(start)
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


def read_state(path: Path) -> dict[str, Any]:
    """What was finished before; nothing, where the record is missing or damaged."""
    return read_json_or(path, {})


def set_stale_training_aside(folder: Path, config: Config, force: bool, processes: int = 0) -> None:
    """Make room for a new training unless the one there was made from the same: then it goes on.

    The same: settings, data, number of processes and code of the trainer. With
    train.resume_changed it goes on whatever it was made from. Else train/ becomes train-before-1/,
    -2/, ... and is never deleted: it may have cost days. A training without record was started by
    hand and is kept, too; the trainer itself refuses to go on with other settings.
    """
    train, wanted = RunFolder(folder).train, training_digest(config, processes)
    record = train / "made_from.json"
    found = read_state(record).get("digest") if record.is_file() else wanted
    goes_on = found == wanted or config.train.resume_changed
    if train.is_dir() and (force or not goes_on):
        with only_one(train, patience=0):  # a training that still runs would write on beside it
            pass
        before = set_aside(train)
        log.info("%s: of other settings, data or code; kept as %s", train, before.name)
    write_json(record, {"digest": wanted})


def set_aside(folder: Path) -> Path:
    """Rename <folder> to <folder>-before-1, -2, ..., the first that is free; → the new path."""
    taken = [
        int(path.name.rpartition("-")[2]) for path in folder.parent.glob(f"{folder.name}-before-*")
    ]
    return folder.rename(folder.parent / f"{folder.name}-before-{1 + max(taken, default=0)}")


def beside_the_code() -> list[Path]:
    """Files of the packages that are no code and no config: templates, published figures."""
    own = [*ROOT.glob("dghin/**/templates/*"), *ROOT.glob("data_preprocess/**/*.csv")]
    return [*sorted(own), *ROOT.glob("reports/published.csv")]


def code_cells(notebook: Path) -> list[str]:
    """The sources of a notebook's code cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
