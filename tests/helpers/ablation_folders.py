"""Folders of an ablation, made of rows instead of trainings, for tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_preprocess.base.files import write_json
from dghin.ablation.trainings import Member, member_config, members
from dghin.evaluation.provenance import checkpoint
from dghin.model.hub import WEIGHTS
from dghin.run.config import Config, load_config, save_config
from dghin.run.folder import RunFolder

SPLITS = ("val", "testA", "testB")
COMMIT = "c" * 40
# overall IoU by variant and seed; what `write_ablation` makes of them
SCORES = {
    "full": (0.60, 0.61, 0.62),
    "text graph off": (0.50, 0.51, 0.52),
    "visual graph off": (0.60, 0.62, 0.61),
}


def scored_rows(split: str, score: float, count: int = 20) -> pd.DataFrame:
    """Rows whose overall IoU is `score` in every protocol: every union is 1,000 pixels."""
    number = np.arange(count)
    spread = np.where(number % 2, 90, -90)  # of the expressions' own IoU
    rows = pd.DataFrame(
        {
            "dataset": "refcoco",
            "split": split,
            "segment_id": [str(i // 2) for i in number],
            "sentence_index": number % 2,
            "sentence": "the red star",
            "kind": "",
            "image": [f"{i // 4}.jpg" for i in number],
            "length": 3,
            "targets": 1,
            "height": 48,
            "width": 64,
            "area": 100,
        }
    )
    for protocol in ("strict", "paper", "resized", "threshold=0.35"):
        rows[f"{protocol}_intersection"] = (round(1000 * score) + spread).astype(int)
        rows[f"{protocol}_union"] = 1000
    return rows


def origin_of(config: Config, checkpoint: str | None) -> dict[str, Any]:
    """Where the rows of a training come from; in place of `provenance`."""
    return {
        "commit": COMMIT,
        "changed files": 0,
        "command": "dghin reproduce run=ablation",
        "checkpoint": checkpoint,
        "data": {"dataset": "refcoco"},
    }


def manifest_of(config: Config) -> dict[str, Any]:
    """The manifest of the data that the rows are of; in place of `run_manifest`."""
    return {"splits": {split: {"expressions": 20} for split in SPLITS}}


def write_member(member: Member, score: float, config: Config | None = None) -> Path:
    """A training's folder: settings, weights, log, environment, and rows of those weights."""
    folder = member.folder
    config = member_config(config or load_config("demo"), member)
    save_config(config, folder / "config.yaml")
    RunFolder(folder).best.mkdir(parents=True, exist_ok=True)
    (RunFolder(folder).best / WEIGHTS).write_bytes(f"{member.variant} {member.seed}".encode())
    origin = origin_of(config, checkpoint(folder))
    (folder / "rows").mkdir(exist_ok=True)
    for split in SPLITS:
        rows = scored_rows(split, score)
        rows.attrs["provenance"] = origin
        rows.to_parquet(folder / "rows" / f"{split}.parquet")
    environment = {"command": "python", "versions": {"torch": "2.9"}, "hardware": {"GPUs": []}}
    write_json(folder / "environment.json", {"train": environment})
    train = [
        {"kind": "train", "iteration": i, "expressions_per_second": speed}
        for i, speed in ((25, 16.0), (50, 8.0), (75, 16.0))
    ]
    val = {"kind": "val", "iteration": 50, "oiou": score, "protocol": "strict"}
    lines = [json.dumps(record) + "\n" for record in (*train, val)]
    (folder / "train" / "log.jsonl").write_text("".join(lines))
    return folder


def write_ablation(folder: Path, scores: dict[str, tuple[float, ...]] = SCORES) -> Path:
    """reports/<run> with a training for every variant and seed of `scores`."""
    for variant, values in scores.items():
        for member in members(folder, range(len(values)), [variant]):
            write_member(member, values[member.seed])
    return folder


def add_kinds_and_spread(member: Member) -> None:
    """Make a member's expressions attribute and relation in turn (the latter without an object
    marked), and write into its log two validations with the visual graphs' spread."""
    for path in (member.folder / "rows").glob("*.parquet"):
        rows = pd.read_parquet(path)
        rows["kind"] = np.where(np.arange(len(rows)) % 2, "attribute", "relation")
        rows.loc[rows["kind"] == "relation", "strict_intersection"] = 100 + member.seed
        rows.attrs["provenance"] = origin_of(member.config, checkpoint(member.folder))
        rows.to_parquet(path)
    lines = []
    for iteration, rows_of_it in ((50, 9.0), (100, 1.0 + member.seed)):
        found = {f"graph_rows_{level}": rows_of_it for level in (1, 2, 3)}
        found |= {f"graph_all_{level}": 9.0 for level in (1, 2, 3)}
        line = {"kind": "val", "iteration": iteration, "oiou": 0.5, "protocol": "strict", **found}
        lines.append(json.dumps(line) + "\n")
    path = RunFolder(member.folder).log
    train = [line for line in path.read_text().splitlines(True) if '"val"' not in line]
    path.write_text("".join(train + lines))
