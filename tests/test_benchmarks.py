"""The benchmarks run and give their tables; what they measure is not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gpu_session import EXPERIMENTS, Limit
from gpu_sizes import NEEDS_GPU
from gpu_steps import settle, tf32
from gpu_trace import STEPS, read_trace
from harness import Result, peak_memory, table
from helpers.tiny import TINY_MODEL

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

TINY = [*TINY_MODEL, "train.threads=1"]


def run(name, *words, **variables):
    command = [sys.executable, str(BENCHMARKS / name), *words]
    environment = os.environ | variables
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_modes_are_measured_beside_the_first():
    names = ["float32", "float32, checkpointed"]
    lines = run("modes.py", f"modes=[{', '.join(map(repr, names))}]", "rounds=1", "steps=1", *TINY)
    assert lines[0].startswith("config demo, batch 6")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[3:]]
    assert [row[0] for row in cells] == names
    assert cells[0][2] == cells[0][4] == "1.00" and float(cells[1][1]) > 0


@pytest.mark.slow
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


@pytest.mark.slow
def test_growth_is_fitted_and_drawn(tmp_path):
    words = ["sizes=[64, 128]", "words=[8, 12]", "batches=[1, 2]", "small=64", *TINY]
    words += ["train.backbone_learning_rate_scale=1", "train.keep_maps=false"]
    words += ["model.backbone=efficientnet_lite0"]  # gradients of several MB: the table has MB
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


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
@pytest.mark.parametrize("name", ["gpu.py", "gpu_session.py"])
def test_without_a_gpu_it_says_so(name):
    (line,) = run(name)
    assert line.startswith("No GPU here") and f"python benchmarks/{name}" in line


@pytest.mark.slow
def test_what_a_gpu_would_do_runs_on_a_cpu(tmp_path):
    words = ["device=cpu", "batches=[2]", "steps=1", "compile=false", "workers=0", *TINY]
    lines = run("gpu.py", "config=demo", f"output={tmp_path / 'gpu.json'}", *words)
    assert [line for line in lines if line.startswith("| ours, bfloat16")]
    assert len([line for line in lines if line.startswith("| bfloat16: visual graph")]) == 3
    assert [line for line in lines if line.startswith("busy with 0 workers at batch 2: ")]
    assert [line for line in lines if line.startswith("TF32: matmul.allow_tf32=")]
    (header,) = [line for line in lines if line.startswith("| Way")]
    assert "Utilisation: executed" in header and "of the original's FLOPs" in header


SESSION = ["device=cpu", "size=tiny", "steps=1", "workers=[0]"]


def recorded(path):
    """A session's results: all of them, and its experiments by their number."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return found, {one["number"]: one for one in found["experiments"]}


def without_packages(folder, *names):
    """Variables of a process in which these packages cannot be imported."""
    for name in names:
        (folder / f"{name}.py").write_text(f"raise ImportError('no {name} on a GPU machine')")
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.mark.slow
def test_every_experiment_of_a_gpu_session_runs_on_a_cpu(tmp_path):
    output = tmp_path / "session.json"
    bare = without_packages(tmp_path, "spacy", "pycocotools", "papermill", "matplotlib")
    words = [*SESSION, "apart=false", "compiler=eager", f"output={output}"]
    lines = run("gpu_session.py", *words, **bare)
    found, by_number = recorded(output)
    assert sorted(by_number) == list(range(1, 11)) and found["TF32"] == tf32()
    assert found["machine"]["versions"]["torch"] == torch.__version__ and found["card"]["name"]
    states = {number: one["state"] for number, one in by_number.items()}
    gpu_only = {3, 4, 7}  # what they say of the card's time or memory
    assert states == {n: NEEDS_GPU if n in gpu_only else "done" for n in range(1, 11)}
    for one in found["experiments"]:
        assert one["lines"] and all(line["what"] for line in one["lines"])
        shown = [line for line in lines if line.startswith(f"{one['number']:>2}  {one['name']}: ")]
        assert len(shown) == len(one["lines"]) + 1  # and that of its end
    whats = {number: [line["what"] for line in one["lines"]] for number, one in by_number.items()}
    assert [what.split(",")[0] for what in whats[4]] == [
        "fused", "plain bfloat16", "math", "without mixing",
    ]  # fmt: skip
    assert all(by_number[n]["lines"][-1]["graphs"] == 1 for n in (5, 6))
    exact = [line["equal to the bit"] for line in by_number[8]["lines"][:2]]
    assert exact == [True, True] and whats[8][-2:] == ["float16", "bfloat16"]
    assert [line["same rows twice"] for line in by_number[10]["lines"][:2]] == [True, True]
    assert by_number[10]["lines"][0]["strict mIoU"] > 0  # masks that are not empty


@pytest.mark.slow
def test_an_experiment_that_fails_ends_no_session(tmp_path):
    """Each in a process of its own; the first has no network to be built, the last builds none."""
    output = tmp_path / "session.json"
    words = ["experiments=[1,7]", "model.backbone=no_such_network", f"output={output}"]
    lines = run("gpu_session.py", *SESSION, *words)
    found, by_number = recorded(output)
    assert (
        by_number[1]["state"].startswith("failed: ") and "no_such_network" in by_number[1]["state"]
    )
    assert "Traceback" in by_number[1]["error"] and not by_number[1]["lines"]
    assert by_number[7]["state"] == NEEDS_GPU and len(by_number[7]["lines"]) == 2
    assert len([line for line in lines if line.startswith(" 1  one step: failed: ")]) == 1
    assert len([line for line in lines if line.startswith("TF32: ")]) == 1 and found["card"]


def test_an_experiment_that_would_end_too_late_is_skipped():
    limit = Limit(25, "paper", large=2)
    assert sum(map(limit.takes, EXPERIMENTS)) <= 25 * 60
    longest, record = max(EXPERIMENTS, key=limit.takes), {"state": "running"}
    assert limit.allows(longest, record) and record["state"] == "running"
    assert not Limit(9, "paper", large=2).allows(longest, record)
    assert record["state"].startswith(f"skipped: takes about {2 * longest.seconds} s")
    assert Limit(9, "paper", large=1).allows(longest, record)


def test_every_batch_is_compiled_for_its_own_shape():
    seen = []

    def backend(graph, inputs):
        seen.append([x for x in inputs if isinstance(x, torch.SymInt)])
        return graph.forward

    layer = torch.nn.Linear(3, 2)
    for batch in (2, 3, 4):
        settle(torch.device("cpu"))
        torch.compile(layer, backend=backend)(torch.ones(batch, 3))
    assert seen == [[], [], []]  # one graph each, and no size is a symbol


def test_the_share_of_time_in_which_a_card_is_idle_is_read_from_a_trace():
    def event(category, name, begin, length):
        return {"ph": "X", "cat": category, "name": name, "ts": begin, "dur": length}

    events = [
        event("kernel", "before", 0, 50),
        event("user_annotation", STEPS, 100, 1000),
        event("cuda_runtime", "cudaStreamSynchronize", 300, 5),
        event("cuda_runtime", "cudaLaunchKernel", 320, 5),
        event("kernel", "product", 200, 400),
        event("gpu_memcpy", "copy", 500, 200),  # at the same time as the product
        event("kernel", "last", 1000, 200),  # goes on after the host has left
        event("cuda_runtime", "cudaDeviceSynchronize", 1150, 60),  # the measurement's own
        {"ph": "i", "name": "a mark", "ts": 0},
    ]
    found = read_trace(events)
    assert (found.busy, found.span, found.kernels) == (0.7, 1.0, 2)
    assert found.idle == pytest.approx(0.3) and found.waits == {"cudaStreamSynchronize": 1}


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


@pytest.mark.slow
def test_steps_of_muon_are_measured_in_turns():
    words = ["turns=1", "model.width=16", "model.image_size=64", "model.text_layers=1"]
    lines = run("muon.py", *words)
    assert any("a step of Muon, " in line and "matrices" in line for line in lines)


def test_intervals_are_measured_beside_drawing_rows():
    lines = run("intervals.py", "expressions=60", "images=9", "rounds=1", "resamples=20", "few=3")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:2] == ["Way", "Seconds, 20 resamples"]
    assert [row[0] for row in cells[2:]] == ["rows", "sums"] and cells[2][3] == "1.00"


@pytest.mark.slow
def test_an_unknown_mode_is_refused_with_the_nearest():
    command = [sys.executable, str(BENCHMARKS / "modes.py"), "modes=[float23]"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "Did you mean 'float32'" in done.stderr
