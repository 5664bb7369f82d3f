"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import logging
import random
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path

log = logging.getLogger(__name__)
FORMAT = 2


def random_state() -> dict[str, Any]:
    """The state of every generator of this process, as tensors and plain values."""
    name, words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    # torch cannot unpickle uint32 between ranks
    keys = torch.from_numpy(np.asarray(words).astype(np.int64))
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, keys, position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put every generator of this process back."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def save_checkpoint(folder: Path, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `checkpoint-<iteration>.pt` atomically, then remove all but the newest `keep`.

    At every moment the newest file of that name is whole. A full disk is an error that leaves the
    older ones.
    """
    path = checkpoint_path(folder, state["iteration"])
    try:
        with atomic_path(path) as temporary:
            torch.save({"format": FORMAT, **state}, temporary)
    except (OSError, RuntimeError) as error:  # torch's own writer raises RuntimeError
        raise UserError(
            f"{path}: not written ({str(error).splitlines()[0]}). The older checkpoints are kept; "
            "make room on the disk and start the same command again."
        ) from error
    others = [other for other in checkpoints(folder) if other != path]
    for old in others[max(0, keep - 1) :]:
        old.unlink()
    return path


def checkpoint_path(folder: Path, iteration: int) -> Path:
    """Where the checkpoint after so many iterations is kept."""
    return folder / f"checkpoint-{iteration:07d}.pt"


def remove_leftovers(folder: Path) -> None:
    """Remove what a process killed in the middle of a save has left: half-written files."""
    for path in folder.glob(".checkpoint-*.pt"):
        path.unlink()
        log.info("%s: left half-written by a killed process; removed", path)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest first."""
    found = [p for p in folder.glob("checkpoint-*.pt") if re.fullmatch(r"checkpoint-\d+", p.stem)]
    return sorted(found, key=lambda path: int(path.stem.split("-")[1]), reverse=True)


def check_sums(path: Path) -> None:
    """Compare the content with the checksums that torch writes, and does not look at itself."""
    with zipfile.ZipFile(path) as archive:
        if (entry := archive.testzip()) is not None:
            raise ValueError(f"the checksum of its entry {entry} is wrong")


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint. None if there is none.

    A damaged one is named and skipped, and renamed: it no longer counts as one of the newest.
    """
    found = checkpoints(folder)
    for path in found:
        try:
            return read_checkpoint(path)
        except UserError:
            raise
        except Exception as error:
            aside = path.with_suffix(".damaged")
            log.warning("%s: damaged (%s); skipped, and kept as %s", path, error, aside.name)
            path.rename(aside)
    if damaged := sorted(folder.glob("checkpoint-*.damaged")):
        raise UserError(
            f"{damaged[-1]}: damaged, and so is every other checkpoint of {folder}. "
            "Bring back a copy, or remove them to start anew."
        )
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint file's content; damage is an error of some kind, another format a UserError."""
    check_sums(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state.get("format") != FORMAT:
        raise UserError(
            f"{path}: checkpoint format {state.get('format')!r}, expected {FORMAT}. "
            "Go on with the version that wrote it, or start in a new run folder."
        )
    return state
