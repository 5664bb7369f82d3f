"""`save_pretrained`, `from_pretrained`, `push_to_hub`: safetensors and config.json, a folder."""

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from safetensors.torch import load_file, save_file

from data_preprocess.base.common import UserError, atomic_path, read_json, write_json
from data_preprocess.base.settings import build, to_mapping
from dghin.run.config import ModelConfig

WEIGHTS, CONFIG = "model.safetensors", "config.json"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
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
    def from_pretrained(cls, name: str | Path) -> Self:
        """The model of a folder, or of a hub's repository ("owner/name"); in eval mode, on the
        CPU."""
        folder = local_folder(name)
        values = read_json(Path(folder) / CONFIG, REMEDY)
        own = {k: v for k, v in values.items() if k not in ("model_type", "language")}
        model = cls(build(ModelConfig, own))
        path = Path(folder) / WEIGHTS
        if not path.is_file():
            raise UserError(f"{path}: no such file. {REMEDY}")
        load_weights(model, load_file(path), path)
        return model.eval()

    def push_to_hub(
        self, name: str, language: Mapping[str, Any] = {}, private: bool = False
    ) -> str:
        """Upload model and config to a hub's repository ("owner/name"); → its URL.

        `Predictor.push_to_hub` adds the model card.
        """
        return upload(lambda folder: self.save_pretrained(folder, language), name, private)


def local_folder(name: str | Path) -> Path:
    """The folder of weights that is meant: itself, or a hub's repository, downloaded once."""
    folder = Path(name)
    if folder.exists() or not REPOSITORY.fullmatch(str(name)):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=[WEIGHTS, CONFIG]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{name}: no such folder, and no such repository that the hub would give "
            f"({_first_line(error)}). Without a network, download it elsewhere "
            f"(hf download {name} --local-dir FOLDER) and give FOLDER."
        ) from error


def upload(save: Callable[[Path], None], name: str, private: bool) -> str:
    """Upload the folder that `save` writes to a hub's repository; → its URL."""
    if not REPOSITORY.fullmatch(name):
        raise UserError(f"'{name}': no name of a hub's repository. Give OWNER/NAME.")
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))  # first: nothing is made on the hub for what cannot be written
        try:
            api = HfApi()
            url = api.create_repo(name, private=private, exist_ok=True)
            api.upload_folder(repo_id=name, folder_path=folder, commit_message="DGHIN by dghin")
        except Exception as error:  # its own, its HTTP client's, the network's
            raise UserError(
                f"{name}: not uploaded ({_first_line(error)}). "
                "Log in with a token that may write: hf auth login."
            ) from error
    return str(url)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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
