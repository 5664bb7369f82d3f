"""Which parameters learn, by which rule, and at which share of the learning rate."""

from typing import Any

import torch
from torch import Tensor

from dghin.model.dghin import DGHIN
from dghin.run.config import TrainConfig

from .muon import Muon

NARROWEST = 8  # rows and columns of a matrix that Muon moves; narrower ones are AdamW's


class Together:
    """Several optimizers as one."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all."""
        return [group for one in self.optimizers for group in one.param_groups]

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """What is kept of every parameter. Each optimizer's own state makes an entry of whatever
        it is asked for, so they are not asked one after the other."""
        return {weight: kept for one in self.optimizers for weight, kept in one.state.items()}

    def step(self) -> None:
        """One step of each."""
        for one in self.optimizers:
            one.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for one in self.optimizers:
            one.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The states of all, in their order."""
        return {"optimizers": [one.state_dict() for one in self.optimizers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave. ValueError for that of other optimizers."""
        states = state.get("optimizers", [])
        if len(states) != len(self.optimizers):
            raise ValueError("a state of another optimizer")
        for one, own in zip(self.optimizers, states, strict=True):
            one.load_state_dict(own)


def make_optimizer(model: DGHIN, settings: TrainConfig) -> torch.optim.Optimizer | Together:
    """AdamW over backbone, text encoder and the rest, each with its scale of the learning rate.

    A part whose scale is 0 is frozen: no gradients, no group. With `train.optimizer=muon` Muon
    moves what is a matrix or a convolution, and AdamW what is left: norms, biases, slopes, and the
    sentence's vector, one square matrix of the text encoder's width that takes as long as all else.
    """
    by_adamw = {id(p) for p in model.context.parameters()}
    backbone = list(model.visual_encoder.parameters())
    text = list(model.text_encoder.parameters())
    known = {id(p) for p in backbone + text}
    rest = [p for p in model.parameters() if id(p) not in known]
    scales = (settings.backbone_learning_rate_scale, settings.text_learning_rate_scale, 1.0)
    groups: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for parameters, scale in zip((backbone, text, rest), scales, strict=True):
        if not scale:
            for parameter in parameters:
                parameter.requires_grad_(False)
            continue
        for by_muon in (False, True):
            own = [
                p
                for p in parameters
                if (id(p) not in by_adamw and _is_muons(p, settings)) == by_muon
            ]
            if own:
                groups[by_muon].append({"params": own, "scale": scale, "lr": 0.0})
    decay = settings.weight_decay
    optimizer = torch.optim.AdamW(groups[False], weight_decay=decay, fused=True)
    if not groups[True]:
        return optimizer
    return Together(optimizer, Muon(groups[True], weight_decay=decay))


def _is_muons(weight: Tensor, settings: TrainConfig) -> bool:
    wide = weight.dim() >= 2 and min(weight.flatten(1).shape) >= NARROWEST
    return settings.optimizer == "muon" and wide


def lay_out_as_weights(optimizer: torch.optim.Optimizer | Together) -> None:
    """Give every moment the memory layout of its weight.

    A checkpoint may be of the other one (train.channels_last). The fused AdamW goes through
    weights and moments in the order of memory, and would pair each weight with another's moments.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                if value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
