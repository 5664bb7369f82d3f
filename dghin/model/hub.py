"""`save_pretrained`, `from_pretrained`, `push_to_hub`: safetensors and config.json, a folder.

They are huggingface_hub's PyTorchModelHubMixin; here is what it leaves open: files are written
atomically, nothing is unpickled, and what is wrong with a folder or a hub's answer is a UserError.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from huggingface_hub import PyTorchModelHubMixin
from safetensors.torch import save_file

from data_preprocess.base.errors import UserError, one_line, unknown_name
from data_preprocess.base.files import atomic_path, read_json, write_json
from data_preprocess.base.settings import build, to_mapping
from dghin.run.config import ModelConfig
from dghin.run.folder import WEIGHTS

from .weights.files import read_weights
from .weights.names import load_weights, without_prefix

CONFIG = "config.json"
LANGUAGE_KEYS = ("tokenizer", "parser", "alignment")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
REMEDY = "Give a folder that save_pretrained or training wrote."
CARD = """---
{{ card_data }}
---

Weights of DGHIN, a network for referring image segmentation.
Read them with `dghin.DGHIN.from_pretrained("FOLDER_OR_NAME")`.
"""


class HubMixin(
    PyTorchModelHubMixin,
    library_name="dghin",
    pipeline_tag="image-segmentation",
    tags=["referring-image-segmentation", "dghin", "pytorch"],
    model_card_template=CARD,
):
    """A model with a ModelConfig that is saved to, and read from, a folder or a hub's repository.

    language: tokenizer, parser and alignment that the model was trained with, for Predictor; saved
    in config.json beside the ModelConfig.
    """

    language: Mapping[str, Any] = {}

    def _save_pretrained(self: Any, save_directory: Path) -> None:
        """Write `model.safetensors` and `config.json`, each atomically."""
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        with atomic_path(save_directory / WEIGHTS) as temporary:
            save_file(state, temporary, metadata={"format": "pt"})
        values = {"model_type": "dghin", **to_mapping(self.config), "language": dict(self.language)}
        write_json(save_directory / CONFIG, values)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the folder's config is the only one
        cls, name: str | Path, **words: Any
    ) -> Self:
        """The model of a folder, or of a hub's repository ("owner/name"); in eval mode, on the CPU.

        words: revision, token, cache_dir, force_download, local_files_only of a repository.
        """
        folder = local_folder(name, **words)
        config, language = read_config(folder / CONFIG)
        model = super().from_pretrained(folder, config=config, **words)
        model.language = language
        return model

    @classmethod
    def _from_pretrained(  # type: ignore[override]
        cls, *, model_id: str, config: ModelConfig, revision: Any, token: Any, cache_dir: Any,
        force_download: Any, local_files_only: Any,
    ) -> Self:  # fmt: skip
        """What the base class calls for the weights, here with a folder: the rest is settled."""
        path = Path(model_id) / WEIGHTS
        if not path.is_file():
            raise UserError(f"{path}: no such file. {REMEDY}")
        state = read_weights(path, "Copy the file again.")
        model: Any = cls(config)
        load_weights(model, without_prefix(state, model.state_dict()), path)
        return model.eval()

    def push_to_hub(  # type: ignore[override]
        self, name: str, **words: Any
    ) -> str:
        """Upload model and config to a hub's repository ("owner/name"); → the commit's URL.

        words: private, token, branch, commit_message, ... as huggingface_hub has them.
        `dghin.report.model_card.push_with_card` adds the model card.
        """
        with uploading(name):
            return super().push_to_hub(name, **words)


def local_folder(name: str | Path, **words: Any) -> Path:
    """The folder of weights that is meant: itself, or a hub's repository, downloaded once.

    words: revision, token, ... of huggingface_hub's `snapshot_download`.
    """
    folder = Path(name)
    if folder.exists() or not REPOSITORY.fullmatch(str(name)):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=[WEIGHTS, CONFIG], **words))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{name}: no such folder, and no such repository that the hub would give "
            f"({one_line(error)}). Without a network, download it elsewhere "
            f"(hf download {name} --local-dir FOLDER) and give FOLDER."
        ) from error


def read_config(path: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """The ModelConfig of a config.json, and the language settings beside it."""
    values = read_json(path, REMEDY)
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected an object of settings. {REMEDY}")
    own = {k: v for k, v in values.items() if k not in ("model_type", "language")}
    language = values.get("language") or {}
    try:
        if not isinstance(language, dict):
            raise UserError(f"language={language!r}: expected tokenizer, parser and alignment.")
        for key, value in language.items():
            if key not in LANGUAGE_KEYS:
                raise unknown_name("key", f"language.{key}", LANGUAGE_KEYS)
            if not isinstance(value, str):
                raise UserError(f"language.{key}={value!r}: expected text.")
        return build(ModelConfig, own), language
    except UserError as error:
        raise UserError(f"{path}: {error} {REMEDY}") from error


@contextlib.contextmanager
def uploading(name: str) -> Iterator[None]:
    """Make a UserError of whatever stops the block's upload to a hub's repository."""
    if not REPOSITORY.fullmatch(name):
        raise UserError(f"'{name}': no name of a hub's repository. Give OWNER/NAME.")
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # its own, its HTTP client's, the network's
        raise UserError(
            f"{name}: not uploaded ({one_line(error)}). "
            "Log in with a token that may write: hf auth login."
        ) from error
