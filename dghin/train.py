"""Train DGHIN.

    python -m dghin.train config=demo run=demo                              one process
    torchrun --standalone --nproc-per-node=4 -m dghin.train config=refcoco run=refcoco
    python -m dghin.train config=demo run=demo train.iterations=100         any setting on top

`config` is a name of dghin/configs or a YAML file. Everything is written to reports/<run>/train:
log.jsonl, checkpoints (started again with the same run, it goes on from the newest), and best/,
the weights that scored best on val.
"""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader

from data_preprocess.common import UserError, sha256_json
from data_preprocess.settings import difference

from .checkpoint import load_newest, random_state, save_checkpoint, set_random_state
from .cli import read_words, run_cli
from .config import Config, TrainConfig, load_config, save_config, settings_with_effect
from .data import (
    PreparedDataset,
    TrainingBatches,
    collate,
    model_inputs,
    open_split,
    read_manifest,
)
from .distributed import Place, gather, join, leave, threads
from .environment import record_environment
from .evaluate import evaluate_split
from .frozen import encode_once
from .logbook import Logbook
from .losses import segmentation_loss
from .metrics import metrics_from_rows
from .model import DGHIN
from .schedule import derived_iterations, learning_rates, polynomial_learning_rates
from .weights import load_pretrained

log = logging.getLogger(__name__)
BEST = "best"


class Trainer:
    """One run: model, optimizer, schedule, batches, and the state that a checkpoint holds."""

    def __init__(self, config: Config, folder: Path, place: Place):
        self.config, self.folder, self.place = config, folder, place
        self.train_set = open_split(config, config.data.train_split)
        self.val_set = open_split(config, config.data.val_split) if config.data.val_split else None
        self.rates = run_learning_rates(config.train, len(self.train_set), place.world)
        self.validate_every = run_steps(config.train, config.train.validate_every, place.world)
        self.iteration, self.best = 0, {"score": -1.0, "iteration": -1}
        self.made_from = made_from(config, place.world)
        torch.manual_seed(config.train.seed)
        self.model = DGHIN(config.model)
        state = load_newest(folder)
        if state is None:
            load_pretrained(self.model, config)
        self.model.to(place.device)
        if config.train.channels_last:
            self.model.to(memory_format=torch.channels_last)
        decay = config.train.weight_decay
        groups = parameter_groups(self.model, config.train)
        self.optimizer = torch.optim.AdamW(groups, weight_decay=decay, fused=True)
        self.network: nn.Module = self.model
        if place.world > 1:
            self.network = distribute(self.model, place)
        if config.train.text_learning_rate_scale == 0:
            splits = [self.train_set] + ([self.val_set] if self.val_set else [])
            encode_once(self.model.text_encoder, splits, place)
        torch.manual_seed(config.train.seed + place.rank)  # dropout differs by rank
        if state is not None:
            self._restore(state)

    def _restore(self, state: dict[str, Any]) -> None:
        if changed := difference(state["made_from"], self.made_from):
            raise UserError(
                f"{self.folder}: holds checkpoints of another configuration (key: there, here): "
                f"{changed}. Train in a new run folder, or remove this one."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.iteration, self.best = state["iteration"], state["best"]
        set_random_state(state["random"][self.place.rank])
        log.info("going on from iteration %d", self.iteration)

    def save(self) -> None:
        """Write a checkpoint (every rank must call it)."""
        states = gather(random_state(), self.place)
        if self.place.is_main:
            state = {
                "iteration": self.iteration,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "best": self.best,
                "random": states,
                "made_from": self.made_from,
            }
            save_checkpoint(self.folder, state)

    def loader(self) -> DataLoader:
        """The batches from this iteration to the end."""
        settings = self.config.train
        batches = TrainingBatches(
            [expression.image for expression in self.train_set.expressions],
            settings.batch_per_process,
            self.place.rank,
            self.place.world,
            settings.seed,
            settings.expressions_per_image,
            self.iteration,
            len(self.rates),
        )
        return batch_loader(
            self.train_set, batches, settings.workers, settings.expressions_per_image > 1
        )

    def step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One step of the optimizer; returns the losses."""
        rate = float(self.rates[self.iteration])
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        with autocast(self.config.train.precision, self.place.device):
            out = self.network(**model_inputs(batch, self.place.device))
        losses = segmentation_loss(out, batch["mask"].to(self.place.device))
        losses["total"].backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.iteration += 1
        return {name: loss.detach() for name, loss in losses.items()}

    def validate(self) -> dict[str, Any]:
        """Score val, shared out over the ranks; keep the weights if they are the best so far."""
        limit = self.config.train.validate_expressions
        share_buffers(self.model, self.place)
        rows = evaluate_split(self.model, self.val_set, self.config, place=self.place, limit=limit)
        score = metrics_from_rows(rows, self.config.evaluate.best_by)
        if score["oiou"] > self.best["score"]:
            self.best = {"score": score["oiou"], "iteration": self.iteration}
            self.save_best()
        return score

    def save_best(self) -> None:
        """Write the weights as a folder that `from_pretrained` reads."""
        if self.place.is_main:
            data = self.config.data
            language = {"tokenizer": data.tokenizer, "parser": data.parser}
            language["alignment"] = data.alignment
            self.model.save_pretrained(self.folder / BEST, language)

    def training_mode(self) -> None:
        """Dropout and batch statistics on, but for parts that are frozen."""
        self.network.train()
        for part in (self.model.visual_encoder, self.model.text_encoder):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()

    def run(self) -> None:
        """Train to the end."""
        report = Logbook(self.folder / "log.jsonl", self)
        self.training_mode()
        for batch in self.loader():
            losses = self.step(batch)
            report.train(losses, len(batch["mask"]))
            last = self.iteration == len(self.rates)
            if self.iteration % self.validate_every == 0 or last:
                if self.val_set is not None:
                    report.val(self.validate())
                    self.training_mode()
                self.save()
        if self.val_set is None:
            self.save_best()


def run_steps(settings: TrainConfig, argument: int, world: int) -> int:
    """Iterations of this run: the paper's schedule counts in steps of 8 images."""
    if settings.schedule == "paper":
        return max(1, derived_iterations(argument, settings.batch_per_process, world))
    return argument


def run_learning_rates(settings: TrainConfig, train_size: int, world: int) -> Any:
    """The learning rate of every iteration of the run."""
    peak, final, power = settings.learning_rate, settings.final_learning_rate, settings.power
    batch = settings.batch_per_process
    rates = learning_rates(
        train_size, batch, world, settings.iterations, settings.warmup, peak, final, power
    )
    if settings.schedule == "poly":
        rates = polynomial_learning_rates(settings.iterations, settings.warmup, peak, final, power)
    return rates


def parameter_groups(model: DGHIN, settings: TrainConfig) -> list[dict[str, Any]]:
    """Backbone, text encoder and the rest, each with the scale of its learning rate.

    A part whose scale is 0 is frozen: no gradients, no group.
    """
    backbone = list(model.visual_encoder.parameters())
    text = list(model.text_encoder.parameters())
    known = {id(p) for p in backbone + text}
    rest = [p for p in model.parameters() if id(p) not in known]
    scales = (settings.backbone_learning_rate_scale, settings.text_learning_rate_scale, 1.0)
    groups = []
    for parameters, scale in zip((backbone, text, rest), scales, strict=True):
        if scale:
            groups.append({"params": parameters, "scale": scale, "lr": 0.0})
        else:
            for parameter in parameters:
                parameter.requires_grad_(False)
    return groups


def made_from(config: Config, world: int) -> dict[str, Any]:
    """What a training's result depends on: settings, number of processes, the data's digests."""
    manifest = read_manifest(config.data.prepared_root, config.data.dataset)
    settings = settings_with_effect(config)
    return {**settings, "processes": world, "data": sha256_json(manifest["splits"])}


def share_buffers(model: nn.Module, place: Place) -> None:
    """Give every rank the main one's batch-norm statistics: those are what is saved and scored."""
    if place.world > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def distribute(model: DGHIN, place: Place) -> nn.Module:
    """DistributedDataParallel; on GPUs the batch norms count over all of them (SyncBN)."""
    if place.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return nn.parallel.DistributedDataParallel(model, device_ids=[place.device.index])
    return nn.parallel.DistributedDataParallel(model)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The precision of the forward pass."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def batch_loader(
    dataset: PreparedDataset, batches: Any, workers: int, share_images: bool
) -> DataLoader:
    """A DataLoader over ready-made batches of indices."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=functools.partial(collate, share_images=share_images),
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # its own: a loader must not draw from the global one
    )


def train(config: Config, folder: Path) -> None:
    """Train a run in reports/<run>, alone or as one of torchrun's processes."""
    place = join()
    if not place.is_main:
        logging.getLogger().setLevel(logging.WARNING)
    torch.set_num_threads(threads(config.train.threads))
    try:
        trainer = Trainer(config, folder / "train", place)
        if place.is_main:
            save_config(config, folder / "config.yaml")
            record_environment(folder, config, "train")
        trainer.run()
    finally:
        leave()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own = {"config": "refcoco", "run": "", "reports": "reports"}
    values, words = read_words("dghin.train", __doc__, own, arguments)
    config = load_config(values["config"], words)
    train(config, Path(values["reports"]) / (values["run"] or config.name))


if __name__ == "__main__":
    run_cli(main)
