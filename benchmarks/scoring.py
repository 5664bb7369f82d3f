"""Time and memory of scoring a split's saved masks, beside the loop that one writes first.

    python benchmarks/scoring.py
    python benchmarks/scoring.py expressions=2000 rounds=1

Made-up run lengths of 640 × 480, as many as RefCOCO's val has expressions, are scored by `dghin
evaluate predictions=` (from the start of the process to the tables) and by a plain loop: decode,
intersect, add up, on one core, without rows, intervals or tables. They take turns, `rounds` times.
Memory is the most that a process tree held at once (proportional set size, every 0.1 s).
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from data_preprocess.base.files import write_json
from data_preprocess.base.tables import to_markdown
from data_preprocess.prepared.one_dataset import PrepareSettings
from data_preprocess.prepared.prepare import prepare
from data_preprocess.raw.segmentation import run_lengths
from dghin.run.command_line import read_words, run_cli
from dghin.run.environment import ROOT, processor

SIZE = (480, 640)
LOOP = """
import json, sys
import numpy as np
from PIL import Image
from pycocotools import mask as coco
both = either = 0
for line in open(sys.argv[1]):
    entry = json.loads(line)
    found = coco.decode({"size": entry["size"], "counts": entry["counts"].encode()}) > 0
    truth = np.asarray(Image.open(f"{sys.argv[2]}/{entry['ref_id']}.png")) > 127
    both += int((found & truth).sum())
    either += int((found | truth).sum())
print(both / either)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own = {"expressions": 10_834, "images": 1_500, "rounds": 3}
    values, _ = read_words("benchmarks.scoring", __doc__, own, arguments, settings=False)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_data(folder, values["expressions"], values["images"])
        masks = str(folder / "prepared/masks/refcoco")
        ways = {
            "loop": [sys.executable, "-c", LOOP, "masks.jsonl", masks],
            "dghin evaluate": [
                sys.executable, "-m", "dghin", "evaluate", "run=theirs", "config=refcoco",
                f"data.root={folder}", "data.prepared=prepared", "split=val",
                "predictions=masks.jsonl",
            ],
        }  # fmt: skip
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(values["rounds"]):
            for name, command in ways.items():
                found[name].append(measured(command, folder))
    print(f"{values['expressions']:,} masks of 640 × 480; {processor()}\n")
    print(to_markdown(summary(found)), end="")


def write_data(folder: Path, expressions: int, images: int) -> None:
    """A raw data set of made-up ellipses, prepared without a parser, and predictions beside it."""
    random = np.random.default_rng(0)
    (folder / "images/train2014").mkdir(parents=True)
    (folder / "refcoco").mkdir()
    entries, annotations, refs, lines = [], [], [], []
    for number in range(images):
        name = f"COCO_train2014_{number:012d}.jpg"
        Image.new("RGB", SIZE[::-1]).save(folder / "images/train2014" / name)
        entries.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
    for number in range(-(-expressions // 3)):
        image = number % images
        shape = run_lengths(ellipse(random))
        annotations.append({"id": number, "image_id": image, "segmentation": shape,
                            "category_id": 1, "bbox": [0, 0, 1, 1]})  # fmt: skip
        said = range(3 * number, min(3 * number + 3, expressions))
        sentences = [{"sent_id": sent, "sent": f"thing number {sent}"} for sent in said]
        refs.append({"ref_id": number, "ann_id": number, "image_id": image, "split": "val",
                     "sentences": sentences})  # fmt: skip
        for sent in said:
            guess = run_lengths(ellipse(random))
            lines.append(json.dumps({"ref_id": number, "sent_id": sent} | guess) + "\n")
    write_json(folder / "refcoco/instances.json", {
        "images": entries, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}],
    })  # fmt: skip
    import pickle

    (folder / "refcoco/refs(unc).p").write_bytes(pickle.dumps(refs))
    (folder / "masks.jsonl").write_text("".join(lines))
    settings = {"data": str(folder), "output": str(folder / "prepared"), "parser": "none"}
    prepare(PrepareSettings(dataset="refcoco", **settings))


def ellipse(random: np.random.Generator) -> np.ndarray:
    """A filled ellipse somewhere in the photo."""
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    high, wide = random.uniform(20, 150, 2)
    middle = random.uniform(0, SIZE[0]), random.uniform(0, SIZE[1])
    return ((y - middle[0]) / high) ** 2 + ((x - middle[1]) / wide) ** 2 < 1


def measured(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds of a command, and the most MiB that it and its children held at once."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started, most = time.perf_counter(), 0.0
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            most = max(most, sum(map(held, tree(process.pid))))
            time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"{command}: ended with {process.returncode}")
    return time.perf_counter() - started, most


def tree(process: int) -> list[int]:
    """A process and all that it has started."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [process] + [one for child in text.split() for one in tree(int(child))]


def held(process: int) -> float:
    """MiB that a process holds; memory that several share counts in parts."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(text.partition("Pss:")[2].split()[0]) / 1024


def summary(found: dict[str, list[tuple[float, float]]]) -> pd.DataFrame:
    """Way; seconds (median) with their spread; peak memory; time in parts of the loop's."""
    first = statistics.median(seconds for seconds, _ in found["loop"])
    lines = []
    for name, figures in found.items():
        times = [seconds for seconds, _ in figures]
        middle = statistics.median(times)
        spread = f"{min(times):.1f}–{max(times):.1f}"
        lines.append([name, middle, spread, max(memory for _, memory in figures), middle / first])
    columns = ["Way", "Seconds", "Spread", "Peak, MiB", "Ratio to the loop"]
    return pd.DataFrame(lines, columns=columns).round(2)


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
