"""Words of a command line: own keys, settings, flags; errors without a traceback."""

import runpy
import sys

import pytest

import dghin.__main__ as command
from data_preprocess.base.errors import UserError
from dghin.run.command_line import read_words, run_cli

OWN = {"run": "demo", "processes": 0}


def test_own_keys_settings_and_flags():
    words = ["run=007", "--dry-run", "processes=2", "train.seed=1"]
    values, settings = read_words("dghin x", "What.", OWN, words, flags=("dry-run",))
    assert values == {"run": "007", "processes": 2, "dry-run": True}
    assert settings == ["train.seed=1"]


@pytest.mark.parametrize(
    "word, message",
    [("train.sed=1", "Did you mean 'train.seed'"), ("run", "not of the form key=value")],
)
def test_what_is_not_known_is_refused(word, message):
    with pytest.raises(UserError, match=message):
        read_words("dghin x", None, OWN, [word])


def test_a_command_without_settings_refuses_them():
    with pytest.raises(UserError, match="unknown key 'train.seed'"):
        read_words("dghin x", None, OWN, ["train.seed=1"], settings=False)


@pytest.mark.parametrize("name", command.COMMANDS)
def test_help_fits_a_screen(name, capsys):
    if name == "data":
        return  # a list of subcommands with help of their own (test_preprocess_cli)
    with pytest.raises(SystemExit) as ended:
        command.run([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) <= (60 if name == "reproduce" else 45)
    assert any(line.startswith("usage: dghin") for line in shown)


def test_settings_lists_the_configs(capsys):
    with pytest.raises(SystemExit):
        read_words("dghin x", None, OWN, ["--settings"])
    assert "  train.learning_rate=3e-05" in capsys.readouterr().out


def test_status_of_a_command(capsys):
    def refused(_):
        raise UserError("photo.jpg: no such image.")

    def stopped(_):
        raise KeyboardInterrupt

    assert run_cli(lambda words: None, []) == 0
    assert run_cli(lambda words: 1, []) == 1
    assert run_cli(refused, []) == 2
    assert capsys.readouterr().err == "error: photo.jpg: no such image.\n"
    assert run_cli(stopped, []) == 130
    assert run_cli(command.run, ["trian"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


class _Interrupting:
    """Ctrl-C while a module is being looked for."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, name, *_):
        if name == self.name:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("package", "module"),
    [("dghin", "dghin.run.command_line"), ("data_preprocess", "data_preprocess.cli")],
)
def test_ctrl_c_while_importing_is_one_line(monkeypatch, capsys, package, module):
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Interrupting(module), *sys.meta_path])
    monkeypatch.setattr(sys, "argv", [package])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(package, run_name="__main__")
    assert ended.value.code == 130 and capsys.readouterr().err == "stopped\n"
