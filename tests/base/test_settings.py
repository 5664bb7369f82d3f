from dataclasses import dataclass, field
from typing import Literal

import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.base.settings import (
    PathText,
    as_list,
    build,
    difference,
    flatten,
    path_keys,
    to_mapping,
)
from data_preprocess.base.yaml_files import load_yaml


@dataclass(frozen=True)
class Inner:
    width: int = 64
    rate: float = 1e-4


@dataclass(frozen=True)
class Options:
    words: int = 17
    alignment: Literal["paper", "aligned"] = "paper"
    name: str = "demo"
    splits: tuple[str, ...] = ("val",)
    seed: int | None = None
    fast: bool = False
    model: Inner = field(default_factory=Inner)


def test_overrides_win_over_values_and_defaults():
    options = build(Options, {"words": 5, "model": {"width": 8}}, ["words=7", "model.rate=3e-5"])
    assert options.words == 7 and options.model == Inner(8, 3e-5)


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [("splits=[val,testA]", "splits", ("val", "testA")), ("splits=val", "splits", ("val",)),
     ("seed=3", "seed", 3), ("seed=null", "seed", None), ("fast=true", "fast", True),
     ("name=", "name", ""), ("name=a=b", "name", "a=b"), ("name=12", "name", "12"),
     ("alignment=aligned", "alignment", "aligned")],
)  # fmt: skip
def test_values_are_read_as_their_type(word, key, value):
    assert getattr(build(Options, {}, [word]), key) == value


@pytest.mark.parametrize(
    "text",
    ["2024_01_01", "007", "1.10", "my photos #2", "2024-01-01", "no", "null", "@home", "a: b",
     "[a]", "1e3", "0x10",
     "'a'", " a ", "{", "~user", "%", "&a", "*a", "!x", "yes", "1_0", "12:30"],
)  # fmt: skip
def test_text_is_what_was_written(text):
    assert build(Options, {}, [f"name={text}"]).name == text
    assert build(Options, {}, [f"splits={text}"]).splits == ((text,) if text != "[a]" else ("a",))


def test_text_in_lists_and_in_files_is_what_was_written():
    assert build(Options, {}, ["splits=[007, 1.10, no]"]).splits == ("007", "1.10", "no")
    values = load_yaml("name: 2024_01_01\nsplits: [01]\nwords: 007\n", as_written=True)
    options = build(Options, values)
    assert (options.name, options.splits, options.words) == ("2024_01_01", ("01",), 7)
    with pytest.raises(UserError, match="name=None: expected text"):
        build(Options, load_yaml("name: ~", as_written=True))


def test_a_path_begins_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")

    @dataclass(frozen=True)
    class Places:
        data: PathText = "data"
        name: str = ""
        inner: Inner = field(default_factory=Inner)

    assert build(Places, {}, ["data=~/x", "name=~/x"]) == Places("/home/me/x", "~/x")
    assert path_keys(Places) == ["data"]


@pytest.mark.parametrize(
    ("value", "of", "found"),
    [("evaluate.workers=0", str, ["evaluate.workers=0"]), ("[]", str, []), (None, str, []),
     ("[a, b]", str, ["a", "b"]), (["a"], str, ["a"]), ((), str, []), (3, int, [3]),
     ("[0, 1]", int, [0, 1]), ("2", int, [2]), ("007", str, ["007"])],
)  # fmt: skip
def test_a_list_from_whatever_papermill_gives(value, of, found):
    assert as_list("overrides", value, of) == found


@pytest.mark.parametrize(
    ("word", "message"),
    [("word=3", "unknown key 'word'. Did you mean 'words'"),
     ("model.widht=3", "unknown key 'model.widht'. Did you mean 'model.width'"),
     ("words=many", "words='many': expected a whole number"),
     ("words=true", "expected a whole number"),
     ("words=1.5", "expected a whole number"), ("fast=1", "expected true or false"),
     ("alignment=papers", "unknown value of alignment: 'papers'. Did you mean 'paper'"),
     ("words", "not of the form key=value"), ("model=3", "'model' is a group of settings"),
     ("words.x=3", "unknown|group|value"), ("splits=[1", "not readable")],
)  # fmt: skip
def test_wrong_words_are_refused(word, message):
    with pytest.raises(UserError, match=message):
        build(Options, {"words": 17}, [word])


def test_round_trip():
    options = build(Options, {}, ["splits=[a,b]", "model.width=3"])
    mapping = to_mapping(options)
    assert mapping["splits"] == ["a", "b"] and build(Options, mapping) == options


def test_given_mappings_stay_as_they_are():
    values = {"model": {"width": 8}}
    build(Options, values, ["model.width=9"])
    assert values == {"model": {"width": 8}}


def test_difference_and_flatten():
    one = to_mapping(Options())
    other = to_mapping(build(Options, {}, ["model.width=3"]))
    assert difference(one, other) == {"model.width": (64, 3)}
    assert flatten({"a": {"b": 1}, "c": {}}) == {"a.b": 1, "c": {}}
