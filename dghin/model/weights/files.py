"""Weights in files, whoever wrote them: {name: tensor}. Nothing is unpickled but tensors.

    read_weights(Path("swin.pth"), "Give a .pth file.")     # .pth, .pt, .bin, .safetensors
    read_weights(Path("bert-base-uncased"), "...")          # a folder of transformers

What is no such file (a git-lfs pointer, a web page, one cut off) is an error that says so.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from data_preprocess.base.errors import UserError, one_line
from data_preprocess.base.files import mistaken, read_json

NESTED = ("state_dict", "model_state_dict", "model", "module", "net")  # where trainings keep them
IN_FOLDERS = ("model.safetensors", "pytorch_model.bin")  # of transformers, the preferred first


def read_weights(path: Path | str, remedy: str) -> dict[str, Tensor]:
    """The weights of a file, or of a folder that transformers wrote (in one file or several)."""
    path = Path(path)
    if path.is_dir():
        return _of_folder(path, remedy)
    if not path.is_file():
        raise UserError(f"{path}: no such file. {remedy}")
    return _state_of(path, _content(path, remedy), remedy)


def has_weights(folder: Path) -> bool:
    """Whether a folder holds weights in a form that `read_weights` knows."""
    return any(
        (folder / name).is_file() or (folder / f"{name}.index.json").is_file()
        for name in IN_FOLDERS
    )


def _of_folder(folder: Path, remedy: str) -> dict[str, Tensor]:
    for name in IN_FOLDERS:
        if (folder / name).is_file():
            return read_weights(folder / name, remedy)
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _of_shards(index, remedy)
    others = sorted(path.name for path in folder.iterdir() if path.is_file())[:6]
    raise UserError(
        f"{folder}: neither {' nor '.join(IN_FOLDERS)} in it (there: {', '.join(others) or '-'}). "
        f"{remedy}"
    )


def _of_shards(index: Path, remedy: str) -> dict[str, Tensor]:
    found = read_json(index, remedy)
    names = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(names, dict) or not all(isinstance(x, str) for x in names.values()):
        raise UserError(f"{index}: no list of files ('weight_map'). {remedy}")
    state: dict[str, Tensor] = {}
    for name in sorted(set(names.values())):
        state |= read_weights(index.parent / Path(name).name, remedy)
    return state


def _content(path: Path, remedy: str) -> Any:
    if what := mistaken(path):
        raise UserError(f"{path}: {what}. {remedy}")
    is_safe = path.suffix == ".safetensors"
    try:
        if is_safe:
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged zip or pickle raises almost anything
        if isinstance(error, OSError) and error.errno is not None:
            raise
        what = "cannot be read" if is_safe else "not readable as PyTorch weights"
        raise UserError(f"{path}: {what} ({one_line(error)}). {remedy}") from error


def _state_of(path: Path, content: Any, remedy: str) -> dict[str, Tensor]:
    """The state dict in what a file holds: itself, or under one of NESTED."""
    while isinstance(content, dict):
        tensors = {k: v for k, v in content.items() if isinstance(k, str) and _is_tensor(v)}
        if tensors:
            return tensors
        inner = next((content[k] for k in NESTED if isinstance(content.get(k), dict)), None)
        if inner is None:
            raise UserError(
                f"{path}: no weights in it (it has {json.dumps(list(map(str, content))[:5])}). "
                f"{remedy}"
            )
        content = inner
    raise UserError(
        f"{path}: holds a {type(content).__name__}, not weights by name (a state dict). {remedy}"
    )


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)
