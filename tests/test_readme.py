"""README's commands are those that exist: each is run, or at least read to its last word."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dghin.__main__ as command
from data_preprocess.base.settings import build
from data_preprocess.cli import COMMANDS as DATA_COMMANDS
from dghin.run.command_line import read_words
from dghin.run.config import load_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# of these only the words are read: they train, need a network, a GPU, trained weights or a server
READ_ONLY = ("train", "launch", "evaluate", "report", "compare", "verify", "export", "reproduce")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README, re.S)


def commands():
    """Every command line of README's bash blocks and of its running text, as words."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    lines += [" ".join(text.split()) for text in re.findall(r"`(dghin [^`]+)`", README)]
    for line in lines:
        words = shlex.split(line, comments=True)
        if words:
            yield words


def own_commands():
    for words in commands():
        if "torchrun" in words[0]:
            words = ["dghin", *words[words.index("-m") + 2 :]]
        if words[0] == "dghin" and words not in ([], ["dghin"]):
            yield words[1:]


def test_there_are_commands_of_every_kind():
    named = {words[0] for words in own_commands()}
    assert {"data", "train", "launch", "evaluate", "predict", "report", "export"} <= named


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_program_is_one_that_is_known(words):
    programs = ("make", "dghin", "torchrun", "conda", "source", "pip", "papermill", "python")
    assert words[0] in programs, f"{words[0]}: add it to this test"
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert next(word for word in words[1:] if "=" not in word) in targets


@pytest.mark.parametrize("words", own_commands(), ids=" ".join)
def test_the_words_of_a_command_are_accepted(words, monkeypatch):
    name, *rest = words
    assert name in command.COMMANDS, f"README: no command 'dghin {name}'"
    if name == "data":
        read_data_words(rest)
    elif name in READ_ONLY and "--help" not in rest and "--settings" not in rest:
        seen = []

        def read(program, description, own, arguments, flags=(), settings=True):
            values, over = read_words(program, description, own, arguments, flags, settings)
            if settings and values.get("config"):
                load_config(values["config"], over)
            seen.append(program)
            raise SystemExit(0)

        module, function, _ = command.COMMANDS[name]
        if name == "reproduce":
            from dghin.reproduce import read_parameters

            read_parameters([word for word in rest if not word.startswith("-")])
            return
        monkeypatch.setattr(f"{module}.read_words", read)
        with pytest.raises(SystemExit):
            command.run([name, *rest])
        assert seen


def read_data_words(rest):
    """A subcommand of `dghin data` with its settings, built but not run."""
    name, *words = rest
    chosen = DATA_COMMANDS[name]
    flags = {f"--{flag.replace('_', '-')}" for flag in chosen.flags}
    assert all(word in flags for word in words if word.startswith("-")), words
    words = [word for word in words if not word.startswith("-")]
    if chosen.dataset and words and "=" not in words[0]:
        words = [f"dataset={words[0]}", *words[1:]]
    build(chosen.settings(), {}, words)


def test_own_data_as_described_and_a_prediction(tmp_path, tiny_model, encoder, photo):
    """README's example of own data and its first prediction, run as they stand there."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (custom,) = [w for w in own_commands() if w[:2] == ["data", "custom"]]
    (verify,) = [w for w in own_commands() if w[:3] == ["data", "verify", "mine"]]
    for words in (custom, verify):
        words = [word.replace("DATA", "data/mine") for word in words]
        done = run(words, tmp_path)
        assert done.returncode == 0, done.stderr
    assert "0 problems" in done.stdout
    tiny_model.language = encoder.settings()
    tiny_model.save_pretrained(tmp_path / "reports/demo/train/best")
    photo.save(tmp_path / "photo.jpg")
    predict = next(w for w in own_commands() if w[0] == "predict")
    done = run(predict, tmp_path)
    assert done.returncode == 0 and (tmp_path / "mask.png").is_file(), done.stderr


def run(words, folder):
    line = [sys.executable, "-m", "dghin", *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, env=environment())


def environment():
    import os

    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_what_python_blocks_import_is_there():
    imports = re.findall(r"^(?:from|import) .*$", "\n".join(blocks("python")), re.M)
    assert len(imports) >= 2
    exec("\n".join(imports), {})


def test_files_that_readme_names_are_there():
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / path).exists(), path
