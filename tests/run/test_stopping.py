"""Requests to end, and one trainer a folder."""

import os
import signal
import subprocess
import sys

import pytest

from data_preprocess.base.errors import UserError
from dghin.run.stopping import LAUNCHER, Interrupted, Stop, is_alive, only_one

HOLDER = """
import sys
from pathlib import Path
from dghin.run.stopping import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_old_handlers_come_back(number):
    before = signal.getsignal(number)
    with Stop() as stop:
        assert not stop.asked()
        os.kill(os.getpid(), number)
        assert stop.asked()
    assert stop.reason == number.name and stop.status == 128 + number
    assert signal.getsignal(number) is before


def test_at_once_a_signal_ends():
    with Stop() as stop:
        with pytest.raises(Interrupted) as found, stop.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("went on")
    assert found.value.code == 128 + signal.SIGTERM


def test_at_once_after_a_signal_does_not_begin():
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted), stop.at_once():
            raise AssertionError("went on")


def test_a_dead_launcher_asks_for_the_end(monkeypatch):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not is_alive(child.pid) and is_alive(os.getpid())
    monkeypatch.setenv(LAUNCHER, str(child.pid))
    stop = Stop()
    assert stop.asked() and stop.reason == "the end of its launcher"
    monkeypatch.setenv(LAUNCHER, str(os.getpid()))
    assert not Stop().asked()


def test_a_dead_torchrun_asks_for_the_end(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    stop = Stop()
    assert not stop.asked()
    monkeypatch.setattr(os, "getppid", lambda: 1)  # what an orphan sees
    assert stop.asked() and stop.reason == "the end of torchrun"


def test_a_second_trainer_is_refused_until_the_first_is_dead(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f'another training.*"process": {holder.pid}'):
            with only_one(tmp_path, patience=0):
                raise AssertionError("went on")
        holder.kill()
        holder.wait()
    with only_one(tmp_path, patience=0):
        assert f'"process": {os.getpid()}' in (tmp_path / ".lock").read_text()
