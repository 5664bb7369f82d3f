"""Single expressions to show: which ones, and what the network looked at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from data_preprocess.language.encoder import Language, LanguageEncoder
from dghin.data.batches import collate, model_inputs
from dghin.data.dataset import PreparedDataset
from dghin.evaluation.metrics import expression_iou, first_protocol
from dghin.model.dghin import DGHIN
from dghin.model.pretrained import load_pretrained
from dghin.run.config import Config

from .observe import LEVELS, Observation, Point, observe


def varied_expressions(dataset: PreparedDataset, count: int) -> list[int]:
    """Expressions of different lengths, from short to long (the first one of each length)."""
    first: dict[int, int] = {}
    for index, expression in enumerate(dataset.expressions):
        first.setdefault(expression.length, index)
    lengths = sorted(first)
    chosen = np.unique(np.linspace(0, len(lengths) - 1, min(count, len(lengths))).astype(int))
    return [first[lengths[i]] for i in chosen]


def encoder_of(config: Config) -> LanguageEncoder:
    """The run's tokenizer and parser (needs spaCy)."""
    data = config.data
    return LanguageEncoder(
        data.tokenizer, data.parser, config.model.words, data.alignment, data.root
    )


def parsed(config: Config, sentences: Sequence[str]) -> list[Language]:
    """Expressions as the network reads them, by the run's tokenizer and parser (needs spaCy)."""
    encoder = encoder_of(config)
    return [encoder(sentence) for sentence in sentences]


def photos_of(
    dataset: PreparedDataset, indices: Sequence[int]
) -> dict[str, tuple[Image.Image, str]]:
    """Photos of expressions, each with its first expression among them: {file name: both}."""
    found: dict[str, tuple[Image.Image, str]] = {}
    for index in indices:
        expression = dataset.expressions[index]
        found.setdefault(expression.image, (dataset.image(index), expression.sentence))
    return found


def ranked(rows: pd.DataFrame, count: int) -> dict[str, list[int]]:
    """The best, median and worst expressions of a split, each of another image, as row numbers.

    A row's number is the expression's place in the split. Under the first protocol of the rows.
    """
    protocol = first_protocol(rows)
    iou = expression_iou(rows[f"{protocol}_intersection"], rows[f"{protocol}_union"])
    order = np.argsort(-iou, kind="stable")
    middle = sorted(range(len(order)), key=lambda place: abs(place - len(order) // 2))
    return {
        "best": _of_other_images(rows, order, count),
        "median": _of_other_images(rows, order[middle], count),
        "worst": _of_other_images(rows, order[::-1], count),
    }


def _of_other_images(rows: pd.DataFrame, order: np.ndarray, count: int) -> list[int]:
    images: dict[str, int] = {}
    for number in order:
        images.setdefault(rows["image"].iloc[number], int(number))
        if len(images) == count:
            break
    return list(images.values())


def points_of(truth: np.ndarray) -> list[Point]:
    """Two telling places of a mask (H, W): deep inside the object, and far from it."""
    from scipy.ndimage import distance_transform_edt

    places = []
    for part in (truth, ~truth):
        depth = distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), truth.shape)
        places.append(((row + 0.5) / truth.shape[0], (column + 0.5) / truth.shape[1]))
    return places


def visual_rows(
    model: DGHIN, dataset: PreparedDataset, index: int, points: Sequence[Point]
) -> dict[int, np.ndarray]:
    """Rows of the soft visual adjacency at the points: {level: (P, h, w)}; see `observe`."""
    seen = look(model, dataset, index)
    return {level: seen.rows_at(level, points) for level in LEVELS}


def word_shares(
    model: DGHIN, dataset: PreparedDataset, index: int, language: Language, level: int
) -> tuple[list[str], np.ndarray]:
    """Every word's share in every patch at the entity level: labels, shares (labels, h, w).

    Padding takes part, too: its positions are added up under one label.
    """
    return look(model, dataset, index).labelled_shares(level, language.pieces)


@torch.inference_mode()
def look(model: DGHIN, dataset: PreparedDataset, index: int) -> Observation:
    """One forward pass, observed."""
    with observe(model) as seen:
        model(**_inputs(model, dataset, [index]))
    return seen


@torch.no_grad()
def untrained_model(config: Config, dataset: PreparedDataset, images: int = 8) -> DGHIN:
    """The network before training: pretrained encoders, the rest random.

    Its batch norms take their statistics of `images` images, as training's first step would.
    """
    torch.manual_seed(config.train.seed)
    model = DGHIN(config.model)
    load_pretrained(model, config)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over what is seen
    first = {expression.image: i for i, expression in reversed([*enumerate(dataset.expressions)])}
    chosen = list(first.values())[-images:]
    chosen *= 2 if len(chosen) == 1 else 1  # one sample alone has no batch statistics
    model.train()(**_inputs(model, dataset, chosen))
    return model.eval()


def _inputs(model: DGHIN, dataset: PreparedDataset, indices: Sequence[int]) -> dict[str, Any]:
    batch = collate([dataset.inputs(index) for index in indices], share_images=False)
    return model_inputs(batch, next(model.parameters()).device)
