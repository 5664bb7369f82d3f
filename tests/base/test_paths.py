"""Where one stands: the project's root, what is named from there, and ~."""

import os
from pathlib import Path

import pytest

from data_preprocess.base.paths import enter_project, from_here, project_root, words_from_here


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout, and one stands in its docs/."""
    for folder in ("notebooks", "docs", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "docs")
    return tmp_path


def test_the_root_is_found_from_below_and_not_from_elsewhere(checkout, monkeypatch):
    assert project_root() == checkout == enter_project() == Path.cwd()
    monkeypatch.chdir(checkout.parent)
    assert project_root() is None and enter_project() == checkout.parent


def test_paths_are_read_where_one_stands(checkout, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert from_here("mask.png") == "docs/mask.png"  # in records: nothing absolute
    assert from_here("../data") == "data"
    assert from_here("../../elsewhere") == str(checkout.parent / "elsewhere")
    assert from_here("/tmp/x") == "/tmp/x" and from_here("") == ""
    assert from_here("~/DATA") == "/home/me/DATA"
    monkeypatch.chdir(checkout)
    assert from_here("mask.png") == "mask.png"


def test_words_whose_values_are_paths(checkout):
    (checkout / "docs" / "weights").mkdir()
    words = ["data=../data", "model=weights", "text=bert-base-uncased", "run=data", "x", "data="]
    found = words_from_here(words, {"data"}, {"model", "text"})
    assert found == ["data=data", "model=docs/weights", *words[2:]]


@pytest.mark.parametrize("command", ["train", "evaluate", "report", "data"])
def test_all_commands_find_it(command, checkout, monkeypatch, capsys):
    """Each used to look where one stands, or in the root: one sent to the other in a circle."""
    from dghin.__main__ import run
    from dghin.run.command_line import run_cli

    words = {"train": ["--dry-run"], "data": ["verify", "refcoco"]}.get(command, ["run=m3"])
    assert run_cli(run, [command, *words]) in (0, 2)
    assert Path.cwd() == checkout and "docs" not in capsys.readouterr().err
    assert os.listdir(checkout / "docs") == []
