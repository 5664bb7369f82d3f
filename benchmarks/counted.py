"""What a training step costs a GPU, counted without one: operators, bytes, FLOPs, waits, memory.

    python benchmarks/counted.py                 the paper's network: docs/training.md's table
    python benchmarks/counted.py config=demo batches=[2]
    python benchmarks/counted.py ways=[ours] batches=[6,12,24] train.precision=float32
    python benchmarks/counted.py tracker=true graphs=true           ... and the two checks below

A step is that of training, on a simulated card of 80 GiB (simulated_card.py): the original's
formulation in float32, and ours as `auto` chooses it there, but not compiled (a compiler makes
other operators of it), once with nothing recomputed and once with `train.recompute=true`. Memory
is the most that is held at once: weights, AdamW's state, gradients, activations, what is under
way; not what kernels take for themselves. The same on every machine: nothing is timed. It takes
about five minutes.

`tracker=true`: the same memory by torch's MemTracker, too. `graphs=true`: how many graphs
torch.compile makes of the network there and where it breaks off, alone and as one of four processes
whose batch norms count together.
"""

import contextlib
import dataclasses
import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import simulated_card
import torch
import torch.distributed as dist
from counting import Counting, tensors
from noise import random_batch
from original import Original
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.distributed._tools.mem_tracker import MemTracker
from tqdm import tqdm

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.files import write_json
from data_preprocess.base.tables import to_markdown
from dghin.data.batches import model_inputs
from dghin.data.loading import Batch
from dghin.model.dghin import DGHIN
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import Config, load_config
from dghin.run.precision import autocast
from dghin.run.processes import Place
from dghin.training.device.joint_norm import use_joint_norms
from dghin.training.recipe import of_one_batch
from dghin.training.step import Stepper

GB = 10**9
PLAIN = {"precision": "float32", "channels_last": False, "recompute": False}
WAYS = {  # settings of a way that are not left as configured
    "original": PLAIN,
    "ours": {"recompute": False},
    "ours, recomputed": {"recompute": True},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own: dict[str, Any] = {"config": "refcoco", "ways": [*WAYS], "batches": [6, 24]}
    own |= {"tracker": False, "graphs": False, "output": "reports/benchmarks/counted.json"}
    values, words = read_words("benchmarks.counted", __doc__, own, arguments)
    config = load_config(values["config"], words)
    for way in values["ways"]:
        if way not in WAYS:
            raise unknown_name("way", way, WAYS)
    cases = [(way, batch) for batch in values["batches"] for way in values["ways"]]
    shown = tqdm(cases, "count", unit="step", disable=None)
    found = [count(config, *case, values["tracker"]) for case in shown]
    graphs = {}
    if values["graphs"]:
        graphs = {"alone": graphs_of(config, 1), "joint batch norms": graphs_of(config, 4)}
    results = {"torch": torch.__version__, "results": found, "graphs": graphs}
    write_json(Path(values["output"]), results)
    print(to_markdown(table(found)), end="")
    for name, one in graphs.items():
        print(f"{name}: {one['graphs']} graphs, {one['breaks']} breaks {one['reasons']}")


def count(
    config: Config, way: str, batch: int, tracker: bool = False, kind: str = "cuda"
) -> dict[str, Any]:
    """The figures of one step of a way, on so many expressions. kind: of the device."""
    with simulated_card.card(kind) as device:
        stepper, batches = prepared(config, way, batch, device)
        counting = Counting(held_by(stepper), kind)
        state = counting.held
        with counting:
            stepper.step(batches, 1e-6)
        tracked = by_tracker(stepper, batches) if tracker else None
    gc.collect()  # fake tensors of one case must not be counted in the next
    return {
        "way": way, "batch": batch, "operators": counting.operators, "bytes": counting.bytes,
        "flops": counting.flops, "waits": counting.waits, "peak": counting.peak,
        "state": state, "tracked": tracked,
        "calls": dict(counting.calls.most_common()), "moved": dict(counting.moved.most_common()),
    }  # fmt: skip


def prepared(
    config: Config, way: str, batch: int, device: torch.device
) -> tuple[Stepper, list[Batch]]:
    """What trains a way's network, after its first step, and the batch of the next one."""
    settings = dataclasses.replace(config.train, compile=False, **WAYS[way])
    config = dataclasses.replace(config, train=settings)
    recipe = of_one_batch(settings, batch, 1, device)
    network = network_of(config, way == "original", recipe.settings.channels_last, device)
    model = network.model if way == "original" else network
    stepper = Stepper(model, config, recipe, Place(0, 1, device))
    if way == "original":
        stepper.network = network
        stepper.trained = list(network.parameters())
        group = {"params": stepper.trained, "scale": 1.0}
        # the plain one keeps its counts of steps on the host and reads them there: no wait of a
        # GPU, but on a simulated CPU both would be one place
        fused = device.type == "cpu"
        stepper.optimizer = torch.optim.AdamW([group], weight_decay=0.01, fused=fused)
    stepper.training_mode()
    for parameter in stepper.trained:
        parameter.grad = torch.empty_like(parameter)
    stepper.optimizer.step()  # which makes its state
    stepper.optimizer.zero_grad(set_to_none=True)
    with unset_fake_temporarily():
        real = random_batch(config, batch)
    fake = {k: x if x is None else simulated_card.like(x, x.device) for k, x in real.items()}
    return stepper, [fake]


def network_of(
    config: Config, original: bool, channels_last: bool, device: torch.device
) -> torch.nn.Module:
    """The network on the simulated card. It is made on torch's device without memory."""
    with unset_fake_temporarily(), torch.device("meta"):
        network: torch.nn.Module = DGHIN(config.model)
        if original:
            network = Original(network)
        if channels_last:
            network.to(memory_format=torch.channels_last)
    return simulated_card.placed(network, device)


def held_by(stepper: Stepper) -> list[torch.Tensor]:
    """What is on the device between two steps."""
    model = stepper.model
    own = [*model.parameters(), *model.buffers(), *stepper.kept_statistics]
    return [*own, *tensors(list(stepper.optimizer.state.values()))]


def by_tracker(stepper: Stepper, batches: list[Batch]) -> int:
    """The peak of a step's memory by torch's own tracker."""
    if not all(parameter.requires_grad for parameter in stepper.model.parameters()):
        raise UserError(
            "tracker=true: torch's MemTracker takes no frozen weights. Give "
            "train.text_learning_rate_scale=1.0, or leave it out."
        )
    kind = stepper.place.device.type
    tracker = MemTracker()
    tracker.track_external(stepper.network, stepper.optimizer, *stepper.kept_statistics)
    with tracker, Counting(kind=kind):
        stepper.step(batches, 1e-6)
    (device,) = {place: x for place, x in tracker.get_tracker_snapshot("peak").items()
                 if place.type == kind}.values()  # fmt: skip
    return device["Total"]


def graphs_of(config: Config, processes: int, kind: str = "cuda") -> dict[str, Any]:
    """The graphs that torch.compile makes of our forward pass, and why it breaks off, if it does.

    processes: of a group that is not there either, over which the batch norms count.
    """
    with group_of(processes), simulated_card.card(kind) as device:
        stepper, batches = prepared(config, "ours", 2, device)
        if processes > 1:
            use_joint_norms(stepper.model)
            stepper.training_mode()
        inputs = model_inputs(batches[0], device)
        with autocast(stepper.recipe.precision, device):
            found = torch._dynamo.explain(stepper.model)(**inputs)
    reasons = [str(reason.reason) for reason in found.break_reasons]
    return {"graphs": found.graph_count, "breaks": found.graph_break_count, "reasons": reasons}


@contextlib.contextmanager
def group_of(processes: int) -> Iterator[None]:
    """A process group whose other processes are not there; none, if this one is alone."""
    if processes == 1:
        yield
        return
    import torch.testing._internal.distributed.fake_pg as fake

    dist.init_process_group("fake", rank=0, world_size=processes, store=fake.FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


def table(found: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A line a way and batch; memory beside the original's at that batch."""
    first = {one["batch"]: one["peak"] for one in found if one["way"] == "original"}
    lines = []
    for one in found:
        share = f"{one['peak'] / first[one['batch']]:.2f}" if one["batch"] in first else ""
        lines.append((
            one["way"], one["batch"], f"{one['operators']:,}", f"{one['bytes'] / GB:.0f}",
            f"{one['flops'] / one['batch'] / 1e12:.2f}", len(one["waits"]),
            f"{one['peak'] / GB:.1f}", share,
        ))  # fmt: skip
    names = ["Way", "Batch", "Operators", "GB moved", "TFLOP an image", "Waits", "GB held",
             "to original"]  # fmt: skip
    return pd.DataFrame(lines, columns=names)


if __name__ == "__main__":
    simulated_card.start_again()
    sys.exit(run_cli(main, sys.argv[1:]))
