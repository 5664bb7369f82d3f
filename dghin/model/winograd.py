"""3×3 convolution on a CPU with 4/9 of the multiplications: Winograd's filtering, F(2×2, 3×3).

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. A window of 4×4 inputs
d, overlapping its neighbours by two, gives 2×2 outputs Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A: 16 products where
the sum over the kernel's places takes 36, and as sums over channels they are 16 matrix products.
cuDNN chooses this by itself; oneDNN, which convolves on CPUs, does not. Rows of windows are worked
off in strips, so that what lies between input and output stays small. In float32 the result is
nearer to the exact one than oneDNN's, whose sums are nine times as long.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

TILES = 512  # windows in a strip, or what one row of them has if that is more


@torch.library.custom_op("dghin::winograd", mutates_args=())
def winograd(x: Tensor, weight: Tensor) -> Tensor:
    """conv2d(x, weight, padding=1): x (B, C, H, W), weight (D, C, 3, 3) → (B, D, H, W), in
    channels-last memory."""
    images, _, height, width = x.shape
    outputs, kernel = weight.shape[0], kernel_of(weight)
    strips = Strips(x, outputs)
    y = x.new_empty(images, 2 * strips.down, 2 * strips.across, outputs)
    for image, first, count in strips:
        windows = strips.windows(x[image], first, count)
        products = strips.products(count)
        torch.bmm(windows, kernel, out=products)
        products = products.view(4, 4, count, strips.across, outputs)
        half = strips.take("half", 2, 4, count, strips.across, outputs)
        sum_windows(products, half)
        pairs = y[image, 2 * first : 2 * (first + count)].unflatten(0, (-1, 2))
        pairs = pairs.unflatten(2, (-1, 2))  # (count, 2, across, 2, D)
        sum_windows(half.movedim(1, 0), pairs.permute(3, 1, 0, 2, 4))
    y = y[:, :height, :width].permute(0, 3, 1, 2)
    return y.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("dghin::winograd_weight", mutates_args=())
def winograd_weight(x: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of `winograd`'s weight: x (B, C, H, W), gradient (B, D, H, W) → (D, C, 3, 3)."""
    outputs = gradient.shape[1]
    strips = Strips(x, outputs)
    kernel = x.new_zeros(16, x.shape[1], outputs)
    for image, first, count in strips:
        windows = strips.windows(x[image], first, count)
        pairs = strips.rows("pairs", gradient[image], 2 * first, 2 * count, 0)
        pairs = pairs.unflatten(0, (-1, 2)).unflatten(2, (-1, 2))  # (count, 2, across, 2, D)
        products = strips.products(count)
        half = strips.take("half", 2, 4, count, strips.across, outputs)
        spread_pairs(pairs.permute(1, 3, 0, 2, 4), half.movedim(1, 0))
        spread_pairs(half, products.view(4, 4, count, strips.across, outputs).movedim(1, 0))
        kernel.baddbmm_(windows.transpose(1, 2), products)
    places = places_of(kernel)
    return torch.einsum("ia,jb,ijck->kcab", places, places, kernel.unflatten(0, (4, 4)))


class Strips:
    """The strips of a batch's windows, and the memory that they share.

    Iterating gives (image, first row of windows, number of rows).
    """

    def __init__(self, x: Tensor, outputs: int):
        self.images, self.inputs, height, width = x.shape
        self.down, self.across, self.outputs = (height + 1) // 2, (width + 1) // 2, outputs
        self.count = min(self.down, max(1, TILES // self.across))
        self.like, self.memory = x, dict[str, Tensor]()

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for image in range(self.images):
            for first in range(0, self.down, self.count):
                yield image, first, min(self.count, self.down - first)

    def take(self, name: str, *shape: int) -> Tensor:
        """Memory of this shape: the same for all strips, the first of which is the largest."""
        size = torch.Size(shape).numel()
        if name not in self.memory:
            self.memory[name] = self.like.new_empty(size)
        return self.memory[name][:size].view(shape)

    def rows(self, name: str, x: Tensor, first: int, count: int, border: int) -> Tensor:
        """Rows of a map (C, H, W), with zeros where they leave it and at both sides:
        (count, 2·across + 2·border, C)."""
        channels, height, width = x.shape
        strip = self.take(name, count, 2 * self.across + 2 * border, channels).zero_()
        start, stop = max(first, 0), min(first + count, height)
        inside = strip[start - first : stop - first, border : border + width]
        inside.copy_(x[:, start:stop].permute(1, 2, 0))
        return strip

    def windows(self, x: Tensor, first: int, count: int) -> Tensor:
        """Bᵀ d B of a strip's windows of a map (C, H, W): (16, count·across, C)."""
        rows = self.rows("rows", x, 2 * first - 1, 2 * count + 2, 1)
        half = self.take("half windows", 4, count, rows.shape[1], self.inputs)
        windows = self.take("windows", 4, 4, count, self.across, self.inputs)
        difference_windows(rows, 0, half)
        difference_windows(half, 2, windows.movedim(1, 0))
        return windows.view(16, -1, self.inputs)

    def products(self, count: int) -> Tensor:
        """Memory of the 16 products of a strip: (16, count·across, D)."""
        return self.take("products", 16, count * self.across, self.outputs)


def difference_windows(x: Tensor, axis: int, out: Tensor) -> None:
    """Bᵀ along an axis of 2·n + 2 places: windows of four, two apart → out (4, ..., n, ...)."""
    pairs = x.unflatten(axis, (-1, 2))
    even, odd = pairs.select(axis + 1, 0), pairs.select(axis + 1, 1)
    count = even.shape[axis] - 1
    zeroth, second = even.narrow(axis, 0, count), even.narrow(axis, 1, count)
    first, third = odd.narrow(axis, 0, count), odd.narrow(axis, 1, count)
    torch.sub(zeroth, second, out=out[0])
    torch.add(first, second, out=out[1])
    torch.sub(second, first, out=out[2])
    torch.sub(first, third, out=out[3])


def sum_windows(x: Tensor, out: Tensor) -> None:
    """Aᵀ along the first axis: x (4, ...) → out (2, ...)."""
    torch.add(x[1], x[2], out=out[0]).add_(x[0])
    torch.sub(x[1], x[2], out=out[1]).sub_(x[3])


def spread_pairs(x: Tensor, out: Tensor) -> None:
    """A along the first axis: x (2, ...) → out (4, ...)."""
    out[0].copy_(x[0])
    torch.add(x[0], x[1], out=out[1])
    torch.sub(x[0], x[1], out=out[2])
    torch.neg(x[1], out=out[3])


def places_of(like: Tensor) -> Tensor:
    """G: (4, 3)."""
    rows = [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
    return torch.tensor(rows, dtype=like.dtype, device=like.device)


def kernel_of(weight: Tensor) -> Tensor:
    """G g Gᵀ: (D, C, 3, 3) → (16, C, D)."""
    places = places_of(weight)
    return torch.einsum("ia,jb,kcab->ijck", places, places, weight).flatten(0, 1).contiguous()


@winograd.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    y = x.new_empty(x.shape[0], weight.shape[0], *x.shape[2:])
    return y.contiguous(memory_format=torch.channels_last)


@winograd_weight.register_fake
def _(x: Tensor, gradient: Tensor) -> Tensor:
    return x.new_empty(gradient.shape[1], x.shape[1], 3, 3)


def _save(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    of_x = of_weight = None
    if ctx.needs_input_grad[0]:
        of_x = winograd(gradient, weight.flip(2, 3).transpose(0, 1))
    if ctx.needs_input_grad[1]:
        of_weight = winograd_weight(x, gradient)
    return of_x, of_weight


winograd.register_autograd(_backward, setup_context=_save)
