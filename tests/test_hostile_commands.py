"""Every command line, given hostile words and files: status 0 and a right result, or one line.

No traceback, no status but 0 and 2, no file of the user's changed.
"""

import contextlib
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import hostile
from helpers.raw_trees import LANGUAGE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dghin.__main__ import COMMANDS, run
from dghin.run.command_line import run_cli

# keys by command; the first words that it always gets, so that none of them works for hours
KEYS = {
    "train": (["--dry-run"], "config run reports data.root data.prepared data.dataset data.parser "
              "train.batch train.seed train.iterations train.learning_rate train.precision "
              "data.test_splits model.width"),
    "launch": (["--dry-run"], "config run reports processes nodes endpoint train.batch"),
    "evaluate": ([], "run split control model options predictions missing write config reports "
                 "data.root data.dataset evaluate.workers"),
    "exam": ([], "run runs split model config reports data.root"),
    "report": ([], "run reports gallery card"),
    "compare": (["reports=none"], "reports output"),
    "verify": ([], ""),
    "demo": (["max_megabytes=-1"], "run model reports host port device data"),
    "export": (["model=folder"], "model output"),
    "convert": ([], ""),
    "reproduce": (["samples=many"], "run data config overrides train.batch"),
    "predict": ([], "model output overlay device data"),
    "data prepare": ([], "data output tokenizer parser words alignment members form raw images "
                     "workers"),
    "data custom": ([], "table images coco data output tokenizer parser words"),
    "data adopt": ([], "data output tokenizer parser"),
    "data verify": ([], "data output form members files"),
    "data language": ([], "data split tokenizer parser"),
    "data alignment": ([], "data split pieces parser"),
    "data fetch": (["--dry-run"], "data mirrors members images"),
    "data shapes": (["images=-1"], "output seed val"),
}  # fmt: skip
GOOD = {  # of a key, so that the others are reached
    "model": "model", "config": "good.yaml", "data": "shapes", "data.root": "shapes",
    "tokenizer": LANGUAGE["tokenizer"], "parser": LANGUAGE["parser"], "table": "table.csv",
    "output": "new.png", "reports": "runs",
}  # fmt: skip


@pytest.fixture
def place(tmp_path_factory, shapes):
    """The files of a folder with hostile ones, a tiny network and a tiny data set; another for
    every test, since folders that one has made change what the next meets."""
    from helpers.tiny import TINY_MODEL

    from dghin.model.dghin import DGHIN
    from dghin.run.config import load_config

    folder = tmp_path_factory.mktemp("hostile") / "place"
    folder.mkdir()
    hostile.write_files(folder)
    model = DGHIN(load_config("demo", TINY_MODEL).model)
    model.language = {**LANGUAGE, "alignment": "paper"}
    model.save_pretrained(folder / "model")
    shutil.copytree(shapes, folder / "shapes")
    return hostile.Kept(folder)


@st.composite
def command_lines(draw, there: list[str]) -> list[str]:
    """The words of one command: hostile values for some of its keys, good ones for others.

    `there`: names of files, read once: what a command leaves must not change what is drawn.
    """
    name = draw(st.sampled_from([*KEYS, "predict", "evaluate", "train"]))
    fixed, keys = KEYS[name]
    value, words = hostile.values(there), []
    for key in draw(st.lists(st.sampled_from(keys.split()), max_size=4)) if keys else []:
        good = key in GOOD and draw(st.integers(0, 2))
        words.append(f"{key}={GOOD[key] if good else draw(value)}")
    if name == "predict":
        photo = draw(st.one_of(st.sampled_from(["photo.png", "photo.jpg", "grey.tif"]), value))
        phrase = draw(st.one_of(st.just("the left cat"), value))
        words = [photo, phrase, f"model={GOOD['model']}", *words]
        words += [draw(st.sampled_from(["output=new.png", "output=new.tif"]))] * draw(
            st.integers(0, 1)
        )
    elif name in ("convert", "verify", "compare") or name.startswith("data "):
        words = draw(st.lists(value, max_size=2)) + words
    else:
        words += draw(st.lists(value, max_size=1))
    return [*name.split(), *words, *fixed]


def call(words: list[str], folder: Path) -> tuple[int, str, str]:
    """Run a command in a folder as the shell would; → status, output, errors."""
    output, errors, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                status = run_cli(run, words)
            except SystemExit as ended:  # of --help and --settings
                status = ended.code
    finally:
        os.chdir(before)
    return status, output.getvalue(), errors.getvalue()


def check(words: list[str], kept: hostile.Kept) -> None:
    """One call: its status, its one line, and that nothing of the user's was changed."""
    try:
        check_call(words, kept)
    finally:  # what a command left must not be what the next one finds
        kept.put_back()


def check_call(words: list[str], kept: hostile.Kept) -> None:
    status, _, errors = call(words, kept.folder)
    assert status in (0, 2), (words, status, errors[-2000:])
    assert "Traceback" not in errors, words
    if status == 2:
        said = [line for line in errors.splitlines() if line.startswith("error")]
        assert len(said) == 1 and said[0] == errors.splitlines()[-1], (words, errors[-2000:])
        assert len(said[0]) > len("error: ") + 5
    changed = kept.changed()
    if status == 0 and words[0] == "predict" and "-h" not in words and "--help" not in words:
        check_mask(changed, words)
        # a picture that the words name as the one to write is written, also over an older one
        named = [
            word.partition("=")[2] for word in words if word.startswith(("output=", "overlay="))
        ]
        changed -= {kept.folder / name for name in named}
    assert not changed & kept.content.keys(), words


def check_mask(written: set[Path], words: list[str]) -> None:
    """A mask of two values, as large as its photo, and its overlay."""
    pictures = [Image.open(path) for path in written]
    assert len(pictures) == 2 and {p.size for p in pictures} == {(40, 30)}, words
    masks = [np.asarray(p) for p in pictures if p.mode == "L"]
    assert len(masks) == 1 and set(np.unique(masks[0])) <= {0, 255}, words


def trials(count):
    return settings(
        max_examples=count, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def test_every_command_has_a_line_here():
    commands = {name.split()[0] for name in KEYS}
    assert commands == set(COMMANDS)


@pytest.mark.slow
def test_hostile_words(place):
    @trials(80)
    @given(command_lines(hostile.names(place.folder)))
    def one(words):
        check(words, place)

    one()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_hostile_words(place):
    @trials(2500)
    @given(command_lines(hostile.names(place.folder)))
    def one(words):
        check(words, place)

    one()
