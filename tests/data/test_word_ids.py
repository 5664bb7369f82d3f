"""The ids of left, right and their kin, in BERT's vocabulary and in another."""

import dataclasses

import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.language.resources import folder_vocabulary, resolve, vocabulary_digest
from dghin.data.dataset import open_split
from dghin.data.word_ids import BERT_IDS, BERT_VOCABULARY, word_ids


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "train")


def test_known_ids_are_those_of_the_vocabulary(dataset, tiny_config):
    vocabulary = folder_vocabulary(resolve(tiny_config.data.tokenizer))
    assert vocabulary_digest(vocabulary) == BERT_VOCABULARY
    assert {word: vocabulary[word] for word in BERT_IDS} == BERT_IDS
    nowhere = dataclasses.replace(tiny_config.data, tokenizer="nowhere")
    assert word_ids(dataset, dataclasses.replace(tiny_config, data=nowhere)) == BERT_IDS


def test_another_vocabulary_is_read_or_asked_for(dataset, tiny_config, tmp_path):
    words = ["[PAD]", *BERT_IDS]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    settings = dataclasses.replace(tiny_config.data, tokenizer=str(tmp_path))
    config = dataclasses.replace(tiny_config, data=settings)
    digest = vocabulary_digest({word: number for number, word in enumerate(words)})
    dataset.manifest["language"]["tokenizer"] = digest
    assert word_ids(dataset, config) == {
        word: number for number, word in enumerate(words) if number
    }
    dataset.manifest["language"]["tokenizer"] = "another"
    with pytest.raises(
        UserError, match="not the one of these data.*left-right and above-below out"
    ):
        word_ids(dataset, config)
