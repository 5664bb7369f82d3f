"""A training step's cost, counted on tensors without values: no card is needed, and none is timed.

The network is the tests' tiny one on a simulated device (benchmarks/counted.py), in bfloat16 with
nothing recomputed, as on a GPU. The bounds are what was counted with some room: a change that makes
a step dearer fails here. Was it meant? Then run this file, and write down what it shows.
"""

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys

import counted
import pytest
import torch
from helpers.tiny import TINY_MODEL, TINY_TRAINING

from dghin.run.config import load_config

pytestmark = pytest.mark.slow

LIKE_A_GPU = {"precision": "bfloat16", "channels_last": True, "expressions_per_image": 1}


@pytest.fixture(scope="module")
def config():
    words = [*TINY_MODEL, *TINY_TRAINING, "model.backbone=efficientnet_lite0"]
    config = load_config("demo", words)
    train = dataclasses.replace(config.train, **LIKE_A_GPU)
    return dataclasses.replace(config, train=train)


@pytest.fixture(scope="module")
def ours(config):
    return counted.count(config, "ours", 6, tracker=True, kind="cpu")


@pytest.fixture(scope="module")
def original(config):
    return counted.count(config, "original", 6, kind="cpu")


def test_operators_of_a_step(ours):
    """Counted: 3,197. On a GPU each is about one kernel, which the host must start."""
    assert ours["operators"] <= 3400, ours["calls"]


def test_bytes_of_a_step(ours):
    """Counted: 293 MB of inputs and outputs, of which AdamW's are 65."""
    assert ours["bytes"] <= 310e6, ours["moved"]


def test_the_host_reads_once_a_step(ours):
    """Loss, gradient norm and what processes ask are read together, after the backward pass. Of
    forward and backward there is one line, which a GPU never comes to: on a CPU BERT asks itself
    whether its mask hides anything (DGHIN.encode_text)."""
    reads = [wait.rpartition(":")[0] for wait in ours["waits"]]
    assert reads == [
        "_local_scalar_dense, dghin/model/dghin.py",
        "_local_scalar_dense, dghin/run/processes.py",
    ]


def test_the_original_waits_for_every_sentence(original):
    """So the test above can fail: a graph object a sentence, at each of three levels."""
    assert len(original["waits"]) >= 3 * 6


def test_memory_is_what_torchs_tracker_says(ours):
    assert ours["peak"] == pytest.approx(ours["tracked"], rel=0.01)


def test_memory_beside_the_originals(ours, original):
    """Activations and gradients: 0.60 of the original's float32. Weights and AdamW's state are the
    same in both."""
    assert ours["state"] == pytest.approx(original["state"], rel=0.01)
    share = (ours["peak"] - ours["state"]) / (original["peak"] - original["state"])
    assert share < 0.65, (ours["peak"], ours["state"], original["peak"], original["state"])


@pytest.mark.parametrize("processes", [1, 4], ids=["alone", "joint batch norms"])
def test_one_graph_and_no_break(config, processes):
    torch._dynamo.reset()
    found = counted.graphs_of(config, processes, kind="cpu")
    assert (found["graphs"], found["breaks"]) == (1, 0), found["reasons"]


@pytest.mark.skipif(
    not torch.backends.cuda.is_built()
    and not shutil.which(shlex.split(os.environ.get("CXX", "g++"))[0]),
    reason="torch has no CUDA, and no C++ compiler adds what it lacks (simulated_card.py)",
)
def test_the_papers_network_on_a_simulated_gpu(tmp_path):
    """Where is_cuda is true, and copies between host and card are seen: docs/training.md."""
    script, output = counted.__file__, tmp_path / "counted.json"
    words = ["ways=[original, ours, 'ours, recomputed']", "batches=[6]", f"output={output}"]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    original, ours, recomputed = json.loads(output.read_text())["results"]
    (wait,) = ours["waits"]
    assert wait.startswith("_local_scalar_dense, dghin/run/processes.py:")
    assert recomputed["waits"] == ours["waits"] and len(original["waits"]) > 50
    assert ours["operators"] <= 6800 and ours["bytes"] <= 95e9 and ours["flops"] <= 6 * 1.0e12
    assert recomputed["operators"] <= 9300
    assert ours["peak"] <= 0.70 * original["peak"]
    assert recomputed["peak"] <= 0.36 * original["peak"]
