"""Names of weights compared with a model's, before it takes them: the one way into a model.

    state = without_prefix(state, model.state_dict())     # module.x, 0.auto_model.x, bert.x → x
    load_weights(model, state, path, may_miss=("norms.",), may_be_more=("pooler.",))

Nothing is left random in silence, and nothing of the file is left out but what is named.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from data_preprocess.base.errors import UserError

# what wrappers and trainings write before the names of the network itself
PREFIXES = (
    "module.", "_orig_mod.", "model.", "net.", "network.", "0.auto_model.", "auto_model.",
    "bert.", "text_encoder.", "backbone.", "encoder.", "visual_encoder.", "visual.", "trunk.",
)  # fmt: skip


def without_prefix(
    state: Mapping[str, Tensor],
    own: Collection[str],
    rename: Callable[[str], str] = lambda name: name,
) -> dict[str, Tensor]:
    """The entries under the prefix with which most names are the model's, without it.

    own: the model's names. rename: the model's name of one of the file's, its prefix taken off.
    Entries under other prefixes (a head beside the encoder) are left out.
    """
    own = set(own)
    candidates = {""} | {chain for name in state for chain in _chains(name)}

    def fitting(prefix: str) -> int:
        found = (name[len(prefix) :] for name in state if name.startswith(prefix))
        return sum(rename(name) in own for name in found)

    best = max(sorted(candidates, key=len), key=fitting)  # of several the shortest
    return {name[len(best) :]: value for name, value in state.items() if name.startswith(best)}


def _chains(name: str) -> list[str]:
    """Every row of known prefixes that a name begins with: module., module.bert., ..."""
    chains, start = [], 0
    while found := next((p for p in PREFIXES if name.startswith(p, start)), None):
        start += len(found)
        chains.append(name[:start])
    return chains


def load_weights(
    model: Any,
    state: Mapping[str, Tensor],
    path: Path | str,
    may_miss: Sequence[str] = (),
    may_be_more: Sequence[str] = (),
) -> None:
    """Load a state dict; another model's is refused with the first differences.

    may_miss: beginnings of names that stay as they are where the file has them not. may_be_more:
    beginnings of names that the model has no use for.
    """
    own = model.state_dict()
    state = {k: v for k, v in state.items() if k in own or not k.startswith(tuple(may_be_more))}
    kept = {k: v for k, v in own.items() if k not in state and k.startswith(tuple(may_miss))}
    missing = sorted(own.keys() - state.keys() - kept.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = sorted(
        f"{name}: {tuple(state[name].shape)} there, {tuple(own[name].shape)} here"
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    )
    if missing or unexpected or shapes:
        found = {"missing": missing[:3], "unexpected": unexpected[:3], "other shape": shapes[:3]}
        raise UserError(
            f"{path}: the weights of another model: {len(missing)} missing, {len(unexpected)} "
            f"unexpected, {len(shapes)} of another shape "
            f"({json.dumps({k: v for k, v in found.items() if v})}). Use the model settings "
            "that the weights were trained with."
        )
    model.load_state_dict({**kept, **state})
