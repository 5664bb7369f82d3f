"""Changed sentences are encoded as the split's own were."""

import dataclasses

import numpy as np
import pytest

from data_preprocess.base.errors import UserError
from dghin.data.dataset import open_split
from dghin.evaluation.controls.encoding import encoded


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "val")


def test_the_same_sentences_have_the_prepared_features(dataset, tiny_config):
    indices = np.arange(len(dataset))[::2]
    sentences = [dataset.expressions[index].sentence for index in indices]
    found = encoded(dataset, sentences, indices, tiny_config)
    for field in dataclasses.fields(found):
        expected = getattr(dataset.features, field.name)
        assert np.array_equal(getattr(found, field.name), expected), field.name


def test_only_the_asked_rows_change(dataset, tiny_config):
    before = dataset.features.word_ids.copy()
    found = encoded(dataset, ["the blue ring"], np.array([3]), tiny_config)
    rows = np.flatnonzero((found.word_ids != before).any(axis=1))
    assert rows.tolist() == [3]
    assert np.array_equal(dataset.features.word_ids, before)


def test_another_parser_is_refused(dataset, tiny_config):
    dataset.manifest["language"]["parser_version"] = "1.0"
    with pytest.raises(UserError, match="parser_version '1.0'.*prepare the data anew"):
        encoded(dataset, ["star"], np.array([0]), tiny_config)
