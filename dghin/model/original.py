"""Weights of the original implementation: its names → ours.

dghin convert checkpoint.pth folder   # a .pth of the original → a model
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from data_preprocess.base.errors import UserError

from .weights.files import read_weights

# Entries of the original that hold no learnt value: BERT's pooler is never used, and the index
# buffers are geometry. Dropped by name; anything else that has no place is an error.
DROPPED = re.compile(
    r"text_backbone\.text_encoder\.(pooler\..*|embeddings\.position_ids)"
    r"|backbone\.layers\.\d+\.blocks\.\d+\.attn\.relative_position_index"
)

LANGUAGE = {
    "tokenizer": "bert-base-uncased",
    "parser": "en_core_web_lg",
    "alignment": "paper",
}
_BLOCK = {"conv": "0", "bn": "1", "relu": "2"}  # the original's ConvBNPReLU
_ATTENTION = {
    "visual_att": "query",
    "in_norm1": "query_norm",
    "text_att": "key",
    "text_pivot": "value",
    "weighted_lang": "attended",
    "in_norm2": "attended_norm",
    "visual_pivot": "visual",
    "out": "out",
}
_TEXT_GRAPH = {
    "node": "node",
    "text_gcn.conv1": "convolution",
    "text_gcn.activate1": "activation",
}
_VISUAL_GRAPH = {
    "node": "node",
    "get_adj.W1": "query.weight",
    "get_adj.W2": "key.weight",
    "vis_graph.conv1": "value",
    "vis_graph.activate1": "activation",
}
_TOP = {
    "img_bn": "image_norm",
    "mapping_hT": "context_projection",
    "mapping_word": "embedding.word",
    "pos_encoder.linear1": "embedding.pos.0",
    "pos_encoder.linear2": "embedding.pos.1",
    "word_pos.pw_fuse": "embedding.fuse",
    "text_backbone.text_encoder": "text_encoder",
    "text_backbone.context_extractor.linear": "context.score",
    "text_backbone.context_extractor.linear2": "context.project",
    "seg_out": "head",
    **{f"seg_{i}": f"auxiliary_heads.{i}" for i in range(4)},
}
_BLOCKS = {
    "v_0_conv2": "shallow_level",
    **{f"v_{i}_conv2": f"levels.{i - 1}.patch" for i in (1, 2, 3)},
    **{f"fea_fuse_{i}": f"levels.{i - 1}.merge" for i in (1, 2, 3)},
    **{f"fuse_{i}": f"decoder.merge.{i}" for i in range(3)},
}


def convert_state_dict(original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The original's state dict → one that `DGHIN.load_state_dict(..., strict=True)` takes.

    A `module.` prefix (DDP) is accepted. An unknown entry raises a UserError that names it.
    """
    state = {}
    for name, value in original.items():
        name = name.removeprefix("module.")
        if DROPPED.fullmatch(name):
            continue
        ours = rename(name)
        value = torch.as_tensor(value)
        state[ours] = _reshape(name, ours, value)
    return state


def rename(name: str) -> str:
    """The name here of one entry of the original."""
    if name.startswith("backbone."):
        return "visual_encoder." + rename_swin(name.removeprefix("backbone."))
    for prefix, ours in _BLOCKS.items():
        if rest := _after(name, prefix):
            return f"{ours}.{_rename_block(rest)}"
    if match := re.fullmatch(r"(graph_)?wordvisual(\d)\.(\w+)\.(.+)", name):
        graph, level, part, rest = match.groups()
        if part not in _ATTENTION:
            raise _no_part(name)
        kind = "graph_attention" if graph else "entity_attention"
        return f"levels.{int(level) - 1}.{kind}.{_ATTENTION[part]}.{rest}"
    if match := re.fullmatch(r"(text|vis)_graph_(\d)\.(.+)", name):
        kind, level, rest = match.groups()
        table = _TEXT_GRAPH if kind == "text" else _VISUAL_GRAPH
        graph = "text_graph" if kind == "text" else "visual_graph"
        return f"levels.{int(level) - 1}.{graph}.{_substitute(rest, table, name)}"
    ours = _substitute(name, _TOP, name)
    if match := re.fullmatch(r"(head|auxiliary_heads\.\d)\.([^.]+)\.(.+)", ours):
        head, number, rest = match.groups()
        return f"{head}.{number}.{_rename_block(rest)}"
    return ours


def rename_swin(name: str) -> str:
    """One entry of Swin as Microsoft released it → of our VisualPyramid (timm's names, norms)."""
    if match := re.fullmatch(r"norm(\d)\.(.+)", name):
        return "norms.{}.{}".format(*match.groups())
    if match := re.fullmatch(r"layers\.(\d+)\.downsample\.(.+)", name):
        return f"body.layers_{int(match[1]) + 1}.downsample.{match[2]}"
    return "body." + re.sub(r"^layers\.(\d+)", r"layers_\1", name)


def _after(name: str, prefix: str) -> str | None:
    return name[len(prefix) + 1 :] if name.startswith(prefix + ".") else None


def _rename_block(rest: str) -> str:
    part, _, leaf = rest.partition(".")
    return f"{_BLOCK[part]}.{leaf}" if part in _BLOCK else rest


def _substitute(name: str, table: dict[str, str], whole: str) -> str:
    for prefix, ours in table.items():
        if name == prefix:
            return ours
        if rest := _after(name, prefix):
            return f"{ours}.{rest}"
    raise _no_part(whole)


def _no_part(name: str) -> UserError:
    return UserError(
        f"the entry '{name}' is no part of the original DGHIN. "
        "Give the state dict of the original's model, not of its optimizer or of another network."
    )


def _reshape(name: str, ours: str, value: Tensor) -> Tensor:
    """1×1 convolutions over words are linear layers here; the graph's X·W products are too."""
    if re.search(r"(text_att|text_pivot)\.weight$", name):
        return value.flatten(1)
    if re.search(r"vis_graph\.conv1\.weight$", name):
        return value.t().contiguous()
    return value


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a .pth of the original (nothing is unpickled but tensors)."""
    return read_weights(path, "Give the .pth that the original's train.py wrote.")
