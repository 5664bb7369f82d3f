"""Controls: what the network reads, or sees, instead of its own."""

import dataclasses

import numpy as np
import pytest
from helpers.rows import make_rows

from data_preprocess.base.errors import UserError
from dghin.data.dataset import open_split
from dghin.evaluation.controls import MERGED, OF_TEXTS, SWAPS, alter
from dghin.report.tables.scores import changed_share


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "train")


def test_only_the_plain_inputs_are_all_the_splits_own(dataset, tiny_config):
    plain = alter(dataset, "", tiny_config)
    assert plain.features is dataset.features and plain.image("a.jpg") == "a.jpg"
    other = alter(dataset, "other-image", tiny_config)
    assert other.features is dataset.features
    name = dataset.expressions[0].image
    assert other.image(name) != name


def test_rows_of_older_versions_do_not_say_what_changed():
    assert changed_share(make_rows("val", 3)) is None


@pytest.mark.parametrize("control", OF_TEXTS)
def test_a_control_of_the_text_changes_what_it_scores_and_nothing_else(
    dataset, tiny_config, control
):
    altered = alter(dataset, control, tiny_config, encode=False)
    before = [expression.sentence for expression in dataset.expressions]
    changed = [i for i, text in enumerate(altered.sentences) if text != before[i]]
    assert set(changed) <= set(altered.indices.tolist())
    if control != MERGED:  # an object with one sentence is read as it is
        assert changed == altered.indices.tolist()
    assert changed and altered.features is dataset.features and not altered.images


def test_features_are_those_of_the_changed_sentences(dataset, tiny_config, encoder):
    altered = alter(dataset, "negation", tiny_config)
    texts = [altered.sentences[index] for index in altered.indices]
    expected = encoder.encode_many(texts, progress=False)
    assert np.array_equal(altered.features.word_ids[altered.indices], expected.word_ids)
    assert np.array_equal(altered.features.heads[altered.indices], expected.heads)


def test_texts_alone_need_no_word_ids(dataset, tiny_config):
    """A model that reads texts can be asked where the tokenizer of the data is not at hand."""
    expected = alter(dataset, "left-right", tiny_config)
    dataset.manifest["language"]["tokenizer"] = "another"
    with pytest.raises(UserError, match="not the one of these data"):
        alter(dataset, "left-right", tiny_config)
    found = alter(dataset, "left-right", tiny_config, encode=False)
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.sentences == expected.sentences


def test_text_controls_need_no_parser_without_features(dataset, tiny_config):
    nowhere = dataclasses.replace(tiny_config.data, parser="nowhere")
    config = dataclasses.replace(tiny_config, data=nowhere)
    for control in (*OF_TEXTS, *SWAPS, "blind"):
        assert len(alter(dataset, control, config, encode=False).indices)
    with pytest.raises(UserError, match="nowhere"):
        alter(dataset, "word-order", config)
