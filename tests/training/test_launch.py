"""torchrun from Python: processes, nodes, restarts, interrupts, scripts."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from data_preprocess.base.errors import UserError
from dghin.commands.launch import main
from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.metrics import metrics_from_rows
from dghin.run.config import load_config, save_config
from dghin.run.folder import RunFolder
from dghin.training.checkpoint import checkpoints
from dghin.training.launch import (
    Machines,
    launch_training,
    processes_here,
    stream,
    training_command,
    without_farewell,
)

ROOT = Path(__file__).parents[2]


def with_train(config, **values):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **values))


def lines(folder):
    return [json.loads(x) for x in (folder / "train/log.jsonl").read_text().splitlines()]


def newest(folder):
    return torch.load(checkpoints(folder / "train")[0], weights_only=True)


def assert_same_weights(one, other):
    ours, theirs = newest(one), newest(other)
    for name, value in ours["model"].items():
        assert torch.equal(value, theirs["model"][name]), name
    best, other_best = (load_file(x / "train/best/model.safetensors") for x in (one, other))
    assert all(torch.equal(value, other_best[name]) for name, value in best.items())
    assert ours["best"] == theirs["best"]


@pytest.fixture(scope="module")
def config_of():
    """Two processes that add up gradients, with dropout, a loader process and checkpoints."""

    def make(tiny_config, **values):
        settings = {"batch": 12, "batch_per_process": 3, "iterations": 6, "validate_every": 3}
        return with_train(tiny_config, **settings, save_every=1, workers=1, **values)

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Where the undisturbed run of two processes is kept for the module's tests."""
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture
def undisturbed(config_of, tiny_config, whole):
    if not (whole / "train/best/model.safetensors").exists():
        launch_training(config_of(tiny_config), whole, processes=2)
    return whole


def test_two_processes_train_one_model(tiny_config, config_of, undisturbed, capfd):
    """Every expression of val counted once, the same weights on both ranks."""
    log = lines(undisturbed)
    assert log[0]["world"] == 2 and newest(undisturbed)["iteration"] == 6
    listed = json.loads((tiny_config.data.prepared_root / "anns/refcoco/val.json").read_text())
    assert log[-1]["count"] == sum(len(entry["sentences"]) for entry in listed)
    rows = evaluate_run(undisturbed, config_of(tiny_config), ["val"])[""]["val"]
    assert metrics_from_rows(rows, "strict")["oiou"] in [x["oiou"] for x in log if "oiou" in x]
    text = (undisturbed / "train/train.log").read_text()
    assert "iteration 6/6" in text and "12 = 3 x 2 accumulated x 2 processes" in text


@pytest.mark.slow
def test_two_halves_of_two_processes_are_one_whole(tiny_config, config_of, undisturbed, tmp_path):
    folder = tmp_path / "halves"
    launch_training(config_of(tiny_config, stop_at=2), folder, processes=2)
    assert newest(folder)["iteration"] == 2
    launch_training(config_of(tiny_config), folder, processes=2)
    assert_same_weights(undisturbed, folder)


@pytest.mark.slow
def test_an_interrupt_saves_on_all_processes(tiny_config, config_of, undisturbed, tmp_path, capfd):
    folder = tmp_path / "parts"

    def interrupt():
        if "iteration 2/6" in (folder / "train/train.log").read_text():
            raise KeyboardInterrupt

    config = config_of(tiny_config)
    with pytest.raises(KeyboardInterrupt):
        launch_training(with_train(config, save_every=100), folder, 2, on_line=interrupt)
    at = newest(folder)["iteration"]
    assert 2 <= at < 6
    shown = capfd.readouterr().out
    assert f"stopped by SIGTERM: saved after iteration {at} of 6" in shown
    assert not orphans() and "Traceback" not in shown
    launch_training(config, folder, processes=2)
    assert_same_weights(undisturbed, folder)


def orphans():
    """Trainers whose torchrun is gone."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            command = (folder / "cmdline").read_text()
            found[folder.name] = (parent_of(folder), command)
    trainers = {pid: parent for pid, (parent, text) in found.items() if "dghin\0train" in text}
    return [pid for pid, parent in trainers.items() if parent == 1]


def parent_of(folder):
    """The parent of a process, by its folder in /proc."""
    return int((folder / "stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["main", "other"])
def test_a_killed_process_restarts_the_group(tiny_config, config_of, undisturbed, tmp_path, victim):
    """torchrun --max-restarts: the run ends as if undisturbed."""
    folder = tmp_path / "killed"
    killed = []

    def kill():
        if not killed and "iteration 3/6" in (folder / "train/train.log").read_text():
            pid = json.loads((folder / "train/.lock").read_text())["process"]
            killed.append(pid if victim == "main" else sibling(pid))
            os.kill(killed[0], signal.SIGKILL)

    config = config_of(tiny_config, max_restarts=1)
    launch_training(config, folder, processes=2, on_line=kill)
    assert killed
    starts = [line["iteration"] for line in lines(folder) if line["kind"] == "start"]
    assert len(starts) == 2 and starts[1] > 0
    assert_same_weights(undisturbed, folder)


def sibling(pid):
    """Another trainer of the same torchrun."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = parent_of(folder)
    return next(p for p, parent in parents.items() if parent == parents[pid] and p != pid)


@pytest.mark.slow
def test_two_nodes_give_the_weights_of_one(tiny_config, config_of, undisturbed, tmp_path):
    """Two agents on the loopback address meet at a c10d rendezvous."""
    save_config(config_of(tiny_config), tmp_path / "config.yaml")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    words = [f"config={tmp_path / 'config.yaml'}", "run=two", f"reports={tmp_path}"]
    words += ["processes=1", "nodes=2", f"endpoint=localhost:{port}"]
    command = [sys.executable, "-m", "dghin", "launch", *words]
    pipe = subprocess.PIPE
    nodes = [
        subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    for node in nodes:
        shown, _ = node.communicate()
        assert node.returncode == 0, shown
    assert lines(tmp_path / "two")[0]["world"] == 2
    assert_same_weights(undisturbed, tmp_path / "two")


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_processes(
    tiny_config, config_of, undisturbed, tmp_path
):
    """The command line under torchrun with 1, 2 and 3 processes: equal rows, each once."""
    expected = evaluate_run(undisturbed, config_of(tiny_config), ["val"])[""]["val"]
    for processes in (1, 2, 3):
        save_config(config_of(tiny_config), tmp_path / f"of{processes}" / "config.yaml")
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        words = [f"run=of{processes}", f"reports={tmp_path}", "split=val"]
        words += [f"model={undisturbed / 'train/best'}"]
        done = subprocess.run(
            [*torchrun, f"--nproc-per-node={processes}", "-m", "dghin", "evaluate", *words],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Pr@0.9") == 1  # one process speaks
        rows = pd.read_parquet(RunFolder(tmp_path / f"of{processes}").rows("val"))
        pd.testing.assert_frame_equal(rows, expected)


@pytest.mark.slow
def test_another_number_of_processes_does_not_resume(tiny_config, config_of, undisturbed):
    with pytest.raises(RuntimeError, match=r"here.processes': \(2, 1\)"):
        launch_training(config_of(tiny_config), undisturbed, processes=1)


def test_what_cannot_run_is_refused_before_torchrun(tiny_config, tmp_path):
    data = dataclasses.replace(tiny_config.data, train_split="trian")
    with pytest.raises(UserError, match="split of shapes: 'trian'"):
        launch_training(dataclasses.replace(tiny_config, data=data), tmp_path / "run", 1)
    with pytest.raises(UserError, match="not divisible among 4"):
        launch_training(tiny_config, tmp_path / "run", processes=4)
    with pytest.raises(UserError, match="nodes=2.*endpoint=HOST:PORT"):
        launch_training(tiny_config, tmp_path / "run", processes=1, nodes=2)
    assert not (tmp_path / "run").exists()


def test_a_failing_child_fails_the_launch_with_its_last_words(tiny_config, tmp_path):
    config = dataclasses.replace(
        tiny_config, weights=dataclasses.replace(tiny_config.weights, backbone="missing.pth")
    )
    with pytest.raises(RuntimeError, match="exit status(?s:.*)weights.backbone=missing.pth"):
        launch_training(config, tmp_path / "run", processes=1)


@pytest.mark.slow
def test_the_command_ends_with_torchruns_exit_status(tiny_config, tmp_path):
    config = dataclasses.replace(
        tiny_config, weights=dataclasses.replace(tiny_config.weights, backbone="missing.pth")
    )
    save_config(config, tmp_path / "config.yaml")
    words = [f"config={tmp_path / 'config.yaml'}", "run=x", f"reports={tmp_path}", "processes=1"]
    done = subprocess.run(
        [sys.executable, "-m", "dghin", "launch", *words], capture_output=True, text=True
    )
    assert done.returncode == 1 and "error: weights.backbone=missing.pth" in done.stdout
    assert "Traceback" not in done.stderr


def test_stream_keeps_the_tail_and_the_log(tmp_path):
    code, tail = stream(
        [sys.executable, "-c", "print('\\n'.join(map(str, range(99)))); raise SystemExit(3)"],
        tmp_path / "log",
    )
    assert code == 3 and tail[-1] == "98" and len(tail) == 30
    assert (tmp_path / "log").read_text().startswith("0\n1\n")


def test_only_torchruns_own_traceback_is_left_out():
    trace = ["Traceback (most recent call last):\n", '  File "x", line 1\n', "    y\n"]
    signal_end = "torch.distributed.elastic.SignalException: Process 1 got signal: 15\n"
    lines = ["a\n", *trace, signal_end, "b\n", *trace, "ValueError: c\n", "d\n", *trace]
    assert list(without_farewell(lines)) == [
        "a\n", "b\n", *trace, "ValueError: c\n", "d\n", *trace,
    ]  # fmt: skip


def test_command_is_torchruns(tmp_path):
    command = training_command(tmp_path / "config.yaml", "mine", tmp_path, Machines(4), 3)
    assert command[1:6] == [
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "--max-restarts=3",
    ]  # fmt: skip
    assert command[6:9] == ["-m", "dghin", "train"]


def test_nodes_meet_at_the_endpoint():
    assert Machines(8, 2, "first:29500").torchrun("mine") == [
        "--nnodes=2", "--rdzv-backend=c10d", "--rdzv-endpoint=first:29500", "--rdzv-id=mine",
        "--nproc-per-node=8", "--max-restarts=0",
    ]  # fmt: skip


def test_processes_here_divide_the_batch(monkeypatch):
    config = load_config("refcoco", ["train.processes=8"])
    for cards, expected in ((8, 8), (5, 4), (3, 3), (1, 1)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda cards=cards: cards)
        assert processes_here(config) == expected


@pytest.mark.parametrize("name", ["refcoco", "joint"])
def test_the_slurm_script_is_the_configs(name, tmp_path, monkeypatch):
    """The scripts in scripts/ are what this command writes."""
    monkeypatch.chdir(tmp_path)
    path = f"scripts/{name}.sbatch"
    main([f"config={name}", f"run={name}", "nodes=2", "processes=4", f"slurm={path}"])
    text = (tmp_path / path).read_text()
    assert "#SBATCH --nodes=2" in text and "#SBATCH --gpus-per-node=4" in text
    assert "--nnodes=2 --nproc-per-node=4" in text and f"config={name} run={name}" in text
    assert text == (ROOT / path).read_text()
    assert subprocess.run(["bash", "-n", path]).returncode == 0


def test_the_slurm_script_takes_overrides_and_refuses_what_does_not_divide(tmp_path):
    path = tmp_path / "x.sbatch"
    main(["config=refcoco", "run=a b", f"slurm={path}", "processes=4", "data.root=my data"])
    assert "config=refcoco 'run=a b' 'data.root=my data'" in path.read_text()
    with pytest.raises(UserError, match="not divisible among 10"):
        main(["config=refcoco", "nodes=2", "processes=5", f"slurm={path}"])
