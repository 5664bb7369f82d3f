"""A GPU that is not there: tensors with shapes and without values, on a machine without a card.

    simulated_card.start_again()              # once, at the beginning of a script
    with simulated_card.card() as device:     # everything here is a fake tensor
        model = simulated_card.placed(model, device)

Python and torch go the way that they go on a GPU: `x.is_cuda` is true, autocast is CUDA's, `auto`
settings are chosen for a card of so many GiB. Every operator is dispatched, with its shapes, and
none is computed. torch's fake tensors can do this where torch is built with CUDA; the build for
CPUs lacks a few symbols for the backward pass, which a library of twenty lines gives it
(simulated_card.cpp). It must be loaded before torch is: hence the second start.

What differs from a real card: attention that would be one fused operator there is computed in its
plain form (BERT's; a Swin's windows only in float32), and workspaces that kernels take for
themselves are unknown.
"""

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _foreach_utils, cpp_extension

from data_preprocess.base.errors import UserError

SOURCE = Path(__file__).with_suffix(".cpp")
LOADED = "DGHIN_SIMULATED_CARD"
GIB = 2**30


def start_again() -> None:
    """Start this script once more with the library loaded, and end with its status; where nothing
    is missing, return."""
    if torch.backends.cuda.is_built() or os.environ.get(LOADED):
        os.environ.pop("LD_PRELOAD", None)  # not for the processes that this one starts
        return
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        environment = os.environ | {"LD_PRELOAD": str(library), LOADED: "1"}
        done = subprocess.run([sys.executable, *sys.argv], env=environment)
    sys.exit(done.returncode)


def build(folder: Path) -> Path:
    """Compile the library into a folder: a few seconds."""
    library, compiler = folder / "simulated_card.so", os.environ.get("CXX", "g++")
    command = [*shlex.split(compiler), "-std=c++20", "-shared", "-fPIC", str(SOURCE)]
    command += [f"-I{path}" for path in cpp_extension.include_paths()]
    for path in cpp_extension.library_paths():
        command += [f"-L{path}", f"-Wl,-rpath,{path}"]
    command += ["-Wl,--no-as-needed", "-lc10", "-ltorch_cpu", "-o", str(library)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(
            f"no C++ compiler '{compiler}' on this machine, which torch's build for CPUs needs "
            "here. Install one, or name one with CXX=."
        ) from None
    if done.returncode:
        raise UserError(f"{SOURCE.name}: '{compiler}' says: {done.stderr.strip()[-500:]}")
    return library


@contextlib.contextmanager
def card(kind: str = "cuda", memory: int = 80 * GIB) -> Iterator[torch.device]:
    """The simulated card; all tensors that are made meanwhile are fake. kind: "cpu" needs no
    library, and goes the way of a CPU."""
    found = SimpleNamespace(name="simulated card", total_memory=memory)
    usual = _foreach_utils._foreach_supported_types
    many = [*usual, FakeTensor]
    patches = (
        mock.patch("torch.cuda.get_device_properties", lambda device: found),
        mock.patch("torch.cuda.is_bf16_supported", lambda **how: True),
        mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
        # what would be one operator over many tensors is one here, too
        mock.patch.object(_foreach_utils, "_foreach_supported_types", many),
        mock.patch("torch.optim.optimizer._foreach_supported_types", many),
        # transformers leaves out, for fake tensors, questions for which the host waits
        mock.patch("transformers.utils.import_utils.is_fake_tensor", lambda x: False),
        mock.patch.object(FakeTensor, "tolist", as_list),
    )
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        stack.enter_context(FakeTensorMode())
        yield torch.device(kind, 0) if kind == "cuda" else torch.device(kind)


def as_list(tensor: Tensor) -> list[float]:
    """A tensor's numbers, all 0: read together, as on a card, not one by one."""
    first = tensor.reshape(-1)[0].item()
    return [first] * tensor.numel()


def placed(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with fake parameters and buffers on the device, of the same shapes and memory
    layout. It may have been made on torch's `meta` device, which takes no memory."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                fake = nn.Parameter(like(value, device), value.requires_grad)
                part._parameters[name] = fake
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = like(value, device)
    return module


def like(tensor: Tensor, device: torch.device) -> Tensor:
    """A fake tensor of another's shape, memory layout and type."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
