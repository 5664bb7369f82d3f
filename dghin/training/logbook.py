"""What a training run writes down: log.jsonl, TensorBoard, and lines on the screen.

Every line of log.jsonl is one JSON object with its `kind`:

start    iteration, iterations, world (processes), parameters (of the network), time (UTC)
train    iteration, loss and its parts, gradient_norm (means since the line before), lr,
         expressions_per_second, elapsed (seconds of training, earlier lives of the run included)
val      iteration, protocol, oiou, miou, pr50 ... (fractions), count (expressions); where some
         have no target, also giou, ciou, n_acc, t_acc, empty (how many) and score, which picks
         the weights; graph_rows_1 ... graph_all_3: on how many patches the visual graphs rest
         (`graph_spread`)
skipped  iteration, reason, samples, count (of the whole run): a step that was not taken
changed  iteration, changed: settings that are others than before (train.resume_changed)
stopped  iteration, reason

A run that goes on from a checkpoint drops what came after it, so that no line is there twice. A
process that takes no step (all are taken, or it is refused) writes nothing.
"""

import contextlib
import importlib.util
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from data_preprocess.base.files import write_text
from dghin.evaluation.metrics import validation_score
from dghin.run.config import Config, save_config
from dghin.run.environment import environment, record_environment
from dghin.run.folder import RunFolder
from dghin.run.processes import Place

if TYPE_CHECKING:  # the report reads logs as well, and should not wait for the network's libraries
    from .recipe import Recipe

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a run is. The trainer counts here, the logbook reads, a checkpoint keeps it."""

    iteration: int = 0  # steps so far, the skipped ones included
    validated: int = 0  # the last iteration that was scored on val
    skipped: int = 0  # steps skipped so far
    best: dict[str, float] = field(default_factory=lambda: {"score": -1.0, "iteration": -1})

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Progress":
        """What a checkpoint holds of it."""
        return cls(**{one.name: state[one.name] for one in fields(cls)})


class Logbook:
    """A run's log, settings and environment. Only the main rank writes; the means since the last
    line outlive a stop. parameters: of the network.
    """

    def __init__(
        self,
        files: RunFolder,
        config: Config,
        recipe: "Recipe",
        place: Place,
        progress: Progress,
        parameters: int,
    ):
        self.files, self.config, self.recipe, self.path = files, config, recipe, files.log
        self.place, self.progress, self.parameters = place, progress, parameters
        self.sums: dict[str, Tensor] = {}  # since the last line, on the device
        self.counts: dict[str, int] = {}  # of what was summed up
        self.expressions = 0
        self.elapsed = 0.0  # before this life
        self.board: Any = None
        self.clock = Clock()
        self.here: dict[str, Any] = {}  # the environment of this process
        self.begun = False

    def __enter__(self) -> "Logbook":
        """The time runs; nothing is written yet."""
        self.clock = Clock()
        self.here = environment(self.config) if self.place.is_main else {}
        return self

    def begin(self, changed: dict[str, Any] = {}) -> None:
        """Begin or go on, when a step was taken: settings, environment, start. What is past the
        checkpoint is dropped. changed: settings that are others than before."""
        if self.begun:
            return
        self.begun = True
        if self.place.is_main:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_config(self.config, self.files.config)
            record_environment(self.files.path, self.config, "train", self.here)
            self._drop_later_lines()
            if self.config.train.tensorboard:
                first = self.progress.iteration + 1
                self.board = open_board(self.path.parent / "tensorboard", first)
        self.write(
            "start",
            iteration=self.progress.iteration,
            iterations=self.recipe.iterations,
            world=self.place.world,
            parameters=self.parameters,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if changed:
            self.write("changed", iteration=self.progress.iteration, changed=changed)

    def __exit__(self, *_: object) -> None:
        if self.board is not None:
            self.board.close()

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: what has not been written as a line yet, and the time so far."""
        sums = {name: value.cpu() for name, value in self.sums.items()}
        elapsed = self.elapsed + self.clock.total()
        return {"sums": sums, "counts": dict(self.counts), "elapsed": elapsed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        device = self.place.device
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.counts, self.elapsed = dict(state["counts"]), state["elapsed"]

    def _drop_later_lines(self) -> None:
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            write_text(self.path, "".join(f"{line}\n" for line in lines if self._is_kept(line)))

    def _is_kept(self, line: str) -> bool:
        """Whether a line is of what the checkpoint holds; one half-written by a kill is not."""
        try:
            kind, iteration = (json.loads(line)[name] for name in ("kind", "iteration"))
        except (ValueError, KeyError, TypeError):  # cut off, or not a line of ours
            return False
        known = self.progress.validated if kind == "val" else self.progress.iteration
        return iteration <= known and (known > 0 or kind == "start")

    def write(self, kind: str, **values: Any) -> None:
        """One line of log.jsonl; a number that is not finite becomes null."""
        if self.place.is_main:
            line = json.dumps({"kind": kind, **finite(values)}, allow_nan=False)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")

    def draw(self, group: str, values: dict[str, Any]) -> None:
        """Points of TensorBoard's curves at this iteration, where it is installed."""
        if self.board is not None:
            for name, value in finite(values).items():
                if isinstance(value, int | float):
                    self.board.add_scalar(f"{group}/{name}", value, self.progress.iteration)
            self.board.flush()

    @contextlib.contextmanager
    def aside(self, kind: str) -> Iterator[None]:
        """Time in here ("validation", "saving") is not counted as training time."""
        with self.clock.aside(kind):
            yield

    def train(self, losses: dict[str, Tensor], gradient_norm: float) -> None:
        """Take note of a step; every `log_every` steps write the means since the last line.

        losses: empty for a step that was skipped. A norm that is not finite (under float16, whose
        scaler then passes the step over) does not count.
        """
        values = dict(losses)
        if losses and math.isfinite(gradient_norm):
            values["gradient_norm"] = torch.as_tensor(gradient_norm)
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.expressions += self.recipe.batch
        self.clock.steps += 1
        done, total = self.progress.iteration, self.recipe.iterations
        if done % self.config.train.log_every and done != total:
            return
        means = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        if means:
            means = {"loss": means.pop("total"), **means}
        speed = self.expressions / max(self.clock.lap(), 1e-9)
        logged = {
            **means,
            "lr": float(self.recipe.rates[done - 1]),
            "expressions_per_second": speed,
            "elapsed": self.elapsed + self.clock.total(),
            "loader_share": self.clock.share("loading"),
            **peak_memory(self.place.device),
        }
        self.write("train", iteration=done, **logged)
        self.draw("train", logged)
        loss = "loss {loss:.3f} (mask {seg:.3f})".format(**means) if means else "all steps skipped"
        log.info(
            "iteration %d/%d  %s  learning rate %.2e  %.0f expressions/s  %s left",
            done, total, loss, logged["lr"], speed, clock(self.time_left()),
        )  # fmt: skip
        self.sums, self.counts, self.expressions = {}, {}, 0

    def time_left(self) -> float:
        """Seconds to the end: of steps, and of validations and checkpoints as they took so far."""
        left, settings = self.recipe.iterations - self.progress.iteration, self.config.train
        seconds = left * self.clock.mean("training")
        counts = {
            "training": left,
            "validation": left / self.recipe.validate_every,
            "saving": max(
                left / self.recipe.validate_every,
                left / settings.save_every if settings.save_every else 0,
                seconds / 60 / settings.save_minutes if settings.save_minutes else 0,
            ),
        }
        return sum(count * self.clock.mean(kind) for kind, count in counts.items())

    def skipped(self, samples: list[str], reason: str) -> None:
        """A step that was not taken."""
        iteration, count = self.progress.iteration, self.progress.skipped
        self.write("skipped", iteration=iteration, reason=reason, count=count, samples=samples)
        self.draw("train", {"skipped": count})
        if self.place.is_main:
            log.warning("iteration %d skipped, %s: %s", iteration, reason, "; ".join(samples))

    def val(self, score: dict[str, Any], spread: dict[str, float] = {}) -> None:
        """Write a validation's scores, and on how many patches the visual graphs rest."""
        iteration, protocol = self.progress.iteration, self.config.evaluate.best_by
        shown = {k: v for k, v in score.items() if isinstance(v, int | float)} | spread
        mark = " (best)" if self.progress.best["iteration"] == iteration else ""
        if score.get("empty"):  # of several referents or none: other words for other numbers
            shown["score"] = validation_score(score)
        self.write("val", iteration=iteration, protocol=protocol, **shown)
        self.draw("val", shown)
        if "score" in shown:
            log.info("%s%s", generalized_line(iteration, protocol, shown), mark)
            return
        log.info(
            "val after %d: overall IoU %.4f, mean IoU %.4f, %s protocol, %d expressions%s",
            iteration, score["oiou"], score["miou"], protocol, score["count"], mark,
        )  # fmt: skip


def generalized_line(iteration: int, protocol: str, score: dict[str, Any]) -> str:
    """A validation's scores where expressions may have no target, for people."""
    line = (
        f"val after {iteration}: score {score['score']:.4f} (harmonic mean of gIoU "
        f"{score['giou']:.4f} and cIoU {score['ciou']:.4f}), N-acc {score['n_acc']:.4f}"
    )
    if "t_acc" in score:
        line += f", T-acc {score['t_acc']:.4f}"
    line += (
        f", {protocol} protocol, {score['count']} expressions, {score['empty']} without a target"
    )
    if "t_acc" not in score:
        line += "; none has a target, so that a network that marks nothing is right everywhere"
    elif score["t_acc"] == 0:
        line += (
            "; every answer to one with a target is empty, and the gIoU is the share of "
            "expressions without target"
        )
    return line


class Clock:
    """Where the time of one life of a run goes; seconds."""

    def __init__(self):
        self.started = time.monotonic()
        self.steps = 0
        self.spent: dict[str, list[float]] = {}  # aside: every stretch, by kind
        self.inside: dict[str, float] = {}  # of the training time, by kind
        self.mark = 0.0  # training time at the last lap

    def total(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    @contextlib.contextmanager
    def within(self, kind: str) -> Iterator[None]:
        """A stretch that is part of training, whose share of it is asked for."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.inside[kind] = self.inside.get(kind, 0.0) + time.monotonic() - begin

    def share(self, kind: str) -> float:
        """What such stretches took of the training time, since the start."""
        return round(self.inside.get(kind, 0.0) / max(self.training(), 1e-9), 4)

    def training(self) -> float:
        """Since the start, without what was spent aside."""
        return self.total() - sum(map(sum, self.spent.values()))

    def lap(self) -> float:
        """Training time since the last call."""
        now = self.training()
        lap, self.mark = now - self.mark, now
        return lap

    @contextlib.contextmanager
    def aside(self, kind: str) -> Iterator[None]:
        """A stretch that is not training."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.spent.setdefault(kind, []).append(time.monotonic() - begin)

    def mean(self, kind: str) -> float:
        """Of one step ("training") or of one stretch aside; 0 before there is one."""
        if kind == "training":
            return self.training() / max(1, self.steps)
        stretches = self.spent.get(kind, [])
        return sum(stretches) / max(1, len(stretches))


def peak_memory(device: "torch.device | None") -> dict[str, float]:
    """What the GPU's memory held at most so far, GiB; nothing on a CPU."""
    if device is None or device.type != "cuda":
        return {}
    return {"peak_memory": round(torch.cuda.max_memory_allocated(device) / 2**30, 2)}


def open_board(folder: Path, first: int) -> Any:
    """A TensorBoard writer whose curves go on at iteration `first`; None where not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first)


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON knows them: null for a number that is not finite."""
    bad = {k for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)}
    return {name: None if name in bad else value for name, value in values.items()}


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
