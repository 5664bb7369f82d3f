"""The training loss: class-weighted cross entropy on the mask and on four coarser masks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dghin.model.dghin import Output

CLASS_WEIGHTS = (0.9, 1.1)  # background, referent
AUXILIARY_WEIGHT = 0.5


def segmentation_loss(
    out: Output, mask: Tensor, class_weights: Sequence[float] = CLASS_WEIGHTS
) -> dict[str, Tensor]:
    """mask (E, S, S) in {0, 1} → seg, scale0..scale3 (weighted) and their sum, total.

    class_weights: of a background pixel and of a referent's.
    The coarser targets are the mask resized by nearest neighbour to S/4, S/8, S/16, S/32.
    """
    losses = {"seg": _cross_entropy(out.mask, mask, class_weights)}
    for i, logits in enumerate(out.scales):
        coarse = F.interpolate(mask[:, None].float(), logits.shape[-2:], mode="nearest")[:, 0]
        losses[f"scale{i}"] = AUXILIARY_WEIGHT * _cross_entropy(logits, coarse, class_weights)
    losses["total"] = torch.stack(list(losses.values())).sum()
    return losses


def _cross_entropy(logits: Tensor, mask: Tensor, class_weights: Sequence[float]) -> Tensor:
    """`F.cross_entropy` of two classes, written out: torch's has no deterministic CUDA kernel.

    The class weights are plain numbers: a tensor of them would be copied to the device at every
    step, for which the host waits.
    """
    referent = mask.bool()
    background, foreground = F.log_softmax(logits.float(), dim=1).unbind(1)
    weight = torch.where(referent, class_weights[1], class_weights[0])  # float32
    return -(weight * torch.where(referent, foreground, background)).sum() / weight.sum()
