"""How the arithmetic is done: precision, seeds, determinism, memory that is kept."""

import contextlib
import ctypes
import os
import random

import numpy as np
import torch

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
    torch.backends.cudnn.benchmark = not on
    for enable in (
        torch.backends.cuda.enable_flash_sdp,
        torch.backends.cuda.enable_mem_efficient_sdp,
        torch.backends.cuda.enable_cudnn_sdp,
    ):
        enable(not on)


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
