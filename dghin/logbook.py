"""What a training run writes down: log.jsonl, and lines on the screen with the time left."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_preprocess.common import write_text

log = logging.getLogger(__name__)


class Logbook:
    """log.jsonl, and a line on the screen every so many iterations; silent but on the main rank."""

    def __init__(self, path: Path, trainer: Any):
        self.path, self.trainer = path, trainer
        self.started, self.first = time.monotonic(), trainer.iteration
        self.window, self.expressions = [], 0
        self.mark = self.started
        if trainer.place.is_main:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._drop_later_lines()
            self.write("start", iteration=self.first, iterations=len(trainer.rates), world=trainer.place.world,
                       parameters=sum(p.numel() for p in trainer.model.parameters()))  # fmt: skip

    def _drop_later_lines(self) -> None:
        """After a stop, lines past the checkpoint would be there twice."""
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if self.first and _iteration(line) <= self.first]
            write_text(self.path, "".join(f"{line}\n" for line in kept))

    def write(self, kind: str, **values: Any) -> None:
        """One line of log.jsonl."""
        if self.trainer.place.is_main:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, **values}) + "\n")

    def close(self) -> None:
        """Nothing to do."""

    def skipped(self, samples: list[str], reason: str, count: int) -> None:
        """A step that was not taken."""
        self.write("skipped", iteration=self.trainer.iteration, reason=reason, samples=samples, count=count)

    def train(self, losses: dict[str, Tensor], expressions: int, gradient_norm: float = 0) -> None:
        """Take note of a step; every `log_every` steps write the means since the last line."""
        trainer = self.trainer
        if losses:
            self.window.append(losses)
        self.expressions += expressions
        done, total = trainer.iteration, len(trainer.rates)
        if done % trainer.config.train.log_every and done != total:
            return
        now = time.monotonic()
        means = {k: float(torch.stack([x[k] for x in self.window]).mean()) for k in self.window[0]}
        speed = self.expressions / (now - self.mark)
        left = (total - done) * (now - self.started) / (done - self.first)
        rate = float(trainer.rates[done - 1])
        self.write("train", iteration=done, loss=means.pop("total"), **means, lr=rate,
                   expressions_per_second=speed, elapsed=now - self.started)  # fmt: skip
        log.info(
            "iteration %d/%d  loss %.3f (mask %.3f)  learning rate %.2e  %.0f expressions/s  "
            "%s left", done, total, sum(means.values()), means["seg"], rate, speed, clock(left),
        )  # fmt: skip
        self.window, self.expressions, self.mark = [], 0, now

    def val(self, score: dict[str, Any]) -> None:
        """Write a validation's scores."""
        trainer = self.trainer
        protocol = trainer.config.evaluate.best_by
        shown = {k: v for k, v in score.items() if isinstance(v, int | float)}
        self.write("val", iteration=trainer.iteration, protocol=protocol, **shown)
        mark = " (best)" if trainer.best["iteration"] == trainer.iteration else ""
        log.info(
            "val after %d: overall IoU %.4f, mean IoU %.4f, %s protocol, %d expressions%s",
            trainer.iteration, score["oiou"], score["miou"], protocol, score["count"], mark,
        )  # fmt: skip
        self.mark = time.monotonic()


def _iteration(line: str) -> float:
    """A line's iteration; one that a killed process left half-written is past all."""
    try:
        return json.loads(line).get("iteration", 0)
    except json.JSONDecodeError:
        return float("inf")


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
