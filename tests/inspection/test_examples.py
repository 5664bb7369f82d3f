"""Single expressions: chosen by rule, and what is shown of them is what the network computed."""

import numpy as np
import pytest
import torch
from helpers.rows import make_rows

from dghin.data.dataset import open_split
from dghin.evaluation.metrics import expression_iou
from dghin.inspection.examples import (
    parsed,
    points_of,
    ranked,
    untrained_model,
    varied_expressions,
    visual_rows,
    word_shares,
)
from dghin.inspection.observe import LEVELS
from dghin.report.figures.masks import object_samples


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "train")


def test_objects_are_of_different_images_with_all_their_expressions(dataset):
    samples = object_samples(dataset, 4)
    assert len(samples) == 4
    said = {e.sentence for e in dataset.expressions}
    assert all(set(sample.expressions) <= said for sample in samples)
    assert all(sample.truth.shape == sample.photo.shape[:2] for sample in samples)
    assert len(object_samples(dataset, 10_000)) == len({e.image for e in dataset.expressions})


def test_expressions_from_short_to_long(dataset):
    lengths = [dataset.expressions[i].length for i in varied_expressions(dataset, 3)]
    assert lengths == sorted(set(lengths))
    assert lengths[-1] == max(e.length for e in dataset.expressions)


def test_ranked_by_iou_each_of_another_image():
    rows = make_rows("val", 40)
    iou = expression_iou(rows.strict_intersection, rows.strict_union)
    chosen = ranked(rows, 3)
    assert chosen["best"][0] == iou.argmax() and chosen["worst"][0] == iou.argmin()
    middle = iou[chosen["median"][0]]
    assert abs((iou > middle).sum() - (iou < middle).sum()) <= 1
    assert all(len({rows.image[i] for i in numbers}) == 3 for numbers in chosen.values())
    assert len(ranked(rows, 500)["best"]) == rows.image.nunique()


def test_points_lie_inside_and_outside():
    truth = np.zeros((20, 40), bool)
    truth[2:9, 3:10] = True
    inside, outside = points_of(truth)
    assert truth[int(inside[0] * 20), int(inside[1] * 40)]
    assert not truth[int(outside[0] * 20), int(outside[1] * 40)]
    assert points_of(np.ones((5, 5), bool))[0] == (0.5, 0.5)


def test_rows_of_the_visual_graph_sum_to_one(dataset, tiny_model):
    rows = visual_rows(tiny_model, dataset, 0, [(0.1, 0.1), (0.9, 0.5)])
    assert set(rows) == set(LEVELS)
    for level, weights in rows.items():
        side = tiny_model.config.image_size // 2 ** (level + 2)
        assert weights.shape == (2, side, side)
        assert weights.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-5)


def test_shares_of_all_words_and_padding_sum_to_one(dataset, tiny_config, tiny_model):
    (language,) = parsed(tiny_config, [dataset.expressions[0].sentence])
    labels, shares = word_shares(tiny_model, dataset, 0, language, level=1)
    assert labels == ["[CLS]", *language.pieces, "[SEP]", "padding"]
    assert len(labels) == len(shares)
    assert shares.sum(axis=0) == pytest.approx(1, abs=1e-5)


def test_a_long_sentence_has_no_padding(dataset, tiny_config, tiny_model):
    (language,) = parsed(tiny_config, [" ".join(["red"] * 30)])
    labels, shares = word_shares(tiny_model, dataset, 0, language, level=1)
    assert len(labels) == len(shares) == tiny_config.model.words and "padding" not in labels


def test_the_untrained_network_knows_the_images_scale(dataset, tiny_config):
    model = untrained_model(tiny_config, dataset, images=4)
    assert not model.training
    assert model.image_norm.running_mean.min() > 1  # of pixels in 0..255
    again = untrained_model(tiny_config, dataset, images=4)
    assert torch.equal(model.head[0][0].weight, again.head[0][0].weight)
