"""A step of Muon over the demo's matrices: torch's, and ours, which computes in float32.

    python benchmarks/muon.py                 # in turns; turns=20
    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/muon.py    # without bfloat16

Both move the same matrices with the same gradients; torch's takes no convolutions, which it is
given as matrices here.
"""

import dataclasses
import sys
from collections.abc import Sequence

import torch
from harness import Result, machine, table, take_turns
from torch import nn

from data_preprocess.base.tables import to_markdown
from dghin.model.dghin import DGHIN
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import load_config
from dghin.training.optimizer.groups import Together, make_optimizer
from dghin.training.optimizer.muon import Muon

SETTINGS = {"lr": 4e-3, "weight_decay": 0.01}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own = {"config": "demo", "turns": 20, "threads": 1}
    values, words = read_words("muon.py", __doc__, own, arguments)
    torch.set_num_threads(values["threads"])
    print(to_markdown(table([compared(load_config(values["config"], words), values["turns"])])))
    print(machine()["hardware"])


def compared(config, turns: int) -> Result:
    """A step of torch's Muon and of ours, on random gradients, in seconds."""
    torch.manual_seed(0)
    shapes = [tuple(weight.shape) for weight in moved(config)]
    ours, theirs = (
        [nn.Parameter(torch.randn(shape).flatten(1)) for shape in shapes] for _ in range(2)
    )
    for one, other in zip(ours, theirs, strict=True):
        one.grad = torch.randn_like(one)
        other.grad = one.grad.clone()
    other = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **SETTINGS)
    baseline, own = take_turns(other.step, Muon(ours, **SETTINGS).step, turns)
    return Result(f"a step of Muon, {len(shapes)} matrices", "s", baseline, own, "less", 1.0)


def moved(config) -> list[torch.Tensor]:
    """The weights that Muon moves in a training."""
    settings = dataclasses.replace(config.train, optimizer="muon")
    optimizer = make_optimizer(DGHIN(config.model), settings)
    assert isinstance(optimizer, Together)
    (muon,) = (one for one in optimizer.optimizers if isinstance(one, Muon))
    return [weight for group in muon.param_groups for weight in group["params"]]


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
