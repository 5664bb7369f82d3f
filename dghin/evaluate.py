"""The one evaluation: trainer, notebooks and command line use this.

    python -m dghin.evaluate run=demo                       every test split of the run, and val
    python -m dghin.evaluate run=demo split=testA           one split
    python -m dghin.evaluate run=demo control=shuffled      with other images' expressions
    python -m dghin.evaluate run=theirs config=refcoco model=FOLDER   weights from elsewhere
    torchrun --standalone --nproc-per-node=4 -m dghin.evaluate run=demo       shared out

Every expression is scored at the photo's own size, under both protocols, and becomes one row
of reports/<run>/rows/<split>.parquet; metrics.json and the tables are computed from those rows.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from data_preprocess.common import UserError, atomic_path, unknown_name
from data_preprocess.settings import difference, to_mapping

from .cli import read_words, run_cli
from .config import Config, load_config, save_config
from .data import PreparedDataset, collate, model_inputs, open_split
from .distributed import Place, gather, join, leave, threads
from .loading import load_batches
from .metrics import PROTOCOLS, intersection_union, predict_mask
from .model import DGHIN

log = logging.getLogger(__name__)
CONTROLS = ("shuffled",)
AT_ONCE = 16  # expressions of one image that go through the network together


class Samples:
    """What evaluation reads of an expression: network inputs, and the truth at its own size."""

    def __init__(self, dataset: PreparedDataset, language: np.ndarray):
        self.dataset, self.language = dataset, language

    def name(self, index: int) -> str:
        return self.dataset.name(index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        inputs = self.dataset.inputs(index, int(self.language[index]))
        return inputs | {"truth": self.dataset.truth(index)}


def evaluate_split(
    model: DGHIN,
    dataset: PreparedDataset,
    config: Config,
    control: str | None = None,
    place: Place | None = None,
    limit: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Score every expression of a split: one row each, on every rank.

    The network sees every image once for all its expressions. Ranks share the images without
    padding, so that every expression is counted once. limit: the first so many expressions only.
    """
    place = place or Place(0, 1, next(model.parameters()).device)
    if control is not None and control not in CONTROLS:
        raise unknown_name("control", control, CONTROLS)
    count = min(limit or config.evaluate.expressions or len(dataset), len(dataset))
    language = shuffled(dataset) if control == "shuffled" else np.arange(len(dataset))
    groups = image_groups(dataset, count)[place.rank :: place.world]
    samples, workers = Samples(dataset, language), config.evaluate.workers
    batches = load_batches(samples, groups, _collate, workers)
    model.eval()
    shown = tqdm(
        batches, dataset.split, len(groups), unit="image", disable=not progress, mininterval=2
    )
    with contextlib.closing(batches):
        own = [row for batch in shown for row in score_batch(model, dataset, batch, place.device)]
    rows = [row for part in gather(own, place) for row in part]
    frame = pd.DataFrame(rows).sort_values("index").drop(columns="index").reset_index(drop=True)
    if len(frame) != count:
        raise RuntimeError(f"{len(frame)} rows for {count} expressions of {dataset.split}")
    return frame


def image_groups(dataset: PreparedDataset, count: int) -> list[list[int]]:
    """The first `count` expressions, by image: each group is one pass of the network.

    A group depends on the data only, and so does its arithmetic: no number of ranks or workers
    changes a digit of the result.
    """
    images: dict[str, list[int]] = {}
    for index in range(count):
        images.setdefault(dataset.expressions[index].image, []).append(index)
    return [
        members[start : start + AT_ONCE]
        for members in images.values()
        for start in range(0, len(members), AT_ONCE)
    ]


def shuffled(dataset: PreparedDataset, seed: int = 0) -> np.ndarray:
    """For every expression another one, of another image: the language control. (N,) int."""
    images = np.array([expression.image for expression in dataset.expressions])
    if len(set(images)) < 2:
        raise UserError(f"{dataset.split}: one image only; 'shuffled' needs other images.")
    order = np.random.default_rng(seed).permutation(len(images))
    position = {index: place for place, index in enumerate(order)}
    other = np.empty(len(images), dtype=np.int64)
    for index in range(len(images)):
        step = position[index] + 1
        while images[order[step % len(order)]] == images[index]:
            step += 1
        other[index] = order[step % len(order)]
    return other


@torch.inference_mode()
def score_batch(
    model: DGHIN, dataset: PreparedDataset, batch: dict[str, Any], device: torch.device
) -> Iterator[dict[str, Any]]:
    """One row an expression of the batch."""
    out = model(**model_inputs(batch, device))
    for index, logits, truth in zip(batch["index"].tolist(), out.mask, batch["truth"], strict=True):
        yield {"index": index, **describe(dataset, index, truth), **score(logits, truth)}


def score(logits: torch.Tensor, truth: np.ndarray) -> dict[str, int]:
    """Intersection and union of one expression under every protocol: logits (2, S, S), (H, W)."""
    counts = {}
    for protocol in PROTOCOLS:
        mask = predict_mask(logits.float(), truth.shape, protocol)
        pair = intersection_union(mask, truth)
        counts[f"{protocol}_intersection"], counts[f"{protocol}_union"] = map(int, pair)
    return counts


def describe(dataset: PreparedDataset, index: int, truth: np.ndarray) -> dict[str, Any]:
    """The columns of a row that do not depend on the model."""
    expression = dataset.expressions[index]
    return {
        "dataset": dataset.dataset,
        "split": dataset.split,
        "segment_id": expression.segment_id,
        "sentence_index": expression.sentence_index,
        "sentence": expression.sentence,
        "kind": expression.kind,
        "image": expression.image,
        "length": expression.length,
        "targets": expression.targets,
        "height": truth.shape[0],
        "width": truth.shape[1],
        "area": int(truth.sum()),
    }


def _collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    truths = [sample.pop("truth") for sample in samples]
    return collate(samples, share_images=True) | {"truth": truths}


def rows_path(folder: Path, split: str, control: str | None = None) -> Path:
    """Where the rows of a split are kept in a run's folder."""
    return folder / "rows" / (control or "") / f"{split}.parquet"


def evaluate_run(
    folder: Path,
    config: Config,
    splits: Sequence[str] = (),
    controls: Sequence[str] = (),
    model: DGHIN | None = None,
    place: Place | None = None,
) -> dict[str, dict[str, pd.DataFrame]]:
    """Score splits (default: val and the test splits) with the run's best weights; write rows.

    → {"": {split: rows}, control: {split: rows}}, on every rank; the main one writes.
    """
    place = place or Place(0, 1, Place.here().device)
    model = model or DGHIN.from_pretrained(folder / "train" / "best")
    if changed := difference(to_mapping(config.model), to_mapping(model.config)):
        raise UserError(
            f"{folder / 'train' / 'best'}: a model of other settings (key: asked, there): "
            f"{changed}. Leave the model's settings out, or train them in another run."
        )
    model.to(place.device)
    torch.set_num_threads(threads(config.train.threads))
    names = list(splits) or [s for s in (config.data.val_split, *config.data.test_splits) if s]
    datasets = {name: open_split(config, name) for name in names}
    results: dict[str, dict[str, pd.DataFrame]] = {}
    for control in ("", *controls):
        for name, dataset in datasets.items():
            if control and len({expression.image for expression in dataset.expressions}) < 2:
                log.warning("%s: one image only, so that '%s' cannot be scored", name, control)
                continue
            rows = evaluate_split(
                model, dataset, config, control or None, place, progress=place.is_main
            )
            if place.is_main:
                with atomic_path(rows_path(folder, name, control)) as temporary:
                    rows.to_parquet(temporary, index=False)
            results.setdefault(control, {})[name] = rows
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    from .environment import record_environment
    from .tables import metrics_table, read_results, write_results

    own = {"run": "demo", "split": "", "control": "", "model": "", "config": ""}
    own["reports"] = "reports"
    values, words = read_words("dghin.evaluate", __doc__, own, arguments)
    folder = Path(values["reports"]) / values["run"]
    if not values["config"] and not (folder / "config.yaml").is_file():
        raise UserError(
            f"{folder / 'config.yaml'}: no such run. Train it first: "
            f"python -m dghin.train config=NAME run={values['run']}"
        )
    config = load_config(values["config"] or str(folder / "config.yaml"), words)
    model = DGHIN.from_pretrained(values["model"]) if values["model"] else None
    splits = [values["split"]] if values["split"] else []
    controls = [values["control"]] if values["control"] else []
    place = join()
    try:
        if place.is_main:
            if values["config"]:
                save_config(config, folder / "config.yaml")
            record_environment(folder, config, "evaluate")
        results = evaluate_run(folder, config, splits, controls, model, place)
        if place.is_main:
            write_results(read_results(folder), folder)  # with what was scored before
            print(metrics_table(results).round(2).to_string(index=False))
    finally:
        leave()


if __name__ == "__main__":
    run_cli(main)
