"""What a profiler's trace says of the card: how long it worked, what it was given, who waited.

trace = traced(lambda: [step(batches) for _ in range(3)])
trace.busy, trace.idle, trace.kernels, trace.waits
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from harness import synchronize
from torch.profiler import record_function

STEPS = "measured steps"  # the range of the trace that counts
ON_CARD = ("kernel", "gpu_memcpy", "gpu_memset")
RUNTIME = ("cuda_runtime", "cuda_driver")
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


class Trace(NamedTuple):
    """Of the traced steps together."""

    busy: float  # milliseconds in which the card did something
    span: float  # milliseconds from its first work to the end of its last
    kernels: int
    waits: Mapping[str, int]  # calls in which the host waited for the card

    @property
    def idle(self) -> float:
        """The share of the span in which the card did nothing."""
        return 1 - self.busy / self.span if self.span else 0.0


def traced(steps: Callable[[], Any]) -> Trace:
    """Run steps under torch's profiler. The wait at their end, which is ours, is not counted."""
    synchronize()
    with torch.profiler.profile() as found:
        with record_function(STEPS):
            steps()
        synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        found.export_chrome_trace(str(path))
        return read_trace(json.loads(path.read_bytes())["traceEvents"])


def read_trace(events: Iterable[Mapping[str, Any]]) -> Trace:
    """events: of a trace in Chrome's form, times in microseconds. The card may go on with the
    steps' work after the host has left them."""
    whole = [event for event in events if event.get("ph") == "X"]
    (begin, end), *_ = (
        _times(e) for e in whole if e["name"] == STEPS and e.get("cat") == "user_annotation"
    )
    done = [event for event in whole if event.get("cat") in ON_CARD and event["ts"] >= begin]
    waits = Counter(
        event["name"]
        for event in whole
        if event.get("cat") in RUNTIME and event["name"] in WAITS and begin <= event["ts"] < end
    )
    times = sorted(_times(event) for event in done)
    span = max(last for _, last in times) - times[0][0] if times else 0.0
    kernels = sum(event["cat"] == "kernel" for event in done)
    return Trace(covered(times) / 1000, span / 1000, kernels, waits)


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals (begin, end), sorted by their begin."""
    total, reached = 0.0, float("-inf")
    for begin, end in intervals:
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _times(event: Mapping[str, Any]) -> tuple[float, float]:
    begin = float(event["ts"])
    return begin, begin + float(event.get("dur", 0))
