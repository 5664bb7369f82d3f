"""`save_pretrained` and `from_pretrained`: safetensors and config.json in one folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from safetensors.torch import load_file, save_file

from data_preprocess.common import UserError, atomic_path, read_json, write_json
from data_preprocess.settings import build, to_mapping

from .config import ModelConfig

WEIGHTS, CONFIG = "model.safetensors", "config.json"
REMEDY = "Give a folder that save_pretrained or training wrote."


class HubMixin:
    """A model with a ModelConfig that is saved to, and read from, a folder."""

    def save_pretrained(self, folder: str | Path, language: Mapping[str, Any] = {}) -> None:
        """Write `model.safetensors` and `config.json`, each atomically.

        language: tokenizer, parser and alignment that the model was trained with, for Predictor.
        """
        folder = Path(folder)
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file(state, temporary, metadata={"format": "pt"})
        values = {"model_type": "dghin", **to_mapping(self.config), "language": dict(language)}
        write_json(folder / CONFIG, values)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The model of a folder, in eval mode, on the CPU."""
        values = read_json(Path(folder) / CONFIG, REMEDY)
        own = {k: v for k, v in values.items() if k not in ("model_type", "language")}
        model = cls(build(ModelConfig, own))
        path = Path(folder) / WEIGHTS
        if not path.is_file():
            raise UserError(f"{path}: no such file. {REMEDY}")
        load_weights(model, load_file(path), path)
        return model.eval()


def load_weights(model: Any, state: dict[str, Any], path: Path) -> None:
    """Load a state dict strictly; another model's is refused with the first differences."""
    own = model.state_dict()
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [
        f"{name}: {tuple(state[name].shape)} there, {tuple(own[name].shape)} here"
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    ]
    if missing or unexpected or shapes:
        differences = {
            "missing": missing[:3],
            "unexpected": unexpected[:3],
            "other shape": sorted(shapes)[:3],
        }
        found = json.dumps({k: v for k, v in differences.items() if v})
        raise UserError(
            f"{path}: the weights of another model: {len(missing)} missing, {len(unexpected)} "
            f"unexpected, {len(shapes)} of another shape ({found}). Use the model settings "
            "that the weights were trained with."
        )
    model.load_state_dict(state)
