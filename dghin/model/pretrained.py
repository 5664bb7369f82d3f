"""Pretrained weights into a fresh model: by local file, by package, or from the hub.

An image pyramid is named by
    a file           Swin as Microsoft released it (`swin_base_patch4_window12_384_22k.pth`), or a
                     state dict of the timm model
    package:NAME/…   such a file inside an installed package
    hub:NAME         a timm model of the Hugging Face hub
A text encoder is named by a folder (`bert-base-uncased/`), package:NAME/FOLDER or a hub name.
A whole network, which brings both, is named by a run's folder (its best weights), a folder of
weights or a hub name.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_preprocess.base.errors import UserError
from data_preprocess.base.resources import folder_vocabulary, resolve, vocabulary_digest
from dghin.run.config import Config
from dghin.run.folder import WEIGHTS, local_network
from dghin.run.timm_import import timm

from .dghin import DGHIN
from .hub import CONFIG, load_weights, local_folder, read_config, read_weights
from .original import read_checkpoint, rename_swin

log = logging.getLogger(__name__)


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
    load_weights(model, read_weights(folder), folder / WEIGHTS)
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
            state = timm.create_model(spec.removeprefix("hub:"), pretrained=True).state_dict()
        except Exception as error:
            raise UserError(
                f"weights.backbone={spec}: cannot be loaded from the hub ({error}). Without a "
                "network, give a local file: weights.backbone=PATH."
            ) from error
        _load_timm(model, state, name, spec)
        return
    path = _find_file(spec, root)
    state = read_checkpoint(path)
    if any(key.startswith("layers.0.blocks") for key in state) and name.startswith("swin"):
        _load_swin(model, state, path)
    else:
        _load_timm(model, state, name, path)


def load_text_encoder(model: DGHIN, spec: str, root: Path) -> None:
    """Weights of a BERT into `model.text_encoder`."""
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    place = resolve(spec, root)
    transformers_logging.set_verbosity_error()  # it would report the pooler left out
    transformers_logging.disable_progress_bar()
    try:
        loaded = AutoModel.from_pretrained(place, add_pooling_layer=False)
    except Exception as error:
        raise UserError(
            f"weights.text={spec}: not to be loaded from '{place}' ({error}). Put the encoder's "
            f"files (config.json, model.safetensors or pytorch_model.bin) into "
            f"{root / spec}, or name another: weights.text=FOLDER."
        ) from error
    load_weights(model.text_encoder, loaded.state_dict(), Path(place))


def _find_file(spec: str, root: Path) -> Path:
    try:
        path = Path(resolve(spec, root))
    except UserError as error:
        raise UserError(f"weights.backbone={spec}: {error} Empty: random weights.") from error
    if not path.is_file():
        raise UserError(
            f"weights.backbone={spec}: no such file, neither in {root} nor in the current folder. "
            "Give a .pth file, hub:NAME, or an empty value for random weights."
        )
    return path


def _load_swin(model: DGHIN, state: dict[str, Tensor], path: Path) -> None:
    """Swin as released: its classifier and geometry are left out, the stage norms stay new."""
    unused = ("norm.", "head.")
    geometry = ("attn_mask", "relative_position_index")
    kept = {
        rename_swin(name): value
        for name, value in state.items()
        if not name.startswith(unused) and not name.endswith(geometry)
    }
    norms = model.visual_encoder.norms.state_dict(prefix="norms.")
    load_weights(model.visual_encoder, {**norms, **kept}, path)


def _load_timm(model: DGHIN, state: dict[str, Tensor], name: str, path: str | Path) -> None:
    """A state dict of the timm model, by name, or by order where the names are others."""
    whole = timm.create_model(name)
    own = whole.state_dict()
    if own.keys() != state.keys():
        shapes = [tuple(value.shape) for value in state.values()]
        if shapes != [tuple(value.shape) for value in own.values()]:
            raise UserError(
                f"{path}: not the weights of model.backbone={name} ({len(state)} entries there, "
                f"{len(own)} here, of other names or shapes). Name the backbone they belong to."
            )
        state = dict(zip(own, state.values(), strict=True))
    body: nn.Module = model.visual_encoder.body
    body_names = body.state_dict().keys()
    renamed = {_flat(key): value for key, value in state.items()}
    missing = [key for key in body_names if _flat(key) not in renamed]
    if missing:
        raise UserError(f"{path}: no weights for {missing[:3]} of {name}. Name another file.")
    with torch.no_grad():
        load_weights(body, {key: renamed[_flat(key)] for key in body_names}, Path(str(path)))


def _flat(name: str) -> str:
    """timm's feature extractors write `blocks.0` as `blocks_0`, or not, by model."""
    return name.replace(".", "_")
