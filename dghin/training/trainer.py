"""Train DGHIN.

    dghin train config=demo run=demo                              one process
    torchrun --standalone --nproc-per-node=4 -m dghin train config=refcoco run=refcoco
    torchrun --nnodes=2 --nproc-per-node=4 --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 \\
             -m dghin train config=refcoco run=refcoco               on each of two nodes
    dghin train config=refcoco --dry-run                  what it would do here
    dghin train config=demo run=demo train.iterations=100    any setting on top

`config` is a name of dghin/run/presets or a YAML file. Everything is written to
reports/<run>/train:
log.jsonl, checkpoints (started again with the same run, it goes on from the newest), and best/,
the weights that scored best on val. SIGTERM and Ctrl-C save a checkpoint and end the run.
"""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from data_preprocess.base.errors import UserError
from data_preprocess.base.settings import to_mapping
from dghin.data.batches import TrainingBatches, collate
from dghin.data.dataset import PreparedDataset, open_split
from dghin.data.loading import Batch, load_batches
from dghin.data.mirror import Mirrored, with_mirror_images
from dghin.evaluation.evaluate import evaluate_split
from dghin.evaluation.metrics import metrics_from_rows, validation_score
from dghin.evaluation.segmenters.network import Network, graph_spread
from dghin.model.dghin import DGHIN
from dghin.model.pretrained import load_pretrained
from dghin.run.config import Config
from dghin.run.folder import RunFolder
from dghin.run.precision import keep_freed_memory, seed_everything, set_deterministic
from dghin.run.processes import Place, from_main, gather, join, leave, threads
from dghin.run.stopping import Interrupted, Stop, only_one

from .checkpoint import (
    load_newest,
    random_state,
    remove_leftovers,
    save_checkpoint,
    set_random_state,
)
from .device.layout import lay_out_channels_last
from .frozen import encode_once, keep_maps
from .logbook import Logbook, Progress
from .recipe import Recipe, derive, differences, kept_choices, made_from
from .saving import Saver
from .step import Stepper, share_buffers, trial

log = logging.getLogger(__name__)


class Trainer:
    """One run: model, optimizer, batches, and the state that a checkpoint holds."""

    def __init__(self, config: Config, folder: Path, place: Place):
        self.config, self.files, self.place = config, RunFolder(folder), place
        self.folder = self.files.train
        self.train_set: PreparedDataset | Mirrored = open_split(config, config.data.train_split)
        if config.train.flip:
            self.train_set = with_mirror_images(self.train_set, config)
        self.val_set = open_split(config, config.data.val_split) if config.data.val_split else None
        self.stop, self.saver = Stop(), Saver(self._write)
        state = self._find_checkpoint()
        seed_everything(config.train.seed)
        self.model = DGHIN(config.model)
        self.model.language = {
            name: getattr(config.data, name) for name in ("tokenizer", "parser", "alignment")
        }
        self.recipe = self._derive(state)
        self.made_from = made_from(config, self.recipe)
        self.changed: dict[str, Any] = {}
        if state is None:
            self.progress = Progress()
            load_pretrained(self.model, config)
            if config.train.head_start and not config.weights.network:
                self.model.start_heads_at(config.train.head_start)
        else:
            self._accept(state)
            self.progress = Progress.of(state)
        parameters = sum(p.numel() for p in self.model.parameters())
        self.report = Logbook(self.files, config, self.recipe, place, self.progress, parameters)
        self.model.to(place.device)
        if self.recipe.settings.channels_last:
            lay_out_channels_last(self.model)
        if config.train.text_learning_rate_scale == 0:
            splits = [self.train_set] + ([self.val_set] if self.val_set else [])
            kept = config.data.prepared_root / "encoded" if config.train.keep_encoded else None
            encode_once(self.model, splits, place, kept)
        if config.train.keep_maps:
            keep_maps(self.model, self.train_set, place)
        self.stepper = Stepper(self.model, config, self.recipe, place)
        seed_everything(config.train.seed + place.rank)  # dropout differs by rank
        if state is not None:
            self._restore(state)

    def _derive(self, state: dict[str, Any] | None) -> Recipe:
        """The recipe: with the choices of a checkpoint, or with the largest piece that fits on the
        GPUs of all ranks."""
        kept = kept_choices(state["made_from"]) if state else {}
        device = self.place.device

        def fits(piece: int) -> bool:
            if device.type != "cuda":
                return True
            return all(gather(trial(self.model, self.config, piece, device), self.place))

        return derive(self.config, self.place.world, device, kept, fits)

    def _find_checkpoint(self) -> dict[str, Any] | None:
        """The newest whole checkpoint: the main rank reads it, the others get it from there."""
        state = load_newest(self.folder) if self.place.is_main else None
        return from_main(state, self.place)

    def _accept(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's weights; one that does not belong to this run is refused."""
        self.changed = differences(state["made_from"], self.made_from)
        if self.changed and not self.config.train.resume_changed:
            raise UserError(
                f"{self.folder}: holds checkpoints of another configuration (key: there, here): "
                f"{self.changed}. Train in a new run folder, remove this one, or go on with "
                "train.resume_changed=true."
            )
        if state["iteration"] > self.recipe.iterations:
            raise UserError(
                f"{self.folder}: is at iteration {state['iteration']}, past the end of this run "
                f"({self.recipe.iterations}). Ask for more train.iterations, or use a new folder."
            )
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise UserError(
                f"{self.folder}: its checkpoint is of another network ({error}). Train in a new "
                "run folder."
            ) from error

    def _restore(self, state: dict[str, Any]) -> None:
        """Put back everything else that a checkpoint holds."""
        try:
            self.stepper.load_state_dict(state)
        except ValueError as error:
            raise UserError(
                f"{self.folder}: its checkpoint trains other parts ({error}). Train in a new run "
                "folder."
            ) from error
        self.report.load_state_dict(state["report"])
        if self.place.rank < len(state["random"]):
            set_random_state(state["random"][self.place.rank])
        log.info("going on from iteration %d", self.progress.iteration)

    def save(self, beside: bool = False) -> None:
        """Write a checkpoint (every rank must call it); beside: while the training goes on."""
        with self.report.aside("saving"):
            states = gather(random_state(), self.place)
            if self.place.is_main:
                self.saver.save(self.state(states), beside)

    def _write(self, state: dict[str, Any]) -> None:
        save_checkpoint(self.folder, state, self.config.train.keep_checkpoints)

    def _is_save_due(self) -> bool:
        """Whether it is time for a checkpoint, by the main rank's clock."""
        self.saver.check()
        return self.place.is_main and self.saver.is_due(self.config.train.save_minutes)

    def state(self, random: list[object]) -> dict[str, Any]:
        """What a checkpoint holds; random: the generators of every rank."""
        return {
            **dataclasses.asdict(self.progress),
            **self.stepper.state_dict(),
            "report": self.report.state_dict(),
            "random": random,
            "made_from": self.made_from,
            "config": to_mapping(self.config),
        }

    def steps(self) -> Generator[list[Batch], None, None]:
        """From this iteration to the end, this rank's batches of every step."""
        settings, recipe, place = self.config.train, self.recipe, self.place
        done = self.progress.iteration
        several = settings.expressions_per_image > 1
        batches = TrainingBatches(
            [expression.image for expression in self.train_set.expressions],
            recipe.piece,
            place.rank,
            place.world,
            settings.seed,
            settings.expressions_per_image,
            done,
            recipe.iterations,
            recipe.accumulation,
            settings.flip,
            getattr(self.train_set, "possible", None),
        )
        loaded = load_batches(
            self.train_set,
            batches,
            functools.partial(collate, share_images=several),
            settings.workers,
            settings.prefetch,
            (settings.seed, place.rank),
            done * recipe.accumulation,
        )
        for _ in range(done, recipe.iterations):
            with self.report.clock.within("loading"):
                found = [next(loaded) for _ in range(recipe.accumulation)]
            yield found

    def is_validation_due(self) -> bool:
        """Whether this iteration's weights are to be scored and have not been yet."""
        done = self.progress.iteration
        at = done % self.recipe.validate_every == 0 or self.is_done()
        return at and done > 0 and self.progress.validated != done

    def is_done(self) -> bool:
        """Whether all steps are taken."""
        return self.progress.iteration == self.recipe.iterations

    def validate(self) -> None:
        """Score val, shared out over the ranks; keep the weights if they are the best so far.

        Without a val split, the last weights are the best. The checkpoint is written first: should
        the process die before best/ is written, that is made good at the next start.
        """
        self.saver.wait()  # no process is forked for the loading while a file is being written
        progress = self.progress
        progress.validated = progress.iteration
        if self.val_set is None:
            progress.best = {"score": -1.0, "iteration": progress.iteration}
        else:
            share_buffers(self.model, self.place)
            limit = self.config.train.validate_expressions or len(self.val_set)
            with self.report.aside("validation"), self.stop.at_once():
                network = Network(self.model, self.config.evaluate.precision)
                rows = evaluate_split(network, self.val_set, self.config, self.place, limit)
                spread = graph_spread(network, self.val_set) if self.place.is_main else {}
            score = metrics_from_rows(rows, self.config.evaluate.best_by)
            chosen_by = validation_score(score)
            if chosen_by > progress.best["score"]:
                progress.best = {"score": chosen_by, "iteration": progress.iteration}
            self.report.val(score, spread)
        self.save()
        self.save_best()

    def save_best(self) -> None:
        """Write the weights as a folder that `from_pretrained` reads, if they are the best."""
        if self.place.is_main and self.progress.best["iteration"] == self.progress.iteration:
            self.model.save_pretrained(self.files.best)

    def run(self) -> None:
        """Train to the end, or until asked to stop."""
        settings, report, progress = self.config.train, self.report, self.progress
        with self.stop, self.saver, report, contextlib.closing(self.steps()) as steps:
            if self.changed and self.place.is_main:
                log.warning("going on under other conditions (key: then, now): %s", self.changed)
            self.save_best()
            if self.is_validation_due():
                report.begin(self.changed)
                self.validate()
            elif self.is_done():
                log.info("all %d iterations are taken: nothing is left to do", progress.iteration)
            self.stepper.training_mode()
            for batches in steps:
                rate = float(self.recipe.rates[progress.iteration])
                step = self.stepper.step(batches, rate, self.stop.asked, self._is_save_due)
                report.begin(self.changed)
                progress.iteration += 1
                if step.skipped:
                    self.skip(step.skipped)
                report.train({} if step.skipped else step.losses, step.gradient_norm)
                stop = step.stop or progress.iteration == settings.stop_at
                due = self.is_validation_due()
                counted = settings.save_every and progress.iteration % settings.save_every == 0
                if stop or due or step.save or counted:
                    self.save(beside=not (stop or due))
                if stop:
                    self.end()
                if due:
                    self.validate()
                    self.stepper.training_mode()

    def skip(self, indices: list[int]) -> None:
        """Take note of a step that was not taken; too many of them end the run."""
        samples = [self.train_set.name(index) for index in indices]
        progress = self.progress
        progress.skipped += 1
        self.report.skipped(samples, "loss or gradient not finite")
        if progress.skipped >= self.config.train.skip_limit:
            raise UserError(
                f"{self.folder}: {progress.skipped} steps with a loss or gradient that is not "
                f"finite (train.skip_limit), the last at iteration {progress.iteration} on: "
                f"{'; '.join(samples)}. Look at these samples, lower train.learning_rate, clip "
                "with train.clip_gradient, or use train.precision=float32."
            )

    def end(self) -> None:
        """End a run before its last step; its state is saved. All ranks end alike."""
        iteration = self.progress.iteration
        if iteration == self.config.train.stop_at:
            self.stop.ask("train.stop_at")
        own = (self.stop.reason, self.stop.status)
        asked = [other for other in gather(own, self.place) if other[0]]
        self.stop.ask(*asked[0])
        self.report.write("stopped", iteration=iteration, reason=self.stop.reason)
        raise Interrupted(self.stop.status)


def train(config: Config, folder: Path) -> None:
    """Train a run in reports/<run>, alone or as one of torchrun's processes."""
    set_deterministic(config.train.deterministic)
    torch.set_float32_matmul_precision(config.train.matmul_precision)
    keep_freed_memory()
    place = join()
    if not place.is_main:
        logging.getLogger().setLevel(logging.WARNING)
    torch.set_num_threads(threads(config.train.threads))
    files = RunFolder(folder)
    lock = only_one(files.train) if place.is_main else contextlib.nullcontext()
    try:
        with lock:
            if place.is_main:
                remove_leftovers(files.train)
            trainer = Trainer(config, folder, place)
            log.info("%s", trainer.recipe.text())
            run(trainer)
    except SystemExit:
        leave()
        raise
    leave()  # not after an error: that could wait for ranks which wait for this one


def run(trainer: Trainer) -> None:
    """Run a trainer; where it is interrupted, say what is saved and how to go on."""
    try:
        trainer.run()
    except Interrupted:
        log.info(
            "stopped by %s: saved after iteration %d of %d. The same command goes on from there.",
            trainer.stop.reason, trainer.progress.iteration, trainer.recipe.iterations,
        )  # fmt: skip
        raise
