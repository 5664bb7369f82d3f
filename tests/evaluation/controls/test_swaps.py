"""Left and right, above and below swapped."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from data_preprocess.language.resources import resolve
from dghin.data.dataset import open_split
from dghin.evaluation.controls import SWAPS, alter, exchange
from dghin.evaluation.controls.swaps import swappable


@dataclasses.dataclass
class Split:
    """What `alter` asks of a split."""

    expressions: list
    features: object
    manifest: dict

    def __len__(self):
        return len(self.expressions)


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "train")


def test_a_swap_reads_what_the_tokenizer_makes_of_the_swapped_words(dataset, tiny_config):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve(tiny_config.data.tokenizer))
    for control in SWAPS:
        altered = alter(dataset, control, tiny_config)
        assert 0 < len(altered.indices) < len(dataset)
        for index in range(len(dataset)):
            expected = tokenizer(altered.sentences[index])["input_ids"][:17]
            found = altered.features.word_ids[index]
            assert found[found != 0].tolist() == expected, altered.sentences[index]
            changed = altered.sentences[index] != dataset.expressions[index].sentence
            assert changed == (index in altered.indices)
        assert np.array_equal(altered.features.heads, dataset.features.heads)


def test_words_are_exchanged_whole():
    pairs = SWAPS["left-right"]
    assert exchange("the leftmost, right of the Left", pairs) == "the rightmost, left of the right"
    assert exchange("a bright leftover", pairs) == "a bright leftover"
    assert exchange("upper top above", SWAPS["above-below"]) == "lower bottom below"


def test_pieces_of_longer_words_and_what_is_worn_are_left_alone(dataset, tiny_config):
    """The network would read "righty" for "lefty", and a red bottom is no place."""
    from data_preprocess.language.encoder import LanguageEncoder

    sentences = ["lefty", "left of lefty", "the left star", "topless", "man in red top", "top star"]
    data = tiny_config.data
    encoder = LanguageEncoder(data.tokenizer, data.parser)
    expressions = [SimpleNamespace(sentence=sentence, image="a.jpg") for sentence in sentences]
    features = encoder.encode_many(sentences, progress=False)
    given = Split(expressions, features, dataset.manifest)
    read = {
        sentences[index]: altered.sentences[index]
        for control in SWAPS
        for altered in [alter(given, control, tiny_config)]
        for index in altered.indices
    }
    assert read == {"the left star": "the right star", "top star": "bottom star"}


def test_by_the_texts_alone_the_choice_is_the_same(dataset, tiny_config):
    sentences = [e.sentence for e in dataset.expressions] + ["lefty", "left of lefty", "red top"]
    for control, pairs in SWAPS.items():
        by_ids = alter(dataset, control, tiny_config).indices
        assert by_ids.tolist() == swappable(sentences, pairs).tolist()
