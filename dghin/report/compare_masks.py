"""The same expressions under several runs: which ones, and the masks that every run draws.

    compared_masks(runs)         # {"apart": {run: samples}, "random": {run: samples}}

Which are shown follows from the rows, by a rule and a seed; drawing them needs every run's stored
answers and its prepared data.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data_preprocess.base.errors import UserError
from dghin.data.split import open_split
from dghin.evaluation.kept import stored_samples
from dghin.evaluation.metrics import MaskSample, expression_iou, first_protocol
from dghin.evaluation.uncertainty import expression_keys
from dghin.report.tables.compare import ComparedRun

from .masks import check_places

log = logging.getLogger(__name__)
SHOWN = 4  # expressions of each choice
MOST = 5  # runs side by side
Samples = Mapping[str, list[MaskSample]]  # by run


def compared_masks(runs: Sequence[ComparedRun], seed: int = 0) -> dict[str, Samples]:
    """The masks to show, by choice: those the runs are furthest apart on, and random ones.

    Empty, with a line in the log, where a run has no stored masks, or not the data of its rows, or
    where the runs share no split. Of more than MOST runs the first ones are shown.
    """
    runs = runs[:MOST]
    try:
        split = shared_split(runs)
        numbers = {run.name: places(run.splits[split]) for run in runs}
        chosen = choices(runs, split, seed)
        drawn = {run.name: _draw(run, split, numbers[run.name], chosen) for run in runs}
    except (UserError, OSError) as error:
        log.info("no masks side by side: %s", error)
        return {}
    return {
        choice: {run: samples[choice] for run, samples in drawn.items()}
        for choice, keys in chosen.items()
        if keys
    }


def shared_split(runs: Sequence[ComparedRun]) -> str:
    """The first test split that all runs were scored on, else the first split at all."""
    names = [name for name in runs[0].splits if all(name in run.splits for run in runs)]
    if not names:
        raise UserError("the runs were scored on no common split.")
    tests = runs[0].config.data.test_splits if runs[0].config else ()
    return next((name for name in names if name in tests), names[0])


def places(rows: pd.DataFrame) -> dict[tuple, int]:
    """Every expression's place in the split: a row's number."""
    return {key: number for number, key in enumerate(expression_keys(rows))}


def choices(runs: Sequence[ComparedRun], split: str, seed: int) -> dict[str, list[tuple]]:
    """The expressions to show, by their keys: SHOWN of each choice, each of another image."""
    tables = []
    for run in runs:
        rows = run.splits[split]
        protocol = first_protocol(rows)
        iou = expression_iou(rows[f"{protocol}_intersection"], rows[f"{protocol}_union"])
        tables.append(dict(zip(expression_keys(rows), iou.tolist(), strict=True)))
    images = dict(
        zip(expression_keys(runs[0].splits[split]), runs[0].splits[split]["image"], strict=True)
    )
    shared = [key for key in images if all(key in table for table in tables)]
    scores = np.array([[table[key] for table in tables] for key in shared])
    if not len(shared):
        raise UserError(f"the runs share no expression of {split}.")
    apart = np.argsort(-np.ptp(scores, axis=1), kind="stable")
    apart = [shared[place] for place in apart if np.ptp(scores[place]) > 0]
    drawn = [shared[place] for place in np.random.default_rng(seed).permutation(len(shared))]
    first = _of_other_images(apart, images, set())
    taken = {images[key] for key in first}
    return {"apart": first, "random": _of_other_images(drawn, images, taken)}


def _of_other_images(
    keys: Sequence[tuple], images: Mapping[tuple, str], taken: set[str]
) -> list[tuple]:
    found: dict[str, tuple] = {}
    for key in keys:
        if images[key] not in taken:
            found.setdefault(images[key], key)
        if len(found) == SHOWN:
            break
    return list(found.values())


def _draw(
    run: ComparedRun, split: str, numbers: Mapping[tuple, int], chosen: Mapping[str, list[tuple]]
) -> dict[str, list[MaskSample]]:
    """One run's masks of the chosen expressions, by choice."""
    if run.config is None:
        raise UserError(f"{run.folder}: has no config.yaml, which says where its data are.")
    dataset = open_split(run.config, split)
    places = {choice: [numbers[key] for key in keys] for choice, keys in chosen.items()}
    for shown in places.values():
        check_places(run.splits[split], dataset, shown)
    return {choice: stored_samples(run.folder, dataset, shown) for choice, shown in places.items()}
