"""The benchmarks run and give their tables; what they measure is not tested."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY_MODEL

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


TINY = [*TINY_MODEL, "train.threads=1"]


def run(name, *words):
    command = [sys.executable, str(BENCHMARKS / name), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_modes_are_measured_beside_the_first():
    names = ["float32", "float32, checkpointed"]
    lines = run("modes.py", f"modes=[{', '.join(map(repr, names))}]", "rounds=1", "steps=1", *TINY)
    assert lines[0].startswith("config demo, batch 6")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[3:]]
    assert [row[0] for row in cells] == names
    assert cells[0][2] == cells[0][4] == "1.00" and float(cells[1][1]) > 0


@pytest.mark.slow
def test_processes_are_measured_beside_the_first():
    lines = run("processes.py", "processes=[1, 2]", "rounds=1", "steps=10", "train.batch=12", *TINY)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in cells] == ["1", "2"] and cells[0][3] == "1.00"


@pytest.mark.slow
def test_preparing_is_measured_beside_the_first():
    lines = run("preparing.py", "copies=[1, 2]", "scenes=20", "workers=1")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in cells] == ["1 x", "2 x", "2 x, after a kill half way"]
    assert int(cells[1][3]) == 2 * int(cells[0][3]) and cells[2][1:4] == cells[1][1:4]
    assert cells[0][6] == "1.00" and all(float(row[7]) > 0 for row in cells)


def test_intervals_are_measured_beside_drawing_rows():
    lines = run("intervals.py", "expressions=60", "images=9", "rounds=1", "resamples=20", "few=3")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:2] == ["Way", "Seconds, 20 resamples"]
    assert [row[0] for row in cells[2:]] == ["rows", "sums"] and cells[2][3] == "1.00"


def test_an_unknown_mode_is_refused_with_the_nearest():
    command = [sys.executable, str(BENCHMARKS / "modes.py"), "modes=[float23]"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "Did you mean 'float32'" in done.stderr
