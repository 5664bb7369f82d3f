"""One step of the optimizer: the same on all ranks, or none takes it."""

import contextlib
import copy
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook

from dghin.data.batches import model_inputs
from dghin.data.loading import Batch
from dghin.model.dghin import DGHIN
from dghin.run.config import Config, TrainConfig
from dghin.run.precision import autocast, supported_precision
from dghin.run.processes import Place, gather, mean_over_all, on_any

from .device.choices import choose
from .device.joint_norm import use_joint_norms
from .device.recompute import BatchNorm, checkpoint_activations, compiled, recompute_cheap
from .losses import CLASS_WEIGHTS, segmentation_loss
from .optimizer.groups import lay_out_as_weights, make_optimizer
from .recipe import Recipe


class Step(NamedTuple):
    """What one step came to."""

    losses: dict[str, Tensor]  # means over the batches of all ranks
    gradient_norm: float  # before clipping
    skipped: list[int]  # the training samples for which no rank took the step
    stop: bool  # some rank was asked to end
    save: bool = False  # a checkpoint is due


class Stepper:
    """The model with what trains it: optimizer, loss scaler, processes and modes."""

    def __init__(self, model: DGHIN, config: Config, recipe: Recipe, place: Place):
        self.model, self.settings, self.recipe, self.place = model, recipe.settings, recipe, place
        self.optimizer: Any = make_optimizer(model, self.settings)
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        scaled = recipe.precision == "float16"  # small gradients would vanish
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=scaled)
        self._spare_memory()
        self.network: Any = model  # or what wraps it: processes, a compiler
        if place.world > 1:
            self.network = distribute(model, place, recipe.joint_norm, self.settings)
        if self.settings.compile:
            self.network = compiled(self.network, place.device)
        norms = [part for part in model.modules() if isinstance(part, BatchNorm)]
        self.statistics = [buffer for norm in norms for buffer in norm.buffers()]
        self.kept_statistics = [buffer.clone() for buffer in self.statistics]

    def _spare_memory(self) -> None:
        """Activations that are computed twice instead of kept. A compiler chooses them by itself.

        On a GPU whole blocks are: to choose operator by operator is slower there by half, since
        the host must look at every one (docs/gpu.md).
        """
        whole = self.settings.checkpoint_activations
        if self.settings.recompute and not self.settings.compile:
            whole = whole or self.place.device.type == "cuda"
            if not whole:
                recompute_cheap(self.model)
        if whole:
            checkpoint_activations(self.model)

    def training_mode(self) -> None:
        """Dropout and batch statistics on, but for parts that are frozen."""
        self.network.train()
        model = self.model
        for part in (model.image_norm, model.visual_encoder, model.text_encoder):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()

    def step(
        self,
        batches: list[Batch],
        rate: float,
        asked: Callable[[], bool] = lambda: False,
        due: Callable[[], bool] = lambda: False,
    ) -> Step:
        """One step at a learning rate over this rank's batches, whose gradients are added up.

        A loss or a gradient that is not finite on some rank: no rank takes the step, and the
        batch norms forget it. asked: whether this rank was asked to end; due: whether by its clock
        a checkpoint is; every rank learns both.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        copy_all(self.statistics, self.kept_statistics)
        losses = [self.backward(batch, batch is batches[-1]) for batch in batches]
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.trained if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if clip := self.settings.clip_gradient:
            torch.nn.utils.clip_grads_with_norm_(self.trained, clip, norm)
        own = {name: torch.stack([x[name] for x in losses]).mean() for name in losses[0]}
        mean = mean_over_all(own, self.place)
        lost = ~mean["total"].isfinite()
        # a scaled gradient may overflow: the scaler skips that step by itself, and scales less
        torn = ~norm.isfinite() & (self.scaler.get_scale() <= 1.0)
        flags: list[Tensor | bool] = [lost | torn, asked(), due()]
        (skip, stop, save), (size,) = on_any(flags, self.place, [norm])
        if skip:
            copy_all(self.kept_statistics, self.statistics)
        else:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return Step(mean, size, self.to_blame(batches, losses) if skip else [], stop, save)

    def backward(self, batch: Batch, is_last: bool) -> dict[str, Tensor]:
        """Add a batch's share to the gradients; its losses. Ranks add up theirs with the last."""
        apart = not is_last and self.place.world > 1
        with self.network.no_sync() if apart else contextlib.nullcontext():
            with autocast(self.recipe.precision, self.place.device):
                out = self.network(**model_inputs(batch, self.place.device))
            mask = batch["mask"].to(self.place.device, non_blocking=True)
            weights = CLASS_WEIGHTS[0], self.settings.referent_weight
            losses = segmentation_loss(out, mask, weights)
            self.scaler.scale(losses["total"] / self.recipe.accumulation).backward()
        return {name: loss.detach() for name, loss in losses.items()}

    def to_blame(self, batches: list[Batch], losses: list[dict[str, Tensor]]) -> list[int]:
        """The samples of the batches whose loss is not finite, of all ranks; if none is: of all."""
        parts = [batch["index"].tolist() for batch in batches]
        bad = [not x["total"].isfinite() for x in losses]
        own = [i for part, is_bad in zip(parts, bad, strict=True) for i in part if is_bad]
        whole = [i for part in parts for i in part]
        found = gather((own, whole), self.place)
        return [i for own, _ in found for i in own] or [i for _, whole in found for i in whole]

    def state_dict(self) -> dict[str, Any]:
        """Model, optimizer and scaler, for a checkpoint."""
        parts = (("model", self.model), ("optimizer", self.optimizer), ("scaler", self.scaler))
        return {name: part.state_dict() for name, part in parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave. Another network's is a RuntimeError or ValueError."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        lay_out_as_weights(self.optimizer)
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])


def copy_all(source: list[Tensor], target: list[Tensor]) -> None:
    """Copy tensors into others of the same shapes."""
    for one, other in zip(source, target, strict=True):
        other.copy_(one)


def share_buffers(model: nn.Module, place: Place) -> None:
    """Give every rank the main one's batch-norm statistics: those are what is saved and scored."""
    if place.world > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def distribute(
    model: nn.Module, place: Place, joint: bool, settings: TrainConfig
) -> nn.parallel.DistributedDataParallel:
    """DistributedDataParallel. joint: the batch norms count over all processes (SyncBN).

    Batch statistics are not broadcast at every step: nothing reads them before `share_buffers`.
    """
    wrapper = nn.parallel.DistributedDataParallel
    names = ("forward_sync_buffers", "broadcast_buffers")  # of torch 2.13 on, and before
    known = inspect.signature(wrapper).parameters
    options: dict[str, Any] = {next(name for name in names if name in known): False}
    options |= {"gradient_as_bucket_view": True, "bucket_cap_mb": settings.gradient_bucket}
    if joint:
        model = use_joint_norms(model)
    if place.device.type == "cuda":
        options["device_ids"] = [place.device.index]
    wrapped = wrapper(model, **options)
    if settings.gradient_compression == "bfloat16":
        wrapped.register_comm_hook(None, bf16_compress_hook)
    return wrapped


def trial(model: DGHIN, config: Config, piece: int, device: torch.device) -> bool:
    """Whether a step of so many expressions fits into the device's memory: forward and backward of
    zeros on a copy of the model, beside the room that the optimizer's state takes."""
    settings, _ = choose(config.train, device)
    side, words = config.model.image_size, config.model.words
    try:
        copy_of = copy.deepcopy(model).to(device)
        room = [torch.empty_like(p) for p in copy_of.parameters() for _ in range(2)]
        if settings.recompute:
            checkpoint_activations(copy_of)
        ids = torch.zeros(piece, words, dtype=torch.long, device=device)
        image = torch.zeros(piece, 3, side, side, dtype=torch.uint8, device=device)
        edges = torch.zeros(piece, words, words, device=device)
        with autocast(supported_precision(settings.precision, device), device):
            out = copy_of(image, ids, torch.ones_like(ids), ids, edges)
        mask = torch.zeros(piece, side, side, dtype=torch.uint8, device=device)
        segmentation_loss(out, mask)["total"].backward()
        return bool(room)
    except torch.OutOfMemoryError:
        return False
    finally:
        # what is left of them would stay in the way
        out = copy_of = room = None  # type: ignore[assignment]  # noqa: F841
        torch.cuda.empty_cache()
