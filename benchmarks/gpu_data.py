"""Experiments 8 to 10 of a GPU session: trainings, loaders and evaluation on data of noise."""

import copy
import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from gpu_loading import loader_share
from gpu_sizes import Line, Lines, Session
from gpu_steps import FAST, settle
from harness import seconds_of
from photos import Photos
from prepared_noise import data_words, write_prepared
from torch import Tensor, nn

from dghin.data.batches import model_inputs
from dghin.data.dataset import PreparedDataset, open_split
from dghin.data.loading import Batch
from dghin.evaluation.evaluate import evaluate_split
from dghin.evaluation.metrics import metrics_from_rows
from dghin.model.dghin import DGHIN
from dghin.run.config import Config, load_config
from dghin.run.folder import RunFolder
from dghin.run.precision import set_deterministic
from dghin.run.stopping import Interrupted
from dghin.training.checkpoint import checkpoints, read_checkpoint
from dghin.training.trainer import train

DEMO = (  # twelve steps in one process, everything written down, no choice left open
    "train.workers=1", "train.batch=12", "train.batch_per_process=12", "train.warmup=2",
    "train.log_every=1",
    "train.iterations=12", "train.validate_every=12", "train.tensorboard=false",
    "train.compile=false", "train.precision=float32", "train.iterations_of=0",
    "train.text_learning_rate_scale=1.0", "train.backbone_learning_rate_scale=1.0",
    "train.keep_maps=false", "train.flip=0",  # its sentences are made of no words
)  # fmt: skip

Trained = Callable[..., dict[str, Tensor]]


def demo(session: Session) -> Lines:
    """8: the demo's training: twice, and stopped and resumed, to the bit; in short precisions."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        before = torch.get_float32_matmul_precision(), torch.get_num_threads()
        products = f"train.matmul_precision={before[0]}"  # the session's TF32 holds here, too
        words = [*DEMO, products, *session.words, *data_words(root / "data")]
        config = load_config("demo", words)
        write_prepared(root / "data", config, {"train": 24, "val": 2}, size=(160, 120))
        try:
            yield from trainings(config, functools.partial(trained, config, session.device), root)
        finally:  # a training sets these for its process
            set_deterministic(False)
            torch.set_float32_matmul_precision(before[0])
            torch.set_num_threads(before[1])


def trainings(config: Config, run: Trained, root: Path) -> Lines:
    """The trainings of `demo`. run(folder, key=value, ...) trains and gives all tensors."""
    steps, exact = config.train.iterations, {"deterministic": True}
    whole = run(root / "whole", **exact)
    yield Line("deterministic, twice", equality(whole, run(root / "again", **exact)))
    run(root / "resumed", stop_at=steps // 2, **exact)
    resumed = run(root / "resumed", **exact)
    what = f"deterministic, stopped after {steps // 2} of {steps} steps and resumed"
    yield Line(what, equality(whole, resumed))
    free = run(root / "free"), run(root / "free again")
    yield Line("not deterministic, twice", equality(*free))
    for precision in ("float16", "bfloat16"):
        run(root / precision, precision=precision)
        yield Line(precision, losses(root / precision))


def trained(
    config: Config, device: torch.device, folder: Path, **options: Any
) -> dict[str, Tensor]:
    """Train in a folder, or go on there, and read what the newest checkpoint holds: weights,
    statistics and moments by name. options: of TrainConfig."""
    settle(device)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, **options))
    try:
        train(config, folder)
    except Interrupted as stop:
        if not options.get("stop_at"):
            raise RuntimeError(f"{folder.name}: the training was stopped") from stop
    state = read_checkpoint(checkpoints(RunFolder(folder).train)[0])
    own = state["optimizer"]
    moments = {
        f"{place} {number} {name}": value
        for place, part in enumerate(own.get("optimizers", [own]))  # several: Muon and AdamW
        for number, values in part["state"].items()
        for name, value in values.items()
    }
    return state["model"] | moments


def equality(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Any]:
    """How many tensors there are and how many differ in some bit."""
    assert one.keys() == other.keys()
    differ = sum(not torch.equal(value, other[name]) for name, value in one.items())
    return {"tensors": len(one), "differ": differ, "equal to the bit": differ == 0}


def losses(folder: Path) -> dict[str, Any]:
    """The first and the last loss of a training, and its skipped steps, by its log."""
    text = RunFolder(folder).log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    found = [line["loss"] for line in lines if line["kind"] == "train" and "loss" in line]
    skipped = sum(line["kind"] == "skipped" for line in lines)
    return {"steps": len(found), "first loss": found[0], "last loss": found[-1],
            "finite": bool(np.isfinite(found).all()), "skipped": skipped}  # fmt: skip


def loading(session: Session) -> Lines:
    """9: what a loader of JPEGs leaves of the fastest step's rate, by its processes."""
    settle(session.device)
    bench, batch = session.bench, session.large[0]
    # compiled as in experiment 6, whose kernels are on the disk then; a loader waits for no other
    options = FAST | {"compile": bench.compiler == "inductor"}
    step, warm = bench.ours(batch, options), [bench.batch(batch)]
    for _ in range(3):
        step(warm)
    with tempfile.TemporaryDirectory() as folder:
        photos = Photos(Path(folder), bench.config)
        for workers in session.workers:
            share = loader_share(step, photos, batch, workers, bench.steps)
            yield Line(f"{workers} workers, batch {batch}", share)


def evaluation(session: Session) -> Lines:
    """10: the same images scored twice in float32 and twice in bfloat16."""
    settle(session.device)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = dataclasses.replace(
            session.bench.config,
            data=load_config("demo", data_words(root)).data,
        )
        write_prepared(root, config, {"val": session.images})
        split = open_split(config, "val")
        model = copy.deepcopy(session.bench.network).eval().to(session.device)
        balance(model, session.bench.batch(2), session.device)
        yield from scores(session, config, model, split)


@torch.no_grad()
def balance(model: DGHIN, batch: Batch, device: torch.device) -> None:
    """Change the last product so that a random network gives about half of the pixels to the
    referent: masks that are all empty would be equal whatever the precision is.

    w1 - w0 of the two classes is made orthogonal to the mean m of what they are multiplied with:
    w1 ← w1 - ((w1 - w0)·m / m·m) m.
    """
    last = [part for part in model.head.modules() if isinstance(part, nn.Conv2d)][-1]
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, given: seen.append(given[0].mean((0, 2, 3))))
    model(**model_inputs(batch, device))
    hook.remove()
    weight, mean = last.weight[:, :, 0, 0], seen[0]  # (2, D), (D,)
    weight[1] -= (weight[1] - weight[0]) @ mean / (mean @ mean) * mean


def scores(session: Session, config: Config, model: DGHIN, split: PreparedDataset) -> Lines:
    """The lines of `evaluation`; the last one compares the precisions."""
    rows: dict[str, pd.DataFrame] = {}
    for precision in ("float32", "bfloat16"):
        asked = dataclasses.replace(config.evaluate, precision=precision)
        own = dataclasses.replace(config, evaluate=asked)
        found: list[pd.DataFrame] = []
        call = functools.partial(_score, model, split, own, found)
        first, again = seconds_of(call), seconds_of(call)
        rows[precision] = found[1]
        yield Line(
            f"{precision}, {session.images} images, {len(split)} expressions",
            {"images/s": session.images / again, "expressions/s": len(split) / again,
             "s the first time": first, "same rows twice": found[0].equals(found[1]),
             "strict mIoU": metrics_from_rows(found[1], "strict")["miou"]},
        )  # fmt: skip
    yield Line("bfloat16 beside float32", apart(*rows.values()))


def _score(model: DGHIN, split: PreparedDataset, config: Config, found: list) -> None:
    found.append(evaluate_split(model, split, config))


def apart(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """How far two lots of rows of the same expressions are from each other, under `strict`."""
    columns = ["strict_intersection", "strict_union"]
    shares = [rows[columns[0]] / rows[columns[1]].clip(lower=1) for rows in (one, other)]
    return {
        "share of rows that differ": float((one[columns] != other[columns]).any(axis=1).mean()),
        "mean difference of IoU": float((shares[0] - shares[1]).abs().mean()),
        "largest difference of IoU": float((shares[0] - shares[1]).abs().max()),
    }
