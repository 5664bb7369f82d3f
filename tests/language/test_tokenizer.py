"""Tokenizers' folders: one vocabulary for features and training, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.raw_trees import LANGUAGE

from data_preprocess.base.errors import UserError
from data_preprocess.language.encoder import LanguageEncoder
from data_preprocess.language.resources import folder_vocabulary, resolve, vocabulary_digest
from data_preprocess.language.tokenizer import load_tokenizer

SOURCE = Path(resolve(LANGUAGE["tokenizer"]))
PARSER = LANGUAGE["parser"]
TEXT = (SOURCE / "vocab.txt").read_text(encoding="utf-8")
TYPE = '{"model_type": "bert"}'


@pytest.fixture(scope="module")
def digest():
    return vocabulary_digest(folder_vocabulary(SOURCE))


@pytest.mark.parametrize(
    "text",
    [TEXT, TEXT + "\n\n", "\ufeff" + TEXT, TEXT.replace("\n", "\r\n"), "\ufeff" + TEXT + " \n\n"],
    ids=["plain", "blank lines", "mark", "Windows", "all of them"],
)
@pytest.mark.parametrize("config", ["", TYPE, '{"vocab_size": 30522}'], ids=["", "type", "old"])
def test_both_readers_make_one_digest(tmp_path, text, config, digest):
    """Training refused the features for ever where they differed."""
    (tmp_path / "vocab.txt").write_bytes(text.encode())
    if config:
        (tmp_path / "config.json").write_text(config)
    tokenizer = load_tokenizer(str(tmp_path))
    assert vocabulary_digest(tokenizer.get_vocab()) == digest
    assert vocabulary_digest(folder_vocabulary(tmp_path)) == digest
    assert tokenizer("The RED cat")["input_ids"] == [101, 1996, 2417, 4937, 102]


def test_a_tokenizer_json_alone(tmp_path, digest):
    shutil.copy(SOURCE / "tokenizer.json", tmp_path)
    encoder = LanguageEncoder(str(tmp_path), PARSER)
    assert encoder("The Small RED cat").pieces == ("the", "small", "red", "cat")
    assert encoder.key()["tokenizer"] == digest == vocabulary_digest(folder_vocabulary(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        ("vocab.txt", b"<!DOCTYPE html>\n<html>", "a web page"),
        ("vocab.txt", b"", "not readable as a vocabulary"),
        ("vocab.txt", b"\n\n", "not readable as a vocabulary"),
        ("vocab.txt", b"\x1f\x8b\x08\x00", "packed with gzip"),
        ("vocab.txt", b"\xff\xfe", "no UTF-8"),
        ("vocab.txt", b"the\ncat\n", r"no \[SEP\]|no \[CLS\]|no \[UNK\]"),
        ("tokenizer.json", b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        ("tokenizer.json", b"{}", "no WordPiece"),
        ("tokenizer.json", b'{"model": {"type": "Unigram", "vocab": []}}', "Unigram, no WordPiece"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": 0}}}', "BPE, no WordPiece"),
        ("tokenizer.json", b'{"model": {"type": "WordPiece", "vocab": {"a": 0}}}', "not readable"),
    ],
)
def test_what_is_no_tokenizer_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        LanguageEncoder(str(tmp_path), PARSER)
    assert str(tmp_path) in str(raised.value)


def test_other_pieces_than_words_are_refused(tmp_path):
    """The parser would read every 'Ġcat' as a noun; also of a tokenizer that is given itself."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>", "<unk>"])
    pairs.train_from_iterator(["the red cat"], trainer)
    pairs.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": "<s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    given = PreTrainedTokenizerFast(tokenizer_object=pairs, cls_token="<s>", sep_token="</s>")
    for tokenizer in (str(tmp_path), given):
        with pytest.raises(UserError, match="BPE.*no WordPiece"):
            LanguageEncoder(tokenizer, PARSER)


def test_two_vocabularies_in_one_folder(tmp_path):
    shutil.copy(SOURCE / "tokenizer.json", tmp_path)
    (tmp_path / "vocab.txt").write_text(TEXT.replace("\ncat\n", "\ncatt\n"))
    with pytest.raises(UserError, match="vocab.txt and tokenizer.json hold different"):
        load_tokenizer(str(tmp_path))


def test_words_that_are_not_known_are_named(tmp_path, encoder):
    """In capitals, where the vocabulary has none; other scripts; signs that nobody sees."""
    (tmp_path / "vocab.txt").write_text(TEXT)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    cased = LanguageEncoder(str(tmp_path), PARSER)
    assert cased("The RED cat").unknown == ("The", "RED")
    assert cased("The RED cat").is_mostly_unknown
    assert encoder("The RED cat").unknown == ()
    dogs = encoder("🐶 the dog of 狗")
    assert dogs.unknown == ("🐶", "狗") and not dogs.is_mostly_unknown
    assert encoder("🐶🐱").is_mostly_unknown
    with pytest.raises(UserError, match=r"'\\u200b': the tokenizer leaves no word"):
        encoder("\u200b")


def test_long_expressions_are_parsed_few_at_a_time(encoder, monkeypatch):
    """So that the parser's memory is bounded; short ones as ever, 512 at a time."""
    sizes = []
    pipe = type(encoder.parser).pipe

    def counted(self, texts, batch_size=None, **options):
        sizes.append(batch_size)
        return pipe(self, texts, batch_size=batch_size, **options)

    monkeypatch.setattr(type(encoder.parser), "pipe", counted)
    long = " ".join(["red cat"] * 600)
    found = list(encoder.encode([long, "the cat"]))
    assert sizes == [27] and [len(x.pieces) for x in found] == [1200, 2]
    list(encoder.encode(["the red cat"] * 600))
    assert sizes[1:] == [512, 512]
