"""Another image's expression, another photo, no words."""

import numpy as np
import pytest

from data_preprocess.language.resources import resolve
from dghin.data.dataset import open_split
from dghin.evaluation.controls import alter, other_images, shuffled


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "train")


def test_shuffled_takes_another_images_expression(dataset):
    other = shuffled(dataset)
    images = np.array([e.image for e in dataset.expressions])
    assert (images != images[other]).all()
    assert np.array_equal(other, shuffled(dataset))


def test_every_image_gets_another_one_once(dataset):
    shown = other_images(dataset)
    names = {e.image for e in dataset.expressions}
    assert set(shown) == set(shown.values()) == names
    assert all(this != that for this, that in shown.items())


def test_blind_reads_what_the_tokenizer_makes_of_no_words(dataset, tiny_config):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve(tiny_config.data.tokenizer))
    altered = alter(dataset, "blind", tiny_config)
    expected = tokenizer("", padding="max_length", max_length=17)
    assert (altered.features.word_ids == expected["input_ids"]).all()
    assert (altered.features.attention_mask == expected["attention_mask"]).all()
    assert (altered.features.pos == 0).all() and (altered.features.heads == -1).all()
    assert dataset.features.word_ids.any(), "the split's own features are as they were"
