"""A Segmenter by name: a class of anybody's own, or a model that transformers holds.

    load_segmenter("my_module:Mine", {"size": 448})          # my_module.py in the working folder
    load_segmenter("hf:CIDAS/clipseg-rd64-refined")          # a repository of the Hugging Face hub
    load_segmenter("hf:models/clipseg")                      # a folder with such a repository
    load_segmenter("hf:DETECTOR+SAM2", device="cuda")        # Grounding DINO and SAM 2 together

Options are the keywords of the class: each adapter of this folder lists its own. `revision` (a
branch, tag or commit) is one for names of the hub.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from data_preprocess.base.errors import UserError, unknown_name

from .protocol import Segmenter

ADAPTERS = {  # by the model_type of config.json: module and class
    "clipseg": ("clipseg", "ClipSeg"),
    "sam3": ("sam3", "Sam3"),
    "sam3_video": ("sam3", "Sam3"),  # facebook/sam3: its detector is what answers a photo
    "florence2": ("florence2", "Florence2"),
}
DETECTORS = ("grounding-dino",)
BOX_READERS = ("sam2", "sam2_video")  # facebook/sam2-...: the weights serve photos, too
METHODS = ("look", "answer")


def load_segmenter(
    name: str, options: Mapping[str, Any] = {}, device: str | torch.device = "cpu"
) -> Segmenter:
    """The model that a name means (see the module), ready to look and answer on the device.

    UserError for a name of another form, for a class without `look` or `answer`, for an unknown
    option, for a model_type that no adapter knows, and for files that cannot be loaded.
    """
    kind, colon, rest = name.partition(":")
    if not colon or not kind or not rest:
        raise UserError(
            f"model={name}: no such form. Give MODULE:CLASS, or hf:NAME for a folder or a "
            "repository of the Hugging Face hub."
        )
    if kind.endswith(".py"):
        raise UserError(
            f"model={name}: name the module, not the file: {kind.removesuffix('.py')}:{rest}."
        )
    if kind == "hf":
        return _load_adapter(rest, options, device)
    return _load_class(kind, rest, options, device)


def _load_adapter(name: str, options: Mapping[str, Any], device: str | torch.device) -> Segmenter:
    module, adapter = _adapter_of(name, options.get("revision"))
    made = getattr(importlib.import_module(f".{module}", __package__), adapter)
    parameters = inspect.signature(made).parameters
    known = [word for word in parameters if word not in ("name", "device")]
    for option, value in options.items():
        if option not in known:
            raise unknown_name(f"option of hf:{name}", option, known)
        usual = parameters[option].default
        if isinstance(usual, (int, float)) and not isinstance(value, (int, float)):
            raise UserError(f"hf:{name}: {option}={value!r} is no number. Without it: {usual}.")
    return made(name, device=device, **options)


def _adapter_of(name: str, revision: str | None) -> tuple[str, str]:
    """Module and class of the adapter for a name, by what its config.json says."""
    from .pretrained import read_config

    first, plus, second = ("" if Path(name).is_dir() else name).partition("+")
    if plus:
        versions = revision.split("+") if revision else [None, None]
        if len(versions) != 2:
            raise UserError(
                f"revision={revision}: hf:{name} needs two, REVISION+REVISION, one for each."
            )
        for one, version, known in zip(
            (first, second), versions, (DETECTORS, BOX_READERS), strict=True
        ):
            found = str(read_config(one, version).get("model_type"))
            if found not in known:
                raise unknown_name(f"model_type in hf:{name} ({one})", found, known)
        return "grounded_sam2", "GroundedSam2"
    found = str(read_config(name, revision).get("model_type"))
    if found in (*DETECTORS, *BOX_READERS):
        raise UserError(
            f"hf:{name}: a {found} alone answers no expression. Name a Grounding DINO and a SAM 2 "
            "together: hf:DETECTOR+SAM2."
        )
    if found not in ADAPTERS:
        names = [*ADAPTERS, "grounding-dino+sam2"]
        raise unknown_name(f"model_type of hf:{name}", found, names)
    return ADAPTERS[found]


def _load_class(
    module: str, name: str, options: Mapping[str, Any], device: str | torch.device
) -> Segmenter:
    """An object of a class of anybody's own; `device` is given, too, where it takes one."""
    found = _find_class(module, name)
    if isinstance(found, type):  # before any work, where that can be said
        _check_methods(found, f"{module}:{name}")
    try:
        signature = inspect.signature(found)
    except ValueError:  # of a class written in C
        signature = None
    given = dict(options)
    if signature and "device" in signature.parameters:
        given.setdefault("device", device)
    try:
        if signature:
            signature.bind(**given)
    except TypeError as error:
        raise UserError(
            f"model={module}:{name}: it does not take these options ({error}). It is "
            f"{name}{signature}."
        ) from error
    segmenter = found(**given)
    _check_methods(segmenter, f"{module}:{name}")
    return segmenter


def _find_class(module: str, name: str) -> Any:
    """A class (or a function that makes an object) of a module, the working folder's included."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise UserError(
                f"model={module}:{name}: no module '{module}', neither installed nor in the "
                f"working folder ({module.replace('.', '/')}.py). Change to its folder or put it "
                "on PYTHONPATH."
            ) from error
        raise UserError(
            f"model={module}:{name}: {module} needs '{error.name}', which is not installed. "
            f"pip install it."
        ) from error
    if not hasattr(loaded, name):
        own = [word for word, value in vars(loaded).items() if inspect.isclass(value)]
        raise unknown_name(f"class of {module}", name, own)
    return getattr(loaded, name)


def _check_methods(thing: Any, name: str) -> None:
    for method in METHODS:
        if not callable(getattr(thing, method, None)):
            raise UserError(
                f"model={name}: it has no method '{method}'. It needs look(photo) and "
                "answer(seen, expressions): dghin/evaluation/segmenters/protocol.py shows both."
            )
