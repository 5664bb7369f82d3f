"""Time of an image by the network, by its `torch.export` program and by ONNX, in one run.

    python benchmarks/exported.py                                the demo's network
    python benchmarks/exported.py model=reports/demo/train/best  a trained one
    python benchmarks/exported.py config=refcoco rounds=3        the paper's, with random weights

Noise goes through each, `batch` expressions with an image each, on the CPU. They take turns,
`rounds` times; a turn is `calls` calls, after one that is not counted. "eager" is the network as
the kit runs it; its auxiliary heads, which an exported one leaves out, are left out in the line
below it. Ratios are to the first.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from data_preprocess.base.tables import to_markdown
from dghin.inspection.export import (
    MaskLogits,
    export_onnx,
    exported,
    need,
    random_inputs,
    save_program,
)
from dghin.model.dghin import DGHIN
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import load_config
from dghin.run.processes import threads

Way = Callable[..., Tensor]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own = {"config": "demo", "model": "", "batch": 1, "rounds": 7, "calls": 10}
    values, words = read_words("benchmarks.exported", __doc__, own, arguments)
    need("onnx", "onnxscript", "onnxruntime")
    config = load_config(values["config"], words)
    torch.set_num_threads(threads(config.train.threads))
    torch.manual_seed(0)
    named = values["model"]
    model = DGHIN.from_pretrained(named) if named else DGHIN(config.model).eval()
    inputs = random_inputs(model.config, values["batch"])
    with tempfile.TemporaryDirectory() as folder:
        found = take_turns(ways(model, Path(folder)), inputs, values["rounds"], values["calls"])
    named = f"model {named}" if named else f"config {values['config']}"
    print(
        f"{named}, batch {values['batch']}, CPU, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
    print(to_markdown(table(found)), end="")


def ways(model: DGHIN, folder: Path) -> dict[str, Way]:
    """Every way of running the network: INPUTS → logits."""
    save_program(model, folder / "model.pt2")
    export_onnx(model, folder / "model.onnx")
    return {
        "eager": lambda *inputs: model(*inputs).mask,
        "eager, no auxiliary heads": MaskLogits(model),
        "torch.export": exported(folder / "model.pt2"),
        "ONNX, onnxruntime": exported(folder / "model.onnx"),
    }


@torch.inference_mode()
def take_turns(
    runs: Mapping[str, Way], inputs: Sequence[Tensor], rounds: int, calls: int
) -> dict[str, list[float]]:
    """Seconds an image of every way, one number a round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    turns = [name for _ in range(rounds) for name in runs]
    for name in tqdm(turns, unit="turn", disable=None):
        run = runs[name]
        run(*inputs)
        started = time.perf_counter()
        for _ in range(calls):
            run(*inputs)
        passed = time.perf_counter() - started
        seconds[name].append(passed / calls / len(inputs[0]))
    return seconds


def table(seconds: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Way; seconds an image (median); ratio to the first; spread of the rounds."""
    first = statistics.median(next(iter(seconds.values())))
    lines = []
    for name, times in seconds.items():
        middle = statistics.median(times)
        spread = f"{(max(times) - min(times)) / middle:.0%}"
        lines.append((name, f"{middle:.4f}", f"{middle / first:.2f}", spread))
    return pd.DataFrame(lines, columns=["Way", "Seconds an image", "to the first", "Spread"])


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
