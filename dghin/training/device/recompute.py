"""How the arithmetic of training is done: precision, determinism, compiling, memory for time.

Every mode is one key of `TrainConfig`, and agrees with the plain run: `checkpoint_activations` and
`deterministic` to the last bit on a CPU, the others up to rounding (tests).
"""

import contextlib
import functools
import logging
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from data_preprocess.base.errors import UserError
from dghin.model.dghin import DGHIN
from dghin.model.windows import WindowBlock

log = logging.getLogger(__name__)
aten = torch.ops.aten
PRODUCTS = (  # what costs most to compute again; products within attention over windows are small
    aten.mm.default, aten.addmm.default, aten.convolution.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_cudnn_attention.default,
)  # fmt: skip
BatchNorm = nn.modules.batchnorm._BatchNorm  # the base of all, SyncBatchNorm included


def compiled(network: nn.Module, device: torch.device) -> nn.Module:
    """torch.compile over the whole network; parameters and their names stay as they are."""
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and not shutil.which(compiler):
        raise UserError(
            f"train.compile=true: no C++ compiler '{compiler}' on this machine. Install one, name "
            "one with CXX=, or leave train.compile=false."
        )
    return torch.compile(network)  # type: ignore[return-value]  # a Module, as it was given one


def checkpoint_activations(model: DGHIN) -> None:
    """Keep no activations inside the encoders' blocks, the levels and the decoder.

    The backward pass computes them again (activation checkpointing), with the same random numbers;
    batch norms count a batch once.
    """
    model.run_level = model.run_part = functools.partial(recomputed, ())
    layers: Any = model.text_encoder.encoder
    layers.layer = RecomputedBlocks(layers.layer, ())
    recompute_blocks(model.visual_encoder.body, nn.Module, ())


def recompute_cheap(model: DGHIN) -> None:
    """Inside a Swin's blocks and the levels keep only what their products gave.

    The backward pass computes the rest again: norms, attention over windows, what is done element
    by element. That is few operations and most of the memory.
    """
    model.run_level = functools.partial(recomputed, PRODUCTS)
    recompute_blocks(model.visual_encoder.body, WindowBlock, PRODUCTS)


def recompute_blocks(body: nn.Module, kind: type[nn.Module], kept: Sequence[Any]) -> None:
    """Put RecomputedBlocks in the place of every list `blocks` of a timm model, if of this kind."""
    for part in list(body.modules()):
        blocks = getattr(part, "blocks", None)
        if isinstance(blocks, nn.Sequential | nn.ModuleList):
            if any(isinstance(block, kind) for block in blocks):
                part.blocks = RecomputedBlocks(blocks, kept)


class RecomputedBlocks(nn.Sequential):
    """Blocks that run one after the other, each `recomputed`.

    It stands in the place of the list that held them, so that all weights keep their names. Who
    iterates over it to call the blocks gets them `recomputed`, too.
    """

    def __init__(self, blocks: nn.Sequential | nn.ModuleList, kept: Sequence[Any]):
        super().__init__(OrderedDict(blocks.named_children()))
        self.kept = kept

    def __iter__(self) -> Iterator[Callable]:  # type: ignore[override]
        return (functools.partial(recomputed, self.kept, block) for block in super().__iter__())


def recomputed(kept: Sequence[Any], part: Callable, *inputs: Any, **named: Any) -> Any:
    """part(*inputs, **named) under activation checkpointing.

    part: a module, or a method of one. kept: operators whose results are kept all the same
    (selective checkpointing).
    """
    if not torch.is_grad_enabled():
        return part(*inputs, **named)
    module: Any = getattr(part, "__self__", part)
    contexts = functools.partial(_contexts, module, kept)
    return checkpoint(part, *inputs, use_reentrant=False, context_fn=contexts, **named)


def _contexts(
    module: nn.Module, kept: Sequence[Any]
) -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    """Contexts of the first pass and of the second."""
    first = second = contextlib.nullcontext()
    if kept:
        first, second = create_selective_checkpoint_contexts(list(kept))
    return first, _again(module, second)


@contextlib.contextmanager
def _again(module: nn.Module, reading: contextlib.AbstractContextManager) -> Iterator[None]:
    with without_statistics(module), reading:
        yield


@contextlib.contextmanager
def without_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norms use the batch's statistics, as in training, but take no note of them.

    They still read and write their buffers: the second pass must keep as many tensors for the
    backward pass as the first.
    """
    norms: list[Any] = [
        part for part in module.modules() if isinstance(part, BatchNorm) and part.training
    ]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
