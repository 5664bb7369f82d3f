"""How much faster and leaner than the original's way of computing the same: one table.

    python benchmarks/speed.py                            all lines, the paper's network at 416
    python benchmarks/speed.py lines=[loader,import]      some of them
    python benchmarks/speed.py config=demo turns=1        a smaller network: minutes become seconds
    python benchmarks/speed.py model=reports/demo/train/best      masks in bfloat16 by this network

The baselines are the original's formulations, written anew (benchmarks/original.py, samples.py).
Both ways compute the same, from the same random weights and inputs, in turns; figures are medians.
`Spread` is the smallest and the largest ratio of a turn. Targets are those of two CPU cores. All
figures, with hardware and versions, go to `output` as JSON.
"""

import ast
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import lines_graphs
import lines_network
import torch
from harness import Result, table, take_turns, write_results
from tqdm import tqdm

from data_preprocess.base.errors import unknown_name
from data_preprocess.base.tables import to_markdown
from dghin.run.command_line import read_words, run_cli
from dghin.run.config import Config, load_config
from dghin.run.precision import keep_freed_memory
from dghin.run.processes import threads

ORIGINALS_IMPORTS = "torch, torchvision, timm, transformers, spacy, torch_geometric"


def loader(config: Config, turns: int, model: str) -> list[Result]:
    """A training sample by one worker, which has one core."""
    from samples import OriginalSamples, noise_data

    images = 80  # more than ours remembers
    with tempfile.TemporaryDirectory() as folder:
        dataset = noise_data(Path(folder) / "data", images)
        original, number = OriginalSamples(dataset), iter(range(10**9))
        cores = torch.get_num_threads()
        torch.set_num_threads(1)

        def eight_of(samples):
            return lambda: [samples[next(number) % images] for _ in range(8)]

        ways = take_turns(eight_of(original), eight_of(dataset), max(turns, 5))
        torch.set_num_threads(cores)
    baseline, ours = ([1000 * seconds / 8 for seconds in way] for way in ways)
    return [Result("loader: 640×480 JPEG to a sample at 416", "ms", baseline, ours, "more", 5.0)]


def intervals(config: Config, turns: int, model: str) -> list[Result]:
    """95 % intervals of a split of 10,000 expressions: drawing rows, beside sums of images."""
    from intervals import random_rows, resample_rows, resample_sums

    rows, few, many = random_rows(10_000, 1_500), 5, 2_000
    ways = take_turns(lambda: resample_rows(rows, few), lambda: resample_sums(rows, many), turns)
    baseline = [seconds * many / few for seconds in ways[0]]
    note = f"{many:,} resamples; the baseline is timed on {few}"
    return [Result("95 % intervals of a split", "s", baseline, ways[1], "more", 1.0, note)]


def importing(config: Config, turns: int, model: str) -> list[Result]:
    """`import dghin`, beside what the original's scripts import."""
    first = "from dghin.run.timm_import import timm; "  # torchvision, where it needs help

    def fresh(code: str) -> Callable[[], None]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    baseline, ours = take_turns(
        fresh(f"{first}import {ORIGINALS_IMPORTS}"), fresh("import dghin"), turns
    )
    code = "import sys, dghin; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["spacy", "pycocotools", "matplotlib", "papermill", "torch"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True
    )
    loaded = ", ".join(ast.literal_eval(done.stdout)) or "none"
    note = f"under 3 s: {'yes' if max(ours) < 3 else 'no'}; of {', '.join(heavy)} it loads {loaded}"
    return [Result("import", "s", baseline, ours, "more", 1.0, note)]


LINES: dict[str, Callable[[Config, int, str], list[Result]]] = {
    "loader": loader,
    "visual graph": lines_graphs.visual_graph,
    "text graph": lines_graphs.text_graph,
    "evaluation": lines_network.evaluation,
    "bfloat16": lines_network.bfloat16,
    "step": lines_network.training_step,
    "intervals": intervals,
    "import": importing,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own = {"config": "refcoco", "lines": [], "turns": 3, "model": ""}
    own["output"] = "reports/benchmarks/speed.json"
    values, words = read_words("benchmarks.speed", __doc__, own, arguments)
    chosen = values["lines"] or list(LINES)
    for name in chosen:
        if name not in LINES:
            raise unknown_name("line", name, LINES)
    config = load_config(values["config"], words)
    logging.getLogger().setLevel(logging.ERROR)
    keep_freed_memory()
    torch.set_num_threads(threads(config.train.threads))
    results: list[Result] = []
    shown = tqdm(chosen, unit="line", disable=None)
    for name in shown:
        shown.set_description(name)
        results += LINES[name](config, values["turns"], values["model"])
    write_results(results, {**values, "overrides": words}, Path(values["output"]))
    size = config.model.image_size
    print(
        f"config {values['config']} at {size}, CPU, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}; all figures: {values['output']}"
    )
    print(to_markdown(table(results)), end="")


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
