"""The benchmarks run and give their tables; what they measure is not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from harness import Result, peak_memory, table
from helpers.tiny import TINY_MODEL

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


def test_every_line_of_the_speed_table(tmp_path):
    output = tmp_path / "speed.json"
    words = ["model.words=12", "model.width=32", *TINY, "turns=1", f"output={output}"]
    lines = run("speed.py", "config=demo", *words)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    assert rows[0][:5] == ["What", "Baseline", "Ours", "Ratio", "Spread"]
    found = json.loads(output.read_text(encoding="utf-8"))
    assert [row[0] for row in rows[2:]] == [one["what"] for one in found["results"]]
    assert len(rows) == 2 + 16 and found["machine"]["versions"]["torch"] == torch.__version__
    for row, one in zip(rows[2:], found["results"], strict=True):
        assert len(one["baseline"]) == len(one["ours"]) == len(one["ratios"])
        assert float(row[3]) == pytest.approx(one["ratio"], abs=0.006)
        assert row[6] == ("yes" if one["reached"] else "no")
    notes = {one["what"]: one["note"] for one in found["results"]}
    assert notes["evaluation, 7 expressions an image"].startswith("equal pixels")
    assert notes["import"].endswith("it loads none")


def test_a_ratio_says_how_many_times_better_or_what_share():
    more = Result("", "s", [2.0, 4.0, 6.0], [1.0, 2.0, 4.0], "more", 2.0)
    assert more.ratio == 2.0 and more.ratios == [2.0, 2.0, 1.5] and more.reached
    less = Result("", "MiB", [8.0], [2.0], "less", 0.2)
    assert less.ratio == 0.25 and not less.reached
    assert table([less]).iloc[0].tolist()[1:7] == [
        "8 MiB", "2 MiB", "0.25", "0.25–0.25", "≤ 0.2", "no",
    ]  # fmt: skip


def test_peak_memory_is_what_is_held_at_once():
    def call():
        one = torch.ones(2**18)  # 1 MiB
        del one
        return torch.ones(2**19) + torch.ones(2**19)  # three times 2 MiB

    assert 6 * 2**20 <= peak_memory(call) < 7 * 2**20


def test_growth_is_fitted_and_drawn(tmp_path):
    words = ["sizes=[64, 128]", "words=[8, 12]", "batches=[1, 2]", "small=64", *TINY]
    lines = run("growth.py", "config=demo", f"output={tmp_path}", *words)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in rows[2:8]] == ["image size"] * 2 + ["words"] * 2 + ["batch"] * 2
    assert float(rows[3][5]) == pytest.approx(2, abs=0.5)  # activations grow with the area
    assert float(rows[7][5]) == pytest.approx(1, abs=0.3)
    assert (tmp_path / "growth.png").is_file() and (tmp_path / "growth.json").is_file()
    paper = rows[11:15]
    assert [row[0] for row in paper] == ["1", "2", "8", "64"]
    assert paper[0][2] == "0" and paper[0][5] == "100.0%"
    assert float(paper[3][2]) == pytest.approx(2 * float(paper[1][2]), rel=0.05)  # 126/64 to 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_without_a_gpu_it_says_so():
    (line,) = run("gpu.py")
    assert line.startswith("No GPU here") and "python benchmarks/gpu.py" in line


def test_what_a_gpu_would_do_runs_on_a_cpu(tmp_path):
    words = ["device=cpu", "batches=[2]", "steps=1", "compile=false", "workers=0", *TINY]
    lines = run("gpu.py", "config=demo", f"output={tmp_path / 'gpu.json'}", *words)
    assert [line for line in lines if line.startswith("| ours, bfloat16")]
    assert len([line for line in lines if line.startswith("| bfloat16: visual graph")]) == 3
    assert [line for line in lines if line.startswith("busy with 0 workers at batch 2: ")]


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
