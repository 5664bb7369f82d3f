"""What benchmarks share: taking turns, peak memory, one table, and results as JSON.

A result is a ratio of two ways of doing the same, measured side by side: they take turns, so that a
machine that slows down does so for both. Every figure is a median over the turns after a warm-up.
"""

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from data_preprocess.base.files import write_json
from dghin.run.environment import ROOT, git_state, hardware, versions

MIB = 2**20


@dataclass(frozen=True)
class Result:
    """One line of the table. ratio: how many times better ours is, or what share of memory or time
    it takes; `better` says which of both."""

    what: str
    unit: str  # of baseline and ours
    baseline: list[float]  # one figure a turn
    ours: list[float]
    better: str  # "more": ratio is baseline over ours; "less": ours over baseline
    target: float
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Of every turn."""
        pairs = zip(self.baseline, self.ours, strict=True)
        return [b / o if self.better == "more" else o / b for b, o in pairs]

    @property
    def ratio(self) -> float:
        """Of the medians."""
        baseline, ours = statistics.median(self.baseline), statistics.median(self.ours)
        return baseline / ours if self.better == "more" else ours / baseline

    @property
    def reached(self) -> bool:
        return self.ratio >= self.target if self.better == "more" else self.ratio <= self.target


def take_turns(
    baseline: Callable[[], Any], ours: Callable[[], Any], turns: int, warm: int = 1
) -> tuple[list[float], list[float]]:
    """Seconds of each call: the two in turns, after `warm` calls of both that do not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(warm + turns):
        for call, kept in zip((baseline, ours), seconds, strict=True):
            passed = seconds_of(call)
            if turn >= warm:
                kept.append(passed)
    return seconds


def seconds_of(call: Callable[[], Any]) -> float:
    """How long one call takes, until everything that it started on a GPU has ended."""
    synchronize()
    started = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - started


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory(call: Callable[[], Any], device: torch.device = torch.device("cpu")) -> int:
    """Bytes of a device's tensors that a call holds at its peak, beyond those there before it.

    On a CPU every allocation of torch is added up by its profiler; on a GPU torch keeps count.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True) as profile:
        call()
    events = profile.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def table(results: Sequence[Result]) -> pd.DataFrame:
    """What, baseline, ours, ratio, spread (smallest and largest ratio of a turn), target."""
    lines = []
    for one in results:
        sign = "≥" if one.better == "more" else "≤"
        spread = f"{min(one.ratios):.2f}–{max(one.ratios):.2f}"
        figures = (f"{figure(statistics.median(x))} {one.unit}" for x in (one.baseline, one.ours))
        target = f"{sign} {one.target:g}"
        met = "yes" if one.reached else "no"
        lines.append((one.what, *figures, f"{one.ratio:.2f}", spread, target, met, one.note))
    names = ["What", "Baseline", "Ours", "Ratio", "Spread", "Target", "Reached", "Note"]
    return pd.DataFrame(lines, columns=names)


def figure(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """Hardware, versions, threads and commit: what figures of time depend on."""
    return {
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "bfloat16 instructions": has_bfloat16(),
        "python": platform.python_version(),
        "versions": versions(),
        "code": git_state(ROOT),
    }


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, as far as Linux says."""
    try:
        return "bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def write_results(results: Sequence[Result], settings: Mapping[str, Any], path: Path) -> None:
    """All figures of all turns with the machine's description, as JSON."""
    lines = [
        asdict(one) | {"ratio": one.ratio, "ratios": one.ratios, "reached": one.reached}
        for one in results
    ]
    write_json(path, {"machine": machine(), "settings": dict(settings), "results": lines})
