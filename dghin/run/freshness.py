"""What a notebook's result depends on, as one digest; and what a training depends on."""

import ast
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_preprocess.base.common import write_json
from dghin.data.dataset import run_manifest

from .config import Config, settings_with_effect
from .stopping import only_one

log = logging.getLogger(__name__)
PACKAGES = ("dghin", "data_preprocess")


def notebook_digest(
    notebook: Path,
    parameters: Mapping[str, Any],
    modules: Iterable[str],
    previous: str,
    settings: Mapping[str, Any] = {},
) -> str:
    """The digest of everything that a notebook's result depends on.

    Its cells; the parameters it gets; every module of ours that it imports, directly or through
    others, and the `modules` that it starts by name; templates and tables that lie beside them; the
    run's settings; the digest of the notebook before it.
    """
    cells = code_cells(notebook)
    names = imported_modules("\n".join(cells)) | set(modules)
    files = [*sorted(module_files(names)), *beside_the_code()]
    own = [cells, dict(parameters), dict(settings), previous]
    digest = hashlib.sha256(json.dumps(own).encode())
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def training_digest(config: Config, processes: int) -> str:
    """The digest of what a training is made from: its settings, its data, the trainer's code."""
    manifest = run_manifest(config)
    made = [settings_with_effect(config), processes, manifest["splits"]]
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode())
    for path in sorted(module_files(["dghin.training.trainer"], inner=False)):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Any]:
    """What was finished before; nothing, where the record is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def set_stale_training_aside(folder: Path, config: Config, force: bool, processes: int = 0) -> None:
    """Make room for a new training unless the one there was made from the same: then it goes on.

    The same: settings, data, number of processes and code of the trainer. With
    train.resume_changed it goes on whatever it was made from. Else train/ becomes train-before-1/,
    -2/, ... and is never deleted: it may have cost days. A training without record was started by
    hand and is kept, too; the trainer itself refuses to go on with other settings.
    """
    train, wanted = folder / "train", training_digest(config, processes)
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
    here = Path(__file__).parents[1]
    own = [*sorted((here / "report" / "templates").glob("*")), here / "training" / "slurm.sh"]
    own += sorted(here.parent.glob("data_prep*/**/*.csv"))
    return [*own, *here.parent.glob("reports/published.csv")]


def code_cells(notebook: Path) -> list[str]:
    """The sources of a notebook's code cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def module_files(names: Iterable[str], inner: bool = True) -> set[Path]:
    """The files of these modules and of all modules of ours that they import.

    inner: also those that they import inside functions.
    """
    root = Path(__file__).parents[2]
    pending, seen = list(names), set()
    files: set[Path] = set()
    while pending:
        name = pending.pop()
        path = module_file(root, name)
        if name in seen or path is None:
            continue
        seen.add(name)
        files.add(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        pending += imported_modules(path.read_text(encoding="utf-8"), package, inner)
    return files


def module_file(root: Path, name: str) -> Path | None:
    """The source file of one of our modules; None if it is no module of ours."""
    base = root / Path(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file() and name.split(".")[0] in PACKAGES:
            return path
    return None


def imported_modules(source: str, package: str = "", inner: bool = True) -> set[str]:
    """Names that a source imports from our packages; inner: also inside functions.

    `from x import y` counts both x and x.y, since y may be a module.
    """
    names: set[str] = set()
    tree = ast.parse(source)
    for node in ast.walk(tree) if inner else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], base]).rstrip(".")
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in PACKAGES}
