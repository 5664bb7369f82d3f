"""The one evaluation: every expression once, the same digits whatever the batch and the ranks."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from data_preprocess.common import UserError
from dghin.data import open_split
from dghin.distributed import Place
from dghin.evaluate import evaluate_run, evaluate_split, image_batches, rows_path, shuffled
from dghin.metrics import SegmentationMetrics, metrics_from_rows


def with_batch(config, batch):
    return dataclasses.replace(config, evaluate=dataclasses.replace(config.evaluate, batch=batch))


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "val")


def test_every_expression_is_a_row_in_order(tiny_model, dataset, tiny_config):
    rows = evaluate_split(tiny_model, dataset, tiny_config)
    assert rows["sentence"].tolist() == [e.sentence for e in dataset.expressions]
    assert (rows["area"] > 0).all() and (rows["strict_union"] >= rows["area"]).all()
    assert rows["kind"].isin(["attribute", "place", "relation", "ordinal", "superlative"]).all()


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_batch_size_changes_no_digit(tiny_model, dataset, tiny_config, batch):
    expected = evaluate_split(tiny_model, dataset, with_batch(tiny_config, 16))
    found = evaluate_split(tiny_model, dataset, with_batch(tiny_config, batch))
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_expressions_without_padding(dataset, world):
    batches = image_batches(dataset, len(dataset), 4)
    shares = [sum(batches[rank::world], []) for rank in range(world)]
    assert sorted(sum(shares, [])) == list(range(len(dataset)))
    assert Place(0, 1, torch.device("cpu")).is_main


def test_rows_agree_with_the_public_metrics(tiny_model, dataset, tiny_config):
    rows = evaluate_split(tiny_model, dataset, tiny_config)
    for protocol in ("paper", "strict"):
        metrics = SegmentationMetrics(protocol)
        for i in range(len(dataset)):
            sample = dataset[i]
            inputs = {k: torch.as_tensor(sample[k])[None].long()
                      for k in ("word_ids", "attention_mask", "pos")}  # fmt: skip
            adjacency = torch.from_numpy(dataset.features.adjacency(i))[None]
            with torch.inference_mode():
                out = tiny_model(sample["image"][None], **inputs, adjacency=adjacency)
            metrics.update(out.mask[0], dataset.truth(i), dataset.expressions[i].length)
        expected = metrics.compute()
        assert metrics_from_rows(rows, protocol) == expected


def test_limit(tiny_model, dataset, tiny_config):
    assert len(evaluate_split(tiny_model, dataset, tiny_config, limit=3)) == 3


def test_shuffled_takes_another_images_expression(dataset):
    other = shuffled(dataset)
    images = np.array([e.image for e in dataset.expressions])
    assert (images != images[other]).all()
    assert np.array_equal(other, shuffled(dataset))


def test_control_changes_words_only(tiny_model, dataset, tiny_config):
    plain = evaluate_split(tiny_model, dataset, tiny_config)
    control = evaluate_split(tiny_model, dataset, tiny_config, control="shuffled")
    assert control["sentence"].tolist() == plain["sentence"].tolist()
    assert control["area"].tolist() == plain["area"].tolist()
    with pytest.raises(UserError, match="control 'shuffle'.*Did you mean 'shuffled'"):
        evaluate_split(tiny_model, dataset, tiny_config, control="shuffle")


def test_a_run_writes_its_rows(tiny_model, tiny_config, tmp_path):
    results = evaluate_run(tmp_path, tiny_config, ["testA"], ["shuffled"], tiny_model)
    assert set(results) == {"", "shuffled"}
    pd.testing.assert_frame_equal(
        pd.read_parquet(rows_path(tmp_path, "testA")), results[""]["testA"]
    )
    assert rows_path(tmp_path, "testA", "shuffled").is_file()
