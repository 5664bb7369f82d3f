"""The one evaluation: trainer, notebooks and command line use this.

    dghin evaluate run=demo                every test split of the run, and val
    dghin evaluate run=demo split=testA           one split
    dghin evaluate run=demo control=all  under all controls, too (controls.py)
    dghin evaluate run=theirs config=refcoco model=FOLDER  other weights
    torchrun --standalone --nproc-per-node=4 -m dghin evaluate run=demo       shared out

Every expression is scored under every protocol (dghin.evaluation.metrics) and becomes one row of
reports/<run>/rows/<split>.parquet; metrics.json and the tables are computed from those rows. The
rows carry where they come from: commit, checkpoint, data and command (dghin.evaluation.provenance).
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path
from data_preprocess.base.settings import difference, to_mapping
from dghin.data.dataset import PreparedDataset, open_split
from dghin.data.loading import load_batches
from dghin.model.dghin import DGHIN, EncodedImage
from dghin.run.config import Config
from dghin.run.folder import RunFolder
from dghin.run.precision import autocast
from dghin.run.processes import Place, gather, threads

from .forward import AT_ONCE, segment
from .metrics import PROTOCOLS, compare, intersection_union, predict_mask

if TYPE_CHECKING:  # what only controls and rows on the disk need is imported where it is needed:
    from .controls import Altered  # a training does not depend on it

log = logging.getLogger(__name__)
Rows = dict[str, list[dict[str, Any]]]  # by control


class Pass(NamedTuple):
    """One image with the expressions of it that go through the network together."""

    number: int
    image: Tensor  # (3, S, S) uint8
    shown: Tensor | None  # the image in its place under the control `other-image`
    truths: list[np.ndarray]  # the expressions' masks at the photo's own size, (H, W) bool


class Passes:
    """What evaluation reads, pass by pass."""

    def __init__(self, dataset: PreparedDataset, groups: list[list[int]], other: "Altered | None"):
        self.dataset, self.groups, self.other = dataset, groups, other

    def name(self, number: int) -> str:
        return self.dataset.name(self.groups[number][0])

    def __getitem__(self, number: int) -> Pass:
        members = self.groups[number]
        name = self.dataset.expressions[members[0]].image
        image = self.dataset.resized_image(name)
        shown = self.dataset.resized_image(self.other.image(name)) if self.other else None
        return Pass(number, image, shown, [self.dataset.truth(index) for index in members])


def evaluate_split(
    model: DGHIN,
    dataset: PreparedDataset,
    config: Config,
    place: Place | None = None,
    limit: int = 0,
) -> pd.DataFrame:
    """Score every expression of a split: one row each, on every rank.

    limit: the first so many expressions only.
    """
    return evaluate_with_controls(model, dataset, config, (), place, limit)[""]


def evaluate_with_controls(
    model: DGHIN,
    dataset: PreparedDataset,
    config: Config,
    controls: Sequence[str],
    place: Place | None = None,
    limit: int = 0,
    progress: bool = False,
) -> dict[str, pd.DataFrame]:
    """Score a split as it is ("") and under controls: {control: rows}, on every rank.

    The network sees an image once for (up to AT_ONCE of) its expressions and all controls of the
    words. Ranks share the images without padding, so that every expression is counted once.
    """
    from .controls import alter

    place = place or Place(0, 1, next(model.parameters()).device)
    count = min(limit or config.evaluate.expressions or len(dataset), len(dataset))
    altered = {control: alter(dataset, control, config) for control in ("", *controls)}
    groups = image_groups(dataset, count)[place.rank :: place.world]
    passes = Passes(dataset, groups, altered.get("other-image"))
    total, size = len(groups), config.evaluate.batch
    batches = [list(range(start, min(start + size, total))) for start in range(0, total, size)]
    loaded = load_batches(passes, batches, list, config.evaluate.workers)
    model.eval()
    own: Rows = {control: [] for control in altered}
    shown = tqdm(
        total=len(groups), desc=dataset.split, unit="image", disable=not progress, mininterval=2
    )
    with contextlib.closing(loaded), shown:
        for batch in loaded:
            for one in batch:
                members = groups[one.number]
                with autocast(config.evaluate.precision, place.device):
                    found = score_pass(model, dataset, one, members, altered)
                for control, rows in found.items():
                    own[control] += rows
            shown.update(len(batch))
    parts = gather(own, place)
    frames = {}
    for control, inputs in altered.items():
        rows = [row for part in parts for row in part[control]]
        frames[control] = _frame(rows, int((inputs.indices < count).sum()), dataset.split)
    return frames


def _frame(rows: list[dict[str, Any]], expected: int, split: str) -> pd.DataFrame:
    """Rows of all ranks in the order of the split; a wrong number of them is an error."""
    if len(rows) != expected:
        raise RuntimeError(f"{len(rows)} rows for {expected} expressions of {split}")
    frame = pd.DataFrame(rows)
    if rows:
        frame = frame.sort_values("index").drop(columns="index").reset_index(drop=True)
        frame = frame.astype({"distractors": "Int64", "depth": "Int64"})
    return frame


def image_groups(dataset: PreparedDataset, count: int) -> list[list[int]]:
    """The first `count` expressions, by image: each group is one pass of the network.

    A group depends on the data only, and so does its arithmetic: no number of ranks or workers,
    and no size of batches, changes a digit of the result.
    """
    images: dict[str, list[int]] = {}
    for index in range(count):
        images.setdefault(dataset.expressions[index].image, []).append(index)
    return [
        members[start : start + AT_ONCE]
        for members in images.values()
        for start in range(0, len(members), AT_ONCE)
    ]


@torch.inference_mode()
def score_pass(
    model: DGHIN,
    dataset: PreparedDataset,
    one: Pass,
    members: Sequence[int],
    altered: "Mapping[str, Altered]",
) -> Rows:
    """The rows of one pass, by control: `members` are its expressions; "" comes first."""
    device = next(model.parameters()).device
    image = model.encode_image(one.image[None].to(device))
    answers: dict[int, Tensor] = {}  # the plain masks, which those under controls are compared with
    rows: Rows = {}
    for control, inputs in altered.items():
        chosen = np.intersect1d(members, inputs.indices)
        rows[control] = []
        if not len(chosen):
            continue
        other = control == "other-image"
        seen = model.encode_image(one.shown[None].to(device)) if other else image
        logits = answer(model, seen, inputs, chosen, repeats=control != "")
        for index, of_one in zip(chosen.tolist(), logits, strict=True):
            truth = one.truths[members.index(index)]
            row = {"index": index, **describe(dataset, index, truth)}
            counts, mask = score(of_one, truth)
            row |= counts
            if control == "":
                answers[index] = mask
            else:
                row["read"] = inputs.sentences[index]
                same = intersection_union(mask, answers[index])
                row["agreement_intersection"], row["agreement_union"] = same
            rows[control].append(row)
    return rows


def answer(
    model: DGHIN, image: EncodedImage, inputs: "Altered", chosen: np.ndarray, repeats: bool
) -> Tensor:
    """The logits (E, 2, S, S) of some expressions about one image.

    repeats: expressions that read the same go through the network once.
    """
    features, back = inputs.features[chosen], np.arange(len(chosen))
    if repeats:
        read = np.hstack([features.word_ids, features.attention_mask, features.pos, features.heads])
        _, first, back = np.unique(read, axis=0, return_index=True, return_inverse=True)
        features = features[first]
    logits = segment(model, image, features)
    return logits[torch.from_numpy(back.reshape(-1)).to(logits.device)]


def score(logits: Tensor, truth: np.ndarray) -> tuple[dict[str, int], Tensor]:
    """Intersection and union of one expression under every protocol, and its strict mask.

    logits (2, S, S), truth (H, W).
    """
    target = torch.from_numpy(truth).to(logits.device)
    masks = {p: predict_mask(logits, truth.shape, p) for p in PROTOCOLS}
    counts = {}
    for protocol, mask in masks.items():
        pair = compare(mask, target, protocol)
        counts[f"{protocol}_intersection"], counts[f"{protocol}_union"] = pair
    return counts, masks["strict"]


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
        "distractors": expression.distractors,
        "depth": expression.depth,
        "height": truth.shape[0],
        "width": truth.shape[1],
        "area": int(truth.sum()),
    }


def evaluate_run(
    folder: Path,
    config: Config,
    splits: Sequence[str] = (),
    controls: Sequence[str] = (),
    model: DGHIN | None = None,
    place: Place | None = None,
    weights: Path | None = None,
) -> dict[str, dict[str, pd.DataFrame]]:
    """Score splits (default: val and the test splits) with the run's best weights; write rows.

    weights: the folder that `model` is from, where it is not the run's own (without it, the rows
    do not say which weights a given `model` has).
    → {"": {split: rows}, control: {split: rows}}, on every rank; the main one writes.
    """
    from .controls import check_control
    from .provenance import provenance

    place = place or Place(0, 1, Place.here().device)
    for control in controls:
        check_control(control)
    if model is None:
        weights = weights or RunFolder(folder).best
        model = DGHIN.from_pretrained(weights)
    if changed := difference(to_mapping(config.model), to_mapping(model.config)):
        raise UserError(
            f"{weights or 'the model'}: a model of other settings (key: asked, there): "
            f"{changed}. Leave the model's settings out, or train them in another run."
        )
    model.to(place.device)
    torch.set_num_threads(threads(config.train.threads))
    names = list(splits) or [s for s in (config.data.val_split, *config.data.test_splits) if s]
    datasets = {name: open_split(config, name) for name in names}
    origin = provenance(config, weights) if place.is_main else {}
    results: dict[str, dict[str, pd.DataFrame]] = {}
    for name, dataset in datasets.items():
        possible = possible_controls(dataset, controls)
        found = evaluate_with_controls(
            model, dataset, config, possible, place, progress=place.is_main
        )
        for control, rows in found.items():
            if rows.empty:
                log.warning("%s: no expression that '%s' could change", name, control)
                if place.is_main:  # rows of an earlier evaluation
                    RunFolder(folder).rows(name, control).unlink(missing_ok=True)
                continue
            rows.attrs["provenance"] = origin
            if place.is_main:
                with atomic_path(RunFolder(folder).rows(name, control)) as temporary:
                    rows.to_parquet(temporary, index=False)
            results.setdefault(control, {})[name] = rows
    return {name: results[name] for name in ("", *controls) if name in results}


def possible_controls(dataset: PreparedDataset, controls: Sequence[str]) -> list[str]:
    """The controls that a split can be scored under; of the others it is said why not."""
    from .controls import needs_other_images

    if len({expression.image for expression in dataset.expressions}) > 1:
        return list(controls)
    for control in filter(needs_other_images, controls):
        log.warning("%s: one image only, so that '%s' cannot be scored", dataset.split, control)
    return [control for control in controls if not needs_other_images(control)]
