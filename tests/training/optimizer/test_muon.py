"""Muon beside its formula and beside torch's own, which takes matrices only."""

import pytest
import torch

from dghin.training.optimizer.muon import COEFFICIENTS, Muon, orthogonal


def plainly(matrix):
    """The polynomial on the singular values, one matrix, in float64."""
    left, sizes, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    sizes = sizes / sizes.square().sum().sqrt()
    a, b, c = COEFFICIENTS
    for _ in range(5):
        sizes = a * sizes + b * sizes**3 + c * sizes**5
    return left @ torch.diag(sizes) @ right


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12)], ids=["wide", "tall", "square"])
def test_orthogonal_is_the_polynomial_of_the_singular_values(shape):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrices)
    for one, matrix in zip(found, matrices, strict=True):
        torch.testing.assert_close(one.double(), plainly(matrix), atol=1e-4, rtol=1e-4)


def test_singular_values_are_nearly_one():
    matrices = torch.randn(2, 16, 64, generator=torch.Generator().manual_seed(0))
    sizes = torch.linalg.svdvals(orthogonal(matrices))
    assert 0.6 < sizes.min() and sizes.max() < 1.3


def steps(optimizer, weight, count=3):
    random = torch.Generator().manual_seed(1)
    for _ in range(count):
        weight.grad = torch.randn(weight.shape, generator=random)
        optimizer.step()
    return weight.detach()


def test_steps_are_those_of_torch():
    """Torch computes the directions in bfloat16, hence the tolerance: 2 % of a step."""
    start = torch.randn(16, 40, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    settings = {"lr": 0.1, "weight_decay": 0.05}
    other = torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **settings)
    moved, expected = steps(Muon([ours], **settings), ours), steps(other, theirs)
    assert (moved - start).norm() > 1
    assert (moved - expected).norm() < 0.02 * (expected - start).norm()


def test_a_convolution_is_the_matrix_of_its_outputs():
    """Whatever its memory layout is; and weights that are computed together are as alone."""
    start = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    matrix = torch.nn.Parameter(start.flatten(1).clone())
    layouts = [torch.nn.Parameter(start.clone()),
               torch.nn.Parameter(start.clone(memory_format=torch.channels_last))]  # fmt: skip
    together = Muon(layouts, lr=0.1)
    alone = Muon([matrix], lr=0.1)
    random = torch.Generator().manual_seed(1)
    for _ in range(3):
        gradient = torch.randn(8, 27, generator=random)
        matrix.grad = gradient
        for weight in layouts:
            weight.grad = gradient.view(8, 3, 3, 3)
        alone.step()
        together.step()
    for weight in layouts:
        torch.testing.assert_close(weight.detach().flatten(1), matrix.detach())


def test_weights_without_a_gradient_stay():
    weight = torch.nn.Parameter(torch.ones(8, 8))
    optimizer = Muon([weight], lr=0.1)
    optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(8, 8)) and not optimizer.state
