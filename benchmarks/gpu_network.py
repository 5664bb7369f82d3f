"""Experiments 1 to 7 of a GPU session: steps of the network, and two of its layers."""

import functools
import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from gpu_sizes import NEEDS_GPU, Line, Lines, Session
from gpu_steps import FAST, GB, PLAIN, SCHEDULE_IMAGES, Step, settle
from gpu_trace import traced
from harness import peak_memory, seconds_of
from lines_graphs import without_matrix
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dghin.data.loading import Batch
from dghin.model.graphs import VisualGraph, mix_plainly
from dghin.model.layers import map_of
from dghin.model.levels import Merge
from dghin.run.precision import autocast

Options = Mapping[str, Any]
FUSED = (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)
TRACED = 3  # steps


def one_step(session: Session) -> Lines:
    """1: a step at the small batch: the original's formulation, and ours in both precisions."""
    batch = session.batches[0]
    yield step_line(session, "original's formulation, float32", batch, None)
    for name, options in (("ours, float32", PLAIN), ("ours, bfloat16, channels-last", FAST)):
        yield step_line(session, name, batch, options)
        settle(session.device)
        torch.manual_seed(0)  # of dropout
        step = session.bench.ours(batch, options)([session.bench.batch(batch)])
        yield Line(
            f"{name}: its first step",
            {"loss": float(step.losses["total"]), "gradient norm": float(step.gradient_norm),
             "taken": not step.skipped},
        )  # fmt: skip


def recompute(session: Session) -> Lines:
    """2: activations computed twice instead of kept, and kept."""
    for batch in session.pair:
        for on in (True, False):
            yield step_line(session, f"recompute={on}", batch, FAST | {"recompute": on})


def waiting(session: Session) -> Lines:
    """3: when the card is idle, by the profiler, and where the host waits for it."""
    for batch in session.pair:
        for on in (True, False):
            settle(session.device)
            options, batches = FAST | {"recompute": on}, [session.bench.batch(batch)]
            step = session.bench.ours(batch, options)
            for _ in range(session.bench.warm):
                step(batches)
            yield Line(f"recompute={on}, batch {batch}", traced_step(session, step, batches))


def traced_step(session: Session, step: Step, batches: list[Batch]) -> dict[str, Any]:
    """Figures of one step. The profiler makes the host slower, so that the idle share is of steps
    that it does not see: what the card's work leaves of their time."""
    plain = statistics.median(seconds_of(lambda: step(batches)) for _ in range(session.bench.steps))
    count = min(TRACED, session.bench.steps)
    trace = traced(lambda: [step(batches) for _ in range(count)])
    figures: dict[str, Any] = {"ms a step": 1000 * plain}
    if not session.on_gpu:
        return figures | {"the card's share": NEEDS_GPU}
    busy = trace.busy / count
    return figures | {
        "busy ms": busy,
        "idle": max(0.0, 1 - busy / (1000 * plain)),
        "idle under the profiler": trace.idle,
        "kernels": trace.kernels / count,
        "waits": sum(trace.waits.values()) / count,
        "at": "; ".join(f"{place} x{n}" for place, n in places_of_waits(step, batches).items()),
    }


def places_of_waits(step: Step, batches: list[Batch]) -> dict[str, int]:
    """Where in Python one step waits for the card, by torch's own warnings: {file:line: times}."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            step(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [one for one in found if "synchroniz" in str(one.message)]
    return dict(Counter(f"{Path(one.filename).name}:{one.lineno}" for one in waits))


def visual_graph(session: Session) -> Lines:
    """4: three ways to mix the nodes at stride 8, in bfloat16, and the layer without mixing."""
    config = session.bench.config.model
    side, width = config.image_size // 8, config.width
    torch.manual_seed(0)
    graph = VisualGraph(width).to(session.device)
    forms = {
        "fused": functools.partial(mixed_by, graph, functools.partial(attention, FUSED)),
        "plain bfloat16": functools.partial(mixed_by, graph, mix_plainly),
        "math": functools.partial(mixed_by, graph, functools.partial(attention, SDPBackend.MATH)),
        "without mixing": functools.partial(without_matrix, graph),
    }
    for batch in session.pair:
        visual = random_map(session, batch, width, side)
        what = f"{side * side} nodes, batch {batch}"
        yield from compare_forms(session, what, forms, [visual], graph)


def mixed_by(graph: VisualGraph, mix: Callable[[Tensor, Tensor], Tensor], visual: Tensor) -> Tensor:
    """The layer with another way to mix its nodes: visual (B, D, h, w) → (B, D, h, w)."""
    nodes = graph.nodes(visual)
    mixed = mix(graph.asking(nodes), nodes)
    mixed = map_of(graph.activation(graph.value(mixed)), visual)
    return F.normalize(mixed, dim=1) + visual


def attention(kernels: Any, query: Tensor, nodes: Tensor) -> Tensor:
    """torch's attention by these kernels only: two tensors (B, N, D) → (B, N, D)."""
    query, nodes = query.unsqueeze(1), nodes.unsqueeze(1)
    with sdpa_kernel(list(kernels) if isinstance(kernels, tuple) else kernels):
        return F.scaled_dot_product_attention(query, nodes, nodes, scale=1.0).squeeze(1)


def compiled(session: Session) -> Lines:
    """5: the network compiled with static shapes, at the small batch."""
    batch = session.batches[0]
    yield step_line(session, "not compiled", batch, FAST)
    yield compiled_line(session, batch)


def together(session: Session) -> Lines:
    """6: bfloat16, channels-last, nothing recomputed, compiled, at the large batches."""
    for batch in session.large:
        yield step_line(session, "not compiled", batch, FAST)
    for batch in session.large:
        yield compiled_line(session, batch)


def compiled_line(session: Session, batch: int) -> Line:
    """A compiled step, with the number of graphs and of breaks between them."""
    from torch._dynamo.utils import counters

    compiler = session.bench.compiler
    if compiler == "none":
        return Line(f"compiled, batch {batch}", {"not done": "compiler=none"})
    counters.clear()
    line = step_line(session, f"compiled ({compiler})", batch, FAST | {"compile": True})
    graphs, breaks = counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())
    return Line(line.what, line.figures | {"graphs": graphs, "breaks": breaks})


def last_merge(session: Session) -> Lines:
    """7: the decoder's last merge by nine products, and by interpolation and convolution."""
    config = session.bench.config.model
    width, coarse, fine = config.width, config.image_size // 8, config.image_size // 4
    torch.manual_seed(0)
    merge = Merge(width, (coarse, fine)).to(session.device, memory_format=torch.channels_last)
    forms = {
        "interpolate and convolve": functools.partial(plain_merge, merge),
        "nine products": merge,
    }
    for batch in session.pair:
        maps = [random_map(session, batch, width, side) for side in (coarse, fine)]
        what = f"{coarse} to {fine}, batch {batch}"
        yield from compare_forms(session, what, forms, maps, merge)


def plain_merge(merge: Merge, coarse: Tensor, fine: Tensor) -> Tensor:
    """The formula: coarse (E, D, h, w), fine (E, D, H, W) → (E, D, H, W)."""
    x = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
    return nn.Sequential.forward(merge, torch.cat([x, fine], dim=1))


def step_line(session: Session, way: str, batch: int, options: Options | None) -> Line:
    """A measured step. options: of TrainConfig; None: the original's formulation."""
    bench, what = session.bench, f"{way}, batch {batch}"
    make = bench.original if options is None else lambda: bench.ours(batch, options)
    found = bench.measure(make, batch)
    if not found["fits"]:
        return Line(what, {"fits": False})
    speed = found["images a second"]
    figures = {"images/s": speed, "ms a step": found["ms a step"]}
    if session.on_gpu:
        figures |= {
            "peak GB": found["peak memory"] / GB,
            "peak GB of the first steps": found["peak of the first steps"] / GB,
            "GB held before": found["held before"] / GB,
        }
    figures |= {"first step s": found["first step s"]}
    figures |= bench.utilisations(speed, options)
    return Line(what, figures | {"hours of the paper's schedule": SCHEDULE_IMAGES / speed / 3600})


def compare_forms(
    session: Session,
    what: str,
    forms: Mapping[str, Callable[..., Tensor]],
    inputs: Sequence[Tensor],
    layer: nn.Module,
) -> Lines:
    """Forward and backward of several forms of a layer, in bfloat16: time, memory, and how far
    each is from the first."""
    first = None
    for name, forward in forms.items():
        settle(session.device)
        call, out = passes(session, forward, inputs, layer)
        first = out if first is None else first
        for _ in range(session.bench.warm):
            call()
        passed = statistics.median(seconds_of(call) for _ in range(session.bench.steps))
        held: Any = NEEDS_GPU
        if session.on_gpu:
            held = peak_memory(call, session.device) / len(out) / 10**6
        figures = {"ms": 1000 * passed, "MB an image": held}
        far = {"largest difference from the first": (out - first).abs().max().item()}
        yield Line(f"{name}, {what}", figures | far)


def passes(
    session: Session, forward: Callable[..., Tensor], inputs: Sequence[Tensor], layer: nn.Module
) -> tuple[Callable[[], None], Tensor]:
    """A call that goes through a form of a layer, there and back; and what it gives, float32."""

    def there() -> Tensor:
        with autocast("bfloat16", session.device):
            return forward(*inputs)

    out = there().detach()
    upstream = torch.randn_like(out)

    def call() -> None:
        there().backward(upstream)
        layer.zero_grad(set_to_none=True)
        for one in inputs:
            one.grad = None

    return call, out.float()


def random_map(session: Session, batch: int, width: int, side: int) -> Tensor:
    """(B, D, side, side), of length 1 along D, in channels-last memory; it wants a gradient."""
    found = F.normalize(torch.randn(batch, width, side, side, device=session.device), dim=1)
    return found.to(memory_format=torch.channels_last).requires_grad_()
