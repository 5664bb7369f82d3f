"""Batch norm over the expressions of all processes (SyncBN), by one exchange each way.

    model = use_joint_norms(model)        # every batch norm of it, in place

torch's own waits three times for the card in every norm and breaks a compiled graph in each. Here
all processes hold equal, non-empty pieces (the recipe sees to that), so that the joint mean is the
mean of means, and the joint variance the mean of variances and of the means' own: no digits are
lost far from zero, as they are in sums of squares. Each process sends [mean, variance]; backward,
it sends two sums. Equal to nn.BatchNorm on the joined batch.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed import _functional_collectives as collectives

from dghin.run.timm_import import timm

BatchNorm = nn.modules.batchnorm._BatchNorm  # the base of all


class JointNorm(BatchNorm):
    """A batch norm over all processes; it takes over the parts of another, under their names."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float
    drop: Any
    act: Any

    def __init__(self, norm: BatchNorm):
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(self, name, getattr(norm, name))
        self.training = norm.training
        is_timms = isinstance(norm, timm.layers.BatchNormAct2d)  # with its activation inside
        self.drop, self.act = (norm.drop, norm.act) if is_timms else (None, None)

    def _check_input_dim(self, x: Tensor) -> None:
        """Any shape (N, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) → the same shape."""
        if self.training and dist.is_initialized():
            x = self.over_all(x)
        else:
            x = super().forward(x)
        return x if self.act is None else self.act(self.drop(x))

    def over_all(self, x: Tensor) -> Tensor:
        """In training: the statistics of all processes' pieces, which the running ones follow."""
        count = x.numel() // x.shape[1] * dist.get_world_size()
        out, mean, variance = _Joint.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            share = variance * (count / max(count - 1, 1))  # unbiased, as nn.BatchNorm's
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(share.to(self.running_var.dtype), self.momentum)
        return out


class _Joint(torch.autograd.Function):
    """x (N, C, ...), weight and bias (C,): the normalised x, and the joint mean and variance (C,),
    which get no gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        exact = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(exact, dim=_others(x), correction=0)
        means, variances = _of_all(torch.stack([mean, variance])).unbind(1)  # (processes, C)
        mean = means.mean(dim=0)
        variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        inverse = (variance + eps).rsqrt()
        scale = weight * inverse
        out = exact * _wide(scale, x) + _wide(bias - mean * scale, x)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.mark_non_differentiable(mean, variance)
        return out.to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        exact = gradient if gradient.dtype == torch.float64 else gradient.float()
        normal = (x.to(exact.dtype) - _wide(mean, x)) * _wide(inverse, x)
        count = x.numel() // x.shape[1]
        own = torch.stack([exact.sum(_others(x)), (exact * normal).sum(_others(x))])
        constant, along = _sum_over_all(own) / (count * dist.get_world_size())
        back = exact - _wide(constant, x) - normal * _wide(along, x)
        back = back * _wide(weight * inverse, x)
        # of weight and bias: this process's share, as of all parameters (the wrapper adds them up)
        return back.to(x.dtype), own[1].to(weight.dtype), own[0].to(weight.dtype), None


def use_joint_norms(model: nn.Module) -> nn.Module:
    """Put a JointNorm in the place of every batch norm, in place; → the model. Instance norms are
    no batch norms."""
    for name, part in list(model.named_children()):
        if isinstance(part, BatchNorm):
            setattr(model, name, JointNorm(part))
        else:
            use_joint_norms(part)
    return model


def _of_all(values: Tensor) -> Tensor:
    """(A, C) → (processes, A, C): every process's."""
    before, after = dist.get_rank(), dist.get_world_size() - dist.get_rank() - 1
    return _sum_over_all(F.pad(values[None], (0, 0, 0, 0, before, after)))


def _sum_over_all(values: Tensor) -> Tensor:
    """The sum over all processes; a compiler sees one operator."""
    group: Any = dist.group.WORLD
    total = collectives.all_reduce(values.contiguous(), "sum", group)
    return collectives.wait_tensor(total)


def _others(x: Tensor) -> list[int]:
    """All dimensions but the channels'."""
    return [d for d in range(x.dim()) if d != 1]


def _wide(values: Tensor, x: Tensor) -> Tensor:
    """(C,) → a shape that broadcasts over x (N, C, ...)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))
