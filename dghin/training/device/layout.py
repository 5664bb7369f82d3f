"""The memory layout of the weights: channels last, each with the strides that its gradient has.

The sides of a 1×1 kernel tell nothing of its layout: (D, C, 1, 1) lies in memory the same way with
strides (C, 1, C, C), which torch calls channels last, and with (C, 1, 1, 1). Autograd makes either
of them. Where a gradient's strides are not its weight's, DistributedDataParallel cannot hand out
the gradient as it lies and warns: "Grad strides do not match bucket view strides".
"""

import torch
from torch import nn

from dghin.model.graphs import VisualGraph
from dghin.model.word_attention import WordVisualAttention

BY_ROWS = (VisualGraph, WordVisualAttention)  # their 1×1 convolutions are `layers.pointwise`


def lay_out_channels_last(model: nn.Module) -> None:
    """Put all convolutions' weights into channels-last memory, in place; before a process group or
    an optimizer takes hold of them.

    A 1×1 convolution that is a product of rows (`BY_ROWS`) reads its weight as a matrix, so that
    the gradient has a matrix's strides: (C, 1, 1, 1). So does the weight, then.
    """
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for part in model.modules():
        if isinstance(part, BY_ROWS):
            for inner in part.modules():
                if isinstance(inner, nn.Conv2d) and inner.kernel_size == (1, 1):
                    weight = inner.weight
                    weight.data = weight.data.flatten(1)[:, :, None, None]
