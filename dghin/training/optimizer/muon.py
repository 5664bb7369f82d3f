"""Muon: a matrix of weights moves by its gradient's directions, all of the same size.

After Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon), with the size of the step as
in Liu et al. 2025 (https://arxiv.org/abs/2502.16982): that of AdamW, so that rates are the same.

torch.optim.Muon takes no weights of convolutions, and computes in bfloat16: over the demo's 78
matrices 2.5 times as slow as here on an Intel Xeon with AVX-512 and bf16, and 14 times with AVX2
alone (benchmarks/muon.py, beside trainings).
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the polynomial that pushes all sizes towards 1
ROUNDS = 5
SIZE = 0.2  # of a step, as root mean square: AdamW's


class Muon(torch.optim.Optimizer):
    """With g the gradient, m ← 0.95 m + 0.05 g and u = 0.05 g + 0.95 m, matrices (outputs, rest):

        w = (1 - rate · decay) w - rate · 0.2 √max(rows, columns) · orthogonal(u)

    params: weights of at least two dimensions, or groups of them.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict],
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
    ):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; weights of the same shape are computed together."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes.setdefault(tuple(weight.shape), []).append(weight)
            for weights in shapes.values():
                self._move(weights, group)
        return loss

    def _move(self, weights: list[Tensor], group: dict) -> None:
        updates = []
        for weight in weights:
            state, gradient = self.state[weight], weight.grad
            assert gradient is not None
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
            updates.append(gradient.lerp(momentum, group["momentum"]).flatten(1))
        found = orthogonal(torch.stack(updates))
        size = group["lr"] * SIZE * max(found.shape[1:]) ** 0.5
        for weight, update in zip(weights, found, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(update.view(weight.shape), alpha=-size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (n, rows, columns), each with singular values of 0.7 to 1.2 in place of its own, but
    for those that are nearly 0; by five rounds of a polynomial (Newton and Schulz), in float32.

    A round is x ← (a + b S + c S²) x with S = x xᵀ. All factors are polynomials of the first S, the
    product of the shorter sides: they are multiplied among themselves, and with x at the end.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.float().mT if is_tall else matrices.float()
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    square = x @ x.mT  # (n, rows, rows)
    one = torch.eye(square.shape[1], device=x.device)
    factor = one.expand_as(square)
    for _ in range(ROUNDS):
        own = torch.baddbmm(a * one + b * square, square, square, alpha=c)
        factor = own @ factor
        square = own @ square @ own
    x = factor @ x
    return x.mT if is_tall else x
