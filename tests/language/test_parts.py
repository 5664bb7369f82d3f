"""Language features in parts: the same on any number of cores, and after any interruption."""

import dataclasses

import numpy as np
import pytest
from helpers.raw_trees import LANGUAGE, make_old, tree_bytes, write_refer

from data_preprocess.base.errors import UserError
from data_preprocess.base.workers import run_tasks, workers_for
from data_preprocess.language import parts as language_parts
from data_preprocess.language.encoder import LanguageEncoder
from data_preprocess.language.parts import encode_in_parts, remove_parts
from data_preprocess.prepared.one_dataset import PrepareSettings
from data_preprocess.prepared.prepare import prepare

WORDS, SIDES = ("red", "big", "left", "old"), ("left", "right", "top")
SENTENCES = [f"the {word} thing on the {side}" for word in WORDS for side in SIDES]
SENTENCES += ["dog", "the red thing on the left", "dog"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(language_parts, "PART", 5)


def assert_equal(one, other):
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_parts_make_no_difference(encoder, tmp_path, workers):
    found = encode_in_parts(encoder, SENTENCES, tmp_path, workers)
    assert_equal(found, encoder.encode_many(SENTENCES, progress=False))
    assert len(list(tmp_path.glob("*.npz"))) == 3  # 13 distinct expressions
    remove_parts(tmp_path)
    assert not tmp_path.exists()


def test_distinct_expressions_are_parsed_once(encoder, tmp_path, monkeypatch):
    asked = []
    encode = LanguageEncoder.encode_many

    def noting(self, sentences, **more):
        asked.extend(sentences)
        return encode(self, sentences, **more)

    monkeypatch.setattr(LanguageEncoder, "encode_many", noting)
    encode_in_parts(encoder, SENTENCES, tmp_path, 1)
    assert sorted(asked) == sorted(set(SENTENCES))


def test_it_goes_on_where_it_was_cut_off(encoder, tmp_path, monkeypatch):
    """The third part fails; the next call makes that one only."""
    made = []
    encode = language_parts._encode

    def failing(part):
        made.append(part.sentences)
        if len(made) == 3:
            raise KeyboardInterrupt
        encode(part)

    monkeypatch.setattr(language_parts, "_encode", failing)
    with pytest.raises(KeyboardInterrupt):
        encode_in_parts(encoder, SENTENCES, tmp_path, 1)
    assert len(list(tmp_path.glob("*.npz"))) == 2
    found = encode_in_parts(encoder, SENTENCES, tmp_path, 1)
    assert len(made) == 4 and made[3] == made[2]
    assert_equal(found, encoder.encode_many(SENTENCES, progress=False))


def test_damaged_parts_and_parts_of_another_key_are_made_anew(encoder, tmp_path):
    encode_in_parts(encoder, SENTENCES, tmp_path, 1)
    first = sorted(tmp_path.glob("*.npz"))[0]
    first.write_bytes(first.read_bytes()[:100])
    shorter = LanguageEncoder(encoder.tokenizer, encoder.parser, words=6)
    for one in (encoder, shorter):
        found = encode_in_parts(one, SENTENCES, tmp_path, 1)
        assert_equal(found, one.encode_many(SENTENCES, progress=False))


def test_parts_of_an_older_version_are_made_anew(encoder, tmp_path):
    wanted = encode_in_parts(encoder, SENTENCES, tmp_path, 1)
    for part in tmp_path.glob("*.npz"):
        make_old(part)
    assert wanted.kind.any()
    assert_equal(encode_in_parts(encoder, SENTENCES, tmp_path, 1), wanted)


def test_an_empty_expression_is_refused_by_its_number(encoder, tmp_path):
    with pytest.raises(UserError, match="expression 1: the expression is empty"):
        encode_in_parts(encoder, ["dog", " "], tmp_path)


def test_prepare_leaves_no_parts_and_does_not_depend_on_workers(tmp_path):
    trees = []
    for workers in (1, 2):
        root = write_refer(tmp_path / str(workers))
        prepare(PrepareSettings("refcoco", str(root), workers=workers, **LANGUAGE))
        trees.append(tree_bytes(root / "data_v3"))
    assert trees[0] == trees[1]
    assert not any(".language/" in name for name in trees[0])


def test_run_tasks_gives_every_result_whatever_the_workers():
    for workers in (0, 1, 2):
        found = dict(run_tasks(abs, [-3, -2, 5, 7, -11, 13, 17, -19, 23, 29], workers))
        assert found == {n: abs(n) for n in found} and len(found) == 10
    assert list(run_tasks(abs, [], 2)) == []


def test_run_tasks_ends_with_the_first_error():
    with pytest.raises(ValueError, match="invalid literal"):
        list(run_tasks(int, ["1", "x", "3"], 2))


def test_workers():
    assert workers_for(5, 3) == 3 and workers_for(2, 9) == 2 and workers_for(0, 0) == 0
    assert 1 <= workers_for(0, 10_000) < 10_000
