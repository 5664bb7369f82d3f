"""What the adapters of transformers share: weights by name, facts, digest, batches of expressions.

    class Mine(PretrainedSegmenter):                 # clipseg.py is the shortest real one
        def __init__(self, name, device="cpu", revision=None):
            classes = TheirModel, TheirProcessor
            model, self.processor, facts = load_all(*classes, name, device, revision)
            super().__init__(facts, their=model)

        def see(self, photo): ...                    # once for a photo
        def read(self, seen, expressions): ...       # at most `at_once` expressions

A name is a folder that holds a repository's files (`hf download NAME --local-dir FOLDER`), or the
repository's name on the Hugging Face hub. Weights are float32 and in eval mode.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

import dghin.run.timm_import  # noqa: F401  (torchvision, where it needs help, before transformers)
from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.language.resources import asking_the_hub
from dghin.evaluation.answers import Answer

HUB = "https://huggingface.co"


class PretrainedSegmenter(ABC):
    """A Segmenter made of one or more models of transformers.

    facts: what is known of it, for the report (`facts_of`). parts: its models by name; their
    weights are what `digest` depends on.
    """

    at_once = 16  # at most so many expressions go through the network together

    def __init__(self, facts: Mapping[str, Any], **parts: nn.Module):
        self.facts = dict(facts)
        self.parts = parts

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all weights and their names."""
        return weights_digest(self.parts)

    @torch.inference_mode()
    def look(self, photo: Image.Image) -> Any:
        """What `see` makes of a photo, which serves all its expressions."""
        return self.see(photo)

    @torch.inference_mode()
    def answer(self, seen: Any, expressions: Sequence[str]) -> list[Answer]:
        """An answer for each expression, in their order; "" is answered, too."""
        answers: list[Answer] = []
        for start in range(0, len(expressions), self.at_once):
            answers += self.read(seen, list(expressions[start : start + self.at_once]))
        return answers

    @abstractmethod
    def see(self, photo: Image.Image) -> Any:
        """What can be computed of a photo before an expression is known."""

    @abstractmethod
    def read(self, seen: Any, expressions: list[str]) -> list[Answer]:
        """The answers to a few expressions about the photo that was seen."""


def read_config(name: str, revision: str | None = None) -> dict[str, Any]:
    """What the config.json of a folder or of a repository of the hub says."""
    if Path(name).is_dir():
        path = Path(name) / "config.json"
        if not path.is_file():
            raise UserError(
                f"{name}: no config.json in this folder. Name a folder with all files of a "
                f"repository: hf download NAME --local-dir {name}."
            )
        found = read_json(path, "Get the folder's files again.")
        if not isinstance(found, dict):
            raise UserError(f"{path}: no settings of a model. Get the folder's files again.")
        return found
    from transformers import PreTrainedConfig

    try:
        with asking_the_hub(name):
            return PreTrainedConfig.get_config_dict(name, revision=revision)[0]
    except (OSError, ValueError) as error:
        raise _cannot_load(name, error) from error


def load_all(
    model_class: Any,
    processor_class: Any,
    name: str,
    device: str | torch.device = "cpu",
    revision: str | None = None,
) -> tuple[Any, Any, dict[str, Any]]:
    """A model, what prepares its inputs, and what is known of it but for its backbone."""
    model = load_model(model_class, name, device, revision)
    processor = load_processor(processor_class, name, revision)
    size = image_size(processor)
    facts = facts_of(name, read_config(name, revision), revision, image_size=size)
    return model, processor, facts


def load_model(
    model_class: Any, name: str, device: str | torch.device = "cpu", revision: str | None = None
) -> Any:
    """A model with its pretrained weights: float32, in eval mode, on the device.

    Weights that the files do not hold would be random numbers: such a model is refused.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # it would report the parts of a video model left out
    try:
        with asking_the_hub(name):
            model, loaded = model_class.from_pretrained(
                name, revision=revision, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:
        raise _cannot_load(name, error) from error
    if missing := sorted(loaded["missing_keys"]):
        raise UserError(
            f"hf:{name}: its files hold no weights for {missing[0]} and {len(missing) - 1} more of "
            f"{model_class.__name__}. Name a repository that was made for this class of "
            "transformers (Florence-2: florence-community/Florence-2-base, not microsoft/...)."
        )
    return model.eval().to(device)


def load_processor(processor_class: Any, name: str, revision: str | None = None) -> Any:
    """What prepares photos and texts for a model, by its class in transformers."""
    try:
        with asking_the_hub(name):
            return processor_class.from_pretrained(name, revision=revision)
    except Exception as error:
        raise _cannot_load(name, error) from error


def _cannot_load(name: str, error: Exception) -> UserError:
    """One line for everything that can go wrong with files, names, networks and permissions."""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    if Path(name).is_dir():
        return UserError(
            f"hf:{name}: cannot be loaded from this folder ({said}). It needs all files of a "
            f"repository: hf download NAME --local-dir {name}."
        )
    gated = " Its authors ask you to accept terms on its page, then: hf auth login."
    return UserError(
        f"hf:{name}: no such folder, and it cannot be loaded from the Hugging Face hub ({said})."
        f"{gated if 'gated' in str(error).lower() else ''} Without a network, download it "
        f"elsewhere (hf download {name} --local-dir FOLDER), copy FOLDER here and use hf:FOLDER."
    )


def facts_of(
    name: str, config: Mapping[str, Any], revision: str | None = None, **more: Any
) -> dict[str, Any]:
    """The facts of a repository: name, link (for a name of the hub), licence where it says one.

    more: facts that the adapter knows, such as backbone and image_size.
    """
    local = Path(name).is_dir()
    facts = {"name": Path(name).resolve().name if local else name, **more}
    licence = config.get("license") or (_licence_of_card(Path(name)) if local else None)
    if licence:
        facts["licence"] = licence
    if not local:
        facts["link"] = f"{HUB}/{name}" + (f"/tree/{revision}" if revision else "")
    return facts


def _licence_of_card(folder: Path) -> str | None:
    """The licence in the header of a repository's README.md, where it was downloaded, too."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    header = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8"), re.S)
    line = re.search(r"^license: *[\"']?([^\"'\n]+)", header[1], re.M) if header else None
    return line[1].strip() if line else None


def weights_digest(parts: Mapping[str, nn.Module]) -> str:
    """The SHA-256 of the names, types, shapes and bytes of all weights, in the order of names."""
    digest = hashlib.sha256()
    for part, model in sorted(parts.items()):
        for name, value in sorted(model.state_dict().items()):
            digest.update(f"{part}.{name} {value.dtype} {tuple(value.shape)}\n".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def image_size(processor: Any) -> int | str:
    """The side of the square that a processor makes of a photo, or the side that it holds fixed."""
    size = dict(processor.image_processor.size)
    if size.get("height") and size["height"] == size.get("width"):
        return size["height"]
    if size.get("shortest_edge"):
        return f"{size['shortest_edge']} (shorter side)"
    return f"{size.get('height')} × {size.get('width')}"
