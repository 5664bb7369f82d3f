"""What a run does on the hardware at hand, derived from its config before the first step.

    recipe = derive(load_config("refcoco"), processes=1)
    recipe.accumulation, len(recipe.rates)      # 4, 106666
    recipe.table()                              # every derived figure beside the configured one

The batch of a step stays as configured, whatever the number of processes: each takes an equal
share of it, in pieces of at most `batch_per_process` expressions whose gradients are added up.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.settings import difference
from data_preprocess.base.tables import to_markdown
from data_preprocess.raw.datasets import DRAWN
from dghin.data.split import run_manifest
from dghin.run.config import Config, TrainConfig, settings_with_effect
from dghin.run.environment import data_digests, start_digest
from dghin.run.precision import supported_precision
from dghin.run.processes import Place

from .device.choices import NAMES, choose, largest_piece, without_choice
from .schedule import derived_iterations, epoch_learning_rates, polynomial_learning_rates

MOST = 100_000_000  # steps of a run


@dataclass(frozen=True)
class Recipe:
    """The derived figures of a run. Iterations are real steps of the optimizer."""

    settings: TrainConfig  # without `auto`
    configured: TrainConfig
    reasons: Mapping[str, str]  # of what `auto` came to
    train_size: int  # expressions
    processes: int
    batch: int  # expressions of a step, over all processes
    piece: int  # expressions that go through the network at once on one process
    accumulation: int  # pieces of a step on each process
    joint_norm: bool  # whether batch norms count over all processes
    rates: np.ndarray  # the learning rate of every iteration
    warmup: int
    validate_every: int
    precision: str  # of the forward pass, as this hardware has it
    start: str = ""  # the trained network that it starts from

    @property
    def iterations(self) -> int:
        """Steps of the whole run."""
        return len(self.rates)

    @property
    def norm_batch(self) -> int:
        """Expressions that a batch norm counts over."""
        return self.piece * self.processes if self.joint_norm else self.piece

    @property
    def epoch(self) -> int:
        """Steps of an epoch; its incomplete last batch is left out, as the original's."""
        return self.train_size // self.batch

    def table(self) -> pd.DataFrame:
        """Setting, Configured, Here: what was derived, beside what it was derived from."""
        s = self.configured
        unit = f" of {s.iterations_of} expressions" if s.iterations_of else ""
        processes = f"{self.processes} process{'es' * (self.processes > 1)}"
        pieces = f"{self.piece} x {self.accumulation} accumulated x {processes}"
        kind = "an epoch" if s.schedule == "paper" else "an iteration"
        often = " or ".join(
            [f"{s.save_minutes:g} minutes"] * bool(s.save_minutes)
            + [f"{s.save_every:,}"] * bool(s.save_every)
        )
        rates = f"{s.learning_rate:g} to {s.final_learning_rate:g}"
        rows = [
            ("processes", f"{s.processes or 'all GPUs'}", f"{self.processes}"),
            ("expressions a step", f"{s.batch or 'what fits'}", f"{self.batch} = {pieces}"),
            ("batch norm counts over", "", f"{self.norm_batch} expressions"),
            ("iterations", f"{s.iterations:,}{unit}", f"{self.iterations:,}"),
            ("warm-up", f"{s.warmup:,}{unit}", f"{self.warmup:,}"),
            ("validation every", f"{s.validate_every:,}{unit}", f"{self.validate_every:,}"),
            ("checkpoint every", often, f"{often}, newest {s.keep_checkpoints} kept"),
            ("epochs", "", f"{self.iterations / self.epoch:.1f} of {self.epoch:,} iterations "
             f"({self.train_size:,} expressions)"),
            ("learning rate", rates, f"{self.rates.max():.3g} to {self.rates[-1]:.3g}"),
            ("its decay", s.schedule, f"polynomial of power {s.power:g}, a step {kind}"),
            ("precision", s.precision, self._chosen("precision", self.precision)),
            *(
                (name, f"{getattr(s, name)}".lower(),
                 self._chosen(name, f"{getattr(self.settings, name)}".lower()))
                for name in ("compile", "channels_last", "recompute")
            ),
        ]  # fmt: skip
        if self.start:
            rows.append(("starts from", self.start, self.start))
        if s.flip:
            rows.append(("photos mirrored", f"{s.flip:g}", f"{s.flip:g} of those that may be"))
        return pd.DataFrame(rows, columns=["Setting", "Configured", "Here"])

    def _chosen(self, name: str, value: str) -> str:
        """A value, with the reason where it was chosen."""
        return f"{value} ({self.reasons[name]})" if name in self.reasons else value

    def text(self) -> str:
        """The table for a screen or a log."""
        return to_markdown(self.table()).rstrip()


def derive(
    config: Config,
    processes: int,
    device: torch.device | None = None,
    kept: Mapping[str, Any] = {},
    fits: Callable[[int], bool] = lambda piece: True,
) -> Recipe:
    """The recipe of a run on so many processes. The prepared data's manifest must be there.

    device: where the network runs (default: a GPU if there is one; on CPUs batch norms count over
    one process only). kept: what the checkpoint that the run goes on from has chosen. fits: whether
    so many expressions go through the network at once; asked where their number is left open.
    """
    device = device or Place.here().device
    settings, reasons = choose(config.train, device, kept)
    if settings.compile and settings.checkpoint_activations:
        raise UserError(
            "train.compile=true, train.checkpoint_activations=true: not together; a compiled "
            "network chooses by itself what to compute again. Take one of them."
        )
    if settings.keep_maps and settings.backbone_learning_rate_scale:
        raise UserError(
            "train.keep_maps=true: only of a pyramid that does not learn. Freeze it with "
            "train.backbone_learning_rate_scale=0, or take train.keep_maps=false."
        )
    if not 0 <= settings.flip <= 1:
        raise UserError(f"train.flip={settings.flip:g}: a chance. Give a number from 0 to 1.")
    if not 0 <= settings.head_start < 1:
        raise UserError(
            f"train.head_start={settings.head_start:g}: a share of pixels. Give a number from 0 "
            "(heads as they are drawn) to below 1."
        )
    if not 0 < settings.referent_weight < float("inf"):
        raise UserError(
            f"train.referent_weight={settings.referent_weight:g}: give a positive number; "
            "1.1 is the paper's."
        )
    train_size = split_size(config, config.data.train_split)
    if config.data.val_split:
        split_size(config, config.data.val_split)
    batch = settings.batch or settings.batch_per_process * processes
    piece, accumulation = share(batch, settings.batch_per_process, processes)
    if "batch_per_process" in reasons and "batch_per_process" not in kept:
        most, piece = piece, largest_piece(piece, batch // processes, fits)
        accumulation = batch // processes // piece
        if piece < most:
            settings = dataclasses.replace(settings, batch_per_process=piece)
    if train_size < batch:
        raise UserError(
            f"data.train_split={config.data.train_split}: its {train_size} expressions make no "
            f"batch of {batch}. Use a smaller train.batch."
        )
    total, warm, every = (
        real_steps(settings, count, batch)
        for count in (settings.iterations, settings.warmup, settings.validate_every)
    )
    if (
        not (settings.save_minutes > 0 or settings.save_every > 0)
        or min(settings.save_minutes, settings.save_every) < 0
    ):
        raise UserError(
            f"train.save_minutes={settings.save_minutes:g}, train.save_every="
            f"{settings.save_every}: one of them must be positive, none negative."
        )
    if total < 1 or every < 1 or settings.keep_checkpoints < 1:
        raise UserError(
            f"train.iterations={settings.iterations}, train.validate_every="
            f"{settings.validate_every}, train.keep_checkpoints={settings.keep_checkpoints}: each "
            f"must come to at least 1 (steps are of {batch} expressions)."
        )
    if total > MOST:
        raise UserError(
            f"train.iterations={settings.iterations}: {total:,} steps, of which the rates alone "
            f"take the memory. Ask for at most {MOST:,}."
        )
    decay = settings.learning_rate, settings.final_learning_rate, settings.power
    if settings.schedule == "paper":
        rates = epoch_learning_rates(total, warm, train_size // batch, *decay)
    else:
        rates = polynomial_learning_rates(total, warm, *decay)
    return Recipe(
        settings,
        config.train,
        reasons,
        train_size,
        processes,
        batch,
        piece,
        accumulation,
        settings.joint_norm == "on"
        or settings.joint_norm == "auto"
        and device.type == "cuda"
        and processes > 1,
        rates,
        warm,
        every,
        supported_precision(settings.precision, device),
        config.weights.network,
    )


def of_one_batch(
    settings: TrainConfig, batch: int, steps: int, device: torch.device, rate: float = 1e-5
) -> Recipe:
    """The recipe of so many steps over one batch on one process, at one learning rate: for trials
    without a data set."""
    chosen, reasons = choose(settings, device)
    precision = supported_precision(chosen.precision, device)
    rates = np.full(steps, rate)
    return Recipe(
        chosen, settings, reasons, batch, 1, batch, batch, 1, False, rates, 0, 1, precision
    )


def split_size(config: Config, split: str) -> int:
    """Expressions of a split, by the prepared data's manifest."""
    splits = run_manifest(config)["splits"]
    if split not in splits:
        raise unknown_name(f"split of {config.data.dataset}:", split, splits)
    return splits[split]["expressions"]


def share(batch: int, most: int, processes: int) -> tuple[int, int]:
    """A step's batch on each process: → expressions of a piece (at most `most`), pieces."""
    if most < 1 or batch < 1:
        raise UserError(f"train.batch={batch}, train.batch_per_process={most}: must be positive.")
    if batch % processes:
        fitting = [n for n in range(1, batch + 1) if batch % n == 0]
        raise UserError(
            f"train.batch={batch}: not divisible among {processes} processes. Take "
            f"{', '.join(map(str, fitting))} processes, or another train.batch."
        )
    own = batch // processes
    piece = max(size for size in range(1, min(own, most) + 1) if own % size == 0)
    return piece, own // piece


def real_steps(settings: TrainConfig, count: int, batch: int) -> int:
    """Steps of `batch` expressions for so many steps of `iterations_of` expressions."""
    if not settings.iterations_of:
        return count
    return derived_iterations(count * settings.iterations_of / 8, batch, 1)


def made_from(config: Config, recipe: Recipe) -> dict[str, Any]:
    """What a training's result depends on: settings, processes, the data's digests."""
    here = {name: getattr(recipe, name) for name in ("processes", "accumulation", "precision")}
    used = (config.data.train_split, config.data.val_split, "masks", "upright")
    digests = {name: value for name, value in data_digests(config).items() if name in used}
    start = {"start": digest} if (digest := start_digest(config)) else {}
    chosen = dataclasses.replace(config, train=recipe.settings)  # what `auto` came to
    return {**settings_with_effect(chosen), "here": here, "digests": digests, **start}


def kept_choices(made_from: Mapping[str, Any]) -> dict[str, Any]:
    """Of a checkpoint's `made_from`: what each setting that may be `auto` was."""
    keys = {name: f"train.{name}" for name in NAMES}
    return {name: made_from[key] for name, key in keys.items() if key in made_from}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys of two `made_from` that differ, with both values.

    A setting that a checkpoint of an older version does not know was at its default. The network
    that a training started from is compared where it still is: going on does not need it. The
    drawn scenes were once called by their layout; that they are the same, digests say.
    """
    there = {**settings_with_effect(without_choice(Config())), **there}
    if DRAWN.get(there["data.dataset"]) == here.get("data.dataset"):
        there["data.dataset"] = here["data.dataset"]
    found = difference(there, here)
    if "start" not in here:
        found.pop("start", None)
    return found
