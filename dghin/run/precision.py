"""How the arithmetic is done: precision, seeds, determinism, memory that is kept."""

import contextlib
import ctypes
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.backends import cuda, cudnn

TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def supported_precision(asked: str, device: torch.device) -> str:
    """The precision of the forward pass: float16 (with scaled losses) where bfloat16 is missing."""
    if asked == "bfloat16" and device.type == "cuda":
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            return "float16"
    return asked


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The forward pass's context; weights and the optimizer stay float32."""
    enabled = precision in TYPES
    return torch.autocast(device.type, TYPES.get(precision, torch.bfloat16), enabled=enabled)


def seed_everything(seed: int) -> None:
    """Seed every generator of this process: Python's, NumPy's, torch's on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def set_deterministic(on: bool) -> None:
    """Let torch choose deterministic algorithms only, and no autotuning; off: the fastest.

    Attention falls back to its plain form: the backward passes of the fused ones on GPUs add in
    no fixed order. Must be called before the first CUDA call of the process.
    """
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on)
    torch.utils.deterministic.fill_uninitialized_memory = False  # all memory is written before use
    _set_benchmark(not on)
    for enable in (cuda.enable_flash_sdp, cuda.enable_mem_efficient_sdp, cuda.enable_cudnn_sdp):
        enable(not on)


def _set_benchmark(on: bool) -> None:
    cudnn.benchmark = on


# What decides by which algorithm a GPU computes: how it is read, how it is set, and its value in
# scoring, which is torch's own default.
FLAGS: dict[str, tuple[Callable[[], Any], Callable[[Any], None], Any]] = {
    "deterministic": (
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, False,
    ),
    "cudnn_benchmark": (lambda: cudnn.benchmark, _set_benchmark, False),
    "matmul_precision": (
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest",
    ),
    "flash": (cuda.flash_sdp_enabled, cuda.enable_flash_sdp, True),
    "memory_efficient": (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp, True),
    "cudnn_attention": (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp, True),
}  # fmt: skip


def flags() -> dict[str, Any]:
    """The values of FLAGS as they are now."""
    return {name: read() for name, (read, _, _) in FLAGS.items()}


@contextlib.contextmanager
def flags_of_scoring() -> Iterator[None]:
    """A context in which FLAGS have scoring's values, whatever a training has set: a validation
    and a later evaluation choose the same algorithms. Nothing in a forward pass adds in an order
    that changes from run to run, so that a deterministic training stays one."""
    before = flags()
    try:
        _set_flags({name: value for name, (_, _, value) in FLAGS.items()})
        yield
    finally:
        _set_flags(before)


def _set_flags(values: dict[str, Any]) -> None:
    """Set what differs; to set `deterministic` imports the compiler."""
    for name, (read, write, _) in FLAGS.items():
        if read() != values[name]:
            write(values[name])


def keep_freed_memory() -> None:
    """Make glibc keep freed blocks in the process; without glibc, nothing.

    It gives big blocks back to the system after every step, and faults them in again at the next:
    on a CPU that can take three quarters of the time.
    """
    with contextlib.suppress(AttributeError, OSError):  # no glibc: no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 2**31 - 1)  # M_MMAP_THRESHOLD
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-2, 256 << 20)  # M_TOP_PAD
