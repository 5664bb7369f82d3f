"""YAML: a key that is there twice, keys that are no text, circles, and numbers as written."""

import pytest
import yaml

from data_preprocess.base.errors import UserError
from data_preprocess.base.yaml_files import Written, load_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is there twice, in line 1 and in line 3"),
        ("x:\n  a: 1\n  'a': 2\n", "line 3: the key 'a' is there twice, in line 2 and in line 3"),
        ("[{a: 1, a: 2}]", "the key 'a' is there twice, in line 1 and in line 1"),
        ("? [1]\n: 2\n", "line 1: a key that is no text"),
        ("~: 1\n", "line 1: a key that is no text"),
        ("a: &x [*x]\n", "x is inside of what it stands for"),
        ("a: [1\n", "line 2: expected"),
        ("[" * 3000, "nested too deep"),
        ("a: !!python/name:os.system\n", "could not determine a constructor"),
    ],
)
def test_what_is_refused_says_the_line(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="mine.yaml: not readable as YAML") as raised:
        read_yaml(path, "Correct it.")
    assert message in str(raised.value) and str(raised.value).endswith("Correct it.")
    assert "\n" not in str(raised.value)


def test_merged_keys_are_not_twice():
    text = "base: &b {a: 1, c: 2}\nown: {<<: *b, a: 3}\nagain: {<<: *b, a: 4}\n"
    assert load_yaml(text)["own"] == {"a": 3, "c": 2}
    assert load_yaml(text)["again"] == {"a": 4, "c": 2}


def test_numbers_dates_and_booleans_as_written():
    text = "a: 007\nb: 2024_01_01\nc: 1.10\nd: 2024-01-01\ne: no\nf: '5'\ng:\nh: [01]\n"
    found = load_yaml(text, as_written=True)
    assert found == {"a": "007", "b": "2024_01_01", "c": "1.10", "d": "2024-01-01", "e": "no",
                     "f": "5", "g": None, "h": ["01"]}  # fmt: skip
    assert all(isinstance(found[key], Written) for key in "abcde")
    assert not isinstance(found["f"], Written) and isinstance(found["h"][0], Written)
    assert load_yaml("a: 7\nb: no\n") == {"a": 7, "b": False}


def test_a_date_that_there_is_not():
    with pytest.raises((yaml.YAMLError, ValueError)):
        load_yaml("2024-13-45")
    assert load_yaml("2024-13-45", as_written=True) == "2024-13-45"


@pytest.mark.parametrize("content", [b"name: f\xfcr\n", "name: x\n".encode("utf-16")])
def test_another_encoding_is_named(tmp_path, content):
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(UserError, match="mine.yaml: not readable as YAML .no UTF-8 in line 1"):
        read_yaml(tmp_path / "mine.yaml", "Correct it.")
