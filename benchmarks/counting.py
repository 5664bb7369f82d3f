"""What one step asks of the hardware, by looking at every operator that torch dispatches.

    with Counting() as count:
        stepper.step(batches, 1e-5)
    count.operators, count.bytes, count.flops, count.waits, count.peak

It needs no card and no values: fake tensors will do. An operator is about one kernel on a GPU,
which the host must start; bytes are those of its inputs and outputs, which is what would be read
and written if no cache held any of it.
"""

import traceback
import weakref
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten
ROOT = Path(__file__).parent.parent
BLOCK = 512  # bytes: CUDA's allocator gives whole ones
FREE = {  # they move nothing: views that are not marked as such, and memory that is only given
    aten._unsafe_view.default, aten.empty.memory_format, aten.empty_like.default,
    aten.empty_strided.default, aten.new_empty.default, aten.new_empty_strided.default,
    aten.lift_fresh.default, aten.detach.default, aten.alias.default,
}  # fmt: skip
READS = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default,
    aten._unique2.default, aten.equal.default,
}  # fmt: skip
EDGES = 16  # non-zero elements that a matrix without values is taken to have: 17 words in a tree


class Counting(TorchDispatchMode):
    """Counts all operators that are dispatched while it is on, backward pass included."""

    def __init__(self, held: Sequence[Tensor] = (), kind: str = "cuda"):
        """held: what takes memory on the device before, such as weights and optimizer state.
        kind: of the device whose operators and memory are counted."""
        super().__init__()
        self.kind = kind
        self.calls: Counter[str] = Counter()  # operators, by name
        self.moved: Counter[str] = Counter()  # their bytes
        self.flops = 0
        self.waits: list[str] = []  # for each: the operator, and the line that calls for it
        self.held = self.peak = 0  # bytes on the device
        self._known: set[int] = set()  # storages that are counted in `held`
        for tensor in held:
            self._hold(tensor)

    @property
    def operators(self) -> int:
        """Operators that move or compute something."""
        return sum(self.calls.values())

    @property
    def bytes(self) -> int:
        """Bytes of inputs and outputs of all operators."""
        return sum(self.moved.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:  # torch asks a fake tensor where it is
            return args[0].fake_device
        out = self._without_values(func, args)
        if out is None:
            out = func(*args, **kwargs)
        if waits(func, args, kwargs, out, self.kind):
            self.waits.append(f"{func._overloadpacket.__name__}, {caller()}")
        self._count(func, args, kwargs, out)
        for tensor in tensors(out):
            self._hold(tensor)
        return out

    def _count(self, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        used = [x for x in tensors((args, kwargs, out)) if x.device.type == self.kind]
        if func.is_view or func in FREE or not used:
            return
        name = func._overloadpacket.__name__
        self.calls[name] += 1
        self.moved[name] += sum(map(size_of, used))
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **kwargs, out_val=out)

    def _without_values(self, func: Any, args: tuple) -> Any:
        """The answer of an operator whose shape or value depends on values that are not there;
        None: it does not."""
        if not isinstance(args[0] if args else None, torch._subclasses.FakeTensor):
            return None
        if func is aten._local_scalar_dense.default:
            return (
                0.0 if args[0].device.type == self.kind else 1.0
            )  # no flag is up; steps of AdamW are not none
        if func is aten.nonzero.default:
            return args[0].new_empty((EDGES, args[0].dim()), dtype=torch.long)
        if func is aten.index.Tensor and any(is_mask(index) for index in args[1]):
            places = [x.new_empty(len(x), dtype=torch.long) if is_mask(x) else x for x in args[1]]
            return func(args[0], places)
        return None

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if tensor.device.type != self.kind or key in self._known:
            return
        block = BLOCK if self.kind == "cuda" else 1
        size = -(-storage.nbytes() // block) * block
        self._known.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.held -= size


def tensors(values: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


def size_of(tensor: Tensor) -> int:
    """Bytes of a tensor; of one that is expanded, those that are there."""
    return min(tensor.numel() * tensor.itemsize, tensor.untyped_storage().nbytes())


def is_mask(index: Tensor | None) -> bool:
    """Whether an index chooses by true and false."""
    return index is not None and index.dtype == torch.bool


def waits(func: Any, args: tuple, kwargs: dict[str, Any], out: Any, kind: str) -> bool:
    """Whether the host waits for a GPU here: it reads a value, or a shape that depends on values,
    or copies between both without leave to go on (copies to the device with leave: from pinned
    memory, as the loader gives it)."""
    if func in READS:
        return args[0].device.type == kind
    if func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):
        return args[0].device.type == kind and any(is_mask(index) for index in args[1])
    if func is aten._to_copy.default:
        source, target, leave = args[0], out, kwargs.get("non_blocking")
    elif func is aten.copy_.default:
        target, source = args[:2]
        leave = args[2] if len(args) > 2 else kwargs.get("non_blocking")
    else:
        return False
    kinds = source.device.type, target.device.type
    return kinds[0] != kinds[1] and (kinds[1] == "cpu" or not leave)


def caller() -> str:
    """The innermost line of this project that is being run."""
    here = (
        frame for frame in reversed(traceback.extract_stack())
        if frame.filename.startswith(str(ROOT)) and "site-packages" not in frame.filename
        and Path(frame.filename).name not in (Path(__file__).name, "simulated_card.py")
    )  # fmt: skip
    frame = next(here, None)
    return f"{Path(frame.filename).relative_to(ROOT)}:{frame.lineno}" if frame else "elsewhere"
