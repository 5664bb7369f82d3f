"""Pretrained weights into a fresh model: by local file, by package, or from the hub.

An image pyramid is named by
    a file           Swin as Microsoft released it (`swin_base_patch4_window12_384_22k.pth`), or a
                     state dict of the timm model (.pth, .safetensors), prefixes or not
    package:NAME/…   such a file inside an installed package
    hub:NAME         a timm model of the Hugging Face hub
A text encoder is named by a folder (`bert-base-uncased/`), package:NAME/FOLDER or a hub name.
A whole network, which brings both, is named by a run's folder (its best weights), a folder of
weights or a hub name.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from data_preprocess.base.errors import UserError, one_line
from data_preprocess.base.files import read_json
from data_preprocess.language.resources import (
    asking_the_hub,
    folder_vocabulary,
    resolve,
    vocabulary_digest,
)
from dghin.run.config import Config
from dghin.run.folder import WEIGHTS, local_network
from dghin.run.timm_import import timm

from .dghin import DGHIN
from .hub import CONFIG, local_folder, read_config
from .original import rename_swin
from .weights.files import has_weights, read_weights
from .weights.names import load_weights, without_prefix

log = logging.getLogger(__name__)
# entries that pretraining needed and this network has no use for
BERT_HEADS = ("pooler.", "cls.", "embeddings.position_ids", "classifier.", "qa_outputs.")
HEADS = ("norm.", "head.", "classifier.", "fc.", "head_dist.", "mask_token")
GEOMETRY = ("attn_mask", "relative_position_index", "num_batches_tracked")


def load_pretrained(model: DGHIN, config: Config) -> None:
    """Load the weights that the config names: a whole network's, or those of the two encoders."""
    root = Path(config.data.root)
    if config.weights.network:
        load_network(model, config)
        return
    if spec := config.weights.backbone:
        load_backbone(model, spec, root)
        log.info("image pyramid: %s", spec)
    if spec := config.weights.text:
        load_text_encoder(model, spec, root)
        log.info("text encoder: %s", spec)


def load_network(model: DGHIN, config: Config) -> None:
    """A trained network's weights into a model of the same shape, whatever its image size.

    UserError for another shape, and for weights that read words by another vocabulary.
    """
    folder = network_folder(config)
    _check_vocabulary(read_config(folder / CONFIG)[1], config, folder)
    path = folder / WEIGHTS
    state = read_weights(path, "Copy the file again.")
    load_weights(model, without_prefix(state, model.state_dict()), path)
    log.info("whole network: %s", config.weights.network)


def network_folder(config: Config) -> Path:
    """The folder of `weights.network`; of a run's folder, that of its best weights."""
    spec = config.weights.network
    here = local_network(spec)
    folder = here if here.exists() else local_folder(spec)
    if not (folder / WEIGHTS).is_file():
        raise UserError(
            f"weights.network={spec}: no {WEIGHTS} in {folder}. Give the folder of a trained run "
            "(reports/RUN), one that training or save_pretrained wrote, or OWNER/NAME of a hub."
        )
    return folder


def _check_vocabulary(language: Mapping[str, Any], config: Config, folder: Path) -> None:
    """An error if the weights' word ids mean other words than the run's."""
    there, here = language.get("tokenizer"), config.data.tokenizer
    if there in (None, here):
        return
    digests = []
    for name in (there, here):
        try:
            vocabulary = folder_vocabulary(resolve(name, config.data.root))
        except UserError:
            vocabulary = None
        digests.append(vocabulary and vocabulary_digest(vocabulary))
    if digests[0] != digests[1] or digests[0] is None:
        raise UserError(
            f"weights.network={config.weights.network}: {folder / CONFIG} says that its words are "
            f"of the tokenizer '{there}', but data.tokenizer={here}. Prepare the data with "
            f"tokenizer={there} and train with data.tokenizer={there}."
        )


def load_backbone(model: DGHIN, spec: str, root: Path) -> None:
    """Weights of an image pyramid into `model.visual_encoder`."""
    name = model.config.backbone
    if spec.startswith("hub:"):
        try:
            with asking_the_hub(spec):
                state = timm.create_model(spec.removeprefix("hub:"), pretrained=True).state_dict()
        except Exception as error:
            raise UserError(
                f"weights.backbone={spec}: cannot be loaded from the hub ({one_line(error)}). "
                "Without a network, give a local file: weights.backbone=PATH."
            ) from error
        _load_timm(model, state, name, spec)
        return
    path = _find_file(spec, root)
    state = read_weights(path, "Give a .pth or .safetensors file of the backbone.")
    if name.startswith("swin") and _is_released_swin(state):
        _load_swin(model, state, path)
    else:
        _load_timm(model, state, name, path)


def load_text_encoder(model: DGHIN, spec: str, root: Path) -> None:
    """Weights of a BERT into `model.text_encoder`: every entry is the file's, or it is refused."""
    remedy = (
        "Put the encoder's files (config.json, model.safetensors or pytorch_model.bin) into "
        f"{root / spec}, or name another: weights.text=FOLDER."
    )
    folder = Path(resolve(spec, root))
    if not folder.exists():
        folder = _download(spec, remedy)
    _check_config(model, folder, remedy)
    state = {_today(name): x for name, x in read_weights(folder, remedy).items()}
    own = model.text_encoder.state_dict()
    load_weights(model.text_encoder, without_prefix(state, own), folder, (), BERT_HEADS)


def _download(name: str, remedy: str) -> Path:
    """The files of a BERT of the Hugging Face hub, downloaded once."""
    from huggingface_hub import snapshot_download

    try:
        for pattern in ("model*.safetensors*", "pytorch_model*.bin*"):
            folder = Path(snapshot_download(name, allow_patterns=["config.json", pattern]))
            if has_weights(folder):
                return folder
    except Exception as error:  # its own, its HTTP client's, the network's
        raise UserError(
            f"weights.text={name}: not to be loaded from '{name}' ({one_line(error)}). {remedy}"
        ) from error
    raise UserError(f"weights.text={name}: no weights of PyTorch on the hub. {remedy}")


def _check_config(model: DGHIN, folder: Path, remedy: str) -> None:
    """UserError where the folder's config.json tells of another network: no shape shows heads."""
    path = folder / "config.json"
    if not path.is_file():
        return
    found, own = read_json(path, remedy), model.text_encoder.config
    if not isinstance(found, dict):
        raise UserError(f"{path}: no settings of a text encoder. {remedy}")
    for key in ("model_type", "num_attention_heads", "hidden_act", "position_embedding_type"):
        wanted = getattr(own, key, None)
        if key in found and wanted is not None and found[key] != wanted:
            raise UserError(
                f"{path}: {key} is {found[key]!r}, but this network's text encoder has {wanted!r}. "
                "Use the model settings (model.text_heads, ...) of these weights, or name another "
                "BERT: weights.text=FOLDER."
            )


def _today(name: str) -> str:
    """BERT's first files call the weight and bias of a layer norm gamma and beta."""
    name = re.sub(r"(LayerNorm|layer_norm)\.gamma$", r"\1.weight", name)
    return re.sub(r"(LayerNorm|layer_norm)\.beta$", r"\1.bias", name)


def _find_file(spec: str, root: Path) -> Path:
    try:
        path = Path(resolve(spec, root))
    except UserError as error:
        raise UserError(f"weights.backbone={spec}: {error} Empty: random weights.") from error
    if path.is_dir() and has_weights(path):
        return path
    if not path.is_file():
        raise UserError(
            f"weights.backbone={spec}: no such file, neither in {root} nor in the current folder. "
            "Give a .pth file, hub:NAME, or an empty value for random weights."
        )
    return path


def _is_released_swin(state: Mapping[str, Tensor]) -> bool:
    """Whether a Swin's names are Microsoft's: the patches of stage 0 are merged at its end.

    timm merges them at the beginning of the next one.
    """
    return any(re.search(r"(^|\.)layers\.0\.downsample\.", name) for name in state)


def _load_swin(model: DGHIN, state: Mapping[str, Tensor], path: Path) -> None:
    """Swin as released: its classifier and geometry are left out, the stage norms stay new."""
    geometry = ("attn_mask", "relative_position_index")
    encoder = model.visual_encoder
    named = without_prefix(state, encoder.state_dict(), rename_swin)
    kept = {rename_swin(name): x for name, x in named.items() if not name.endswith(geometry)}
    load_weights(encoder, kept, path, ("norms.",), tuple(f"body.{head}" for head in HEADS))


def _load_timm(model: DGHIN, state: Mapping[str, Tensor], name: str, path: str | Path) -> None:
    """A state dict of the timm model, by name, or by order where the names are others."""
    own = timm.create_model(name).state_dict()
    named = without_prefix(state, own)
    body = model.visual_encoder.body
    names = {_flat(key): key for key in body.state_dict()}
    if not named.keys() & own.keys():  # none is the same: other names of the same layers
        shapes = [tuple(value.shape) for value in state.values()]
        if shapes != [tuple(value.shape) for value in own.values()]:
            raise UserError(
                f"{path}: not the weights of model.backbone={name} ({len(state)} entries there, "
                f"{len(own)} here, of other names or shapes). Name the backbone they belong to."
            )
        named = dict(zip(own, state.values(), strict=True))
    unknown = sorted(k for k in named.keys() - own.keys() if not k.endswith(GEOMETRY))
    if unknown := [key for key in unknown if not key.startswith(HEADS)]:
        raise UserError(
            f"{path}: not the weights of model.backbone={name}: {len(unknown)} entries are not its "
            f"own ({', '.join(unknown[:3])}). Name the backbone they belong to."
        )
    kept = {names[_flat(key)]: x for key, x in named.items() if _flat(key) in names}
    load_weights(body, kept, path)


def _flat(name: str) -> str:
    """timm's feature extractors write `blocks.0` as `blocks_0`, or not, by model."""
    return name.replace(".", "_")
