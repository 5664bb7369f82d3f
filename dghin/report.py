"""One self-contained page of a run: reports/<run>/report.html, figures inside, no network.

    python -m dghin.report run=demo      remake it, and all tables, from what the run has left

It is made from files only: rows, train/log.jsonl, config.yaml, environment.json, tables/ and
figures/. What a run does not have (yet) is left out.
"""

import base64
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from data_preprocess.common import write_text
from data_preprocess.settings import flatten

from .cli import read_words, run_cli
from .config import Config, load_config
from .environment import read_environment
from .figures import bars, learning_curves, precision_curves, read_log, save_figure
from .logbook import clock
from .metrics import PROTOCOLS
from .run import REPORTS, enter_project
from .tables import (
    KIND,
    LENGTH,
    Results,
    cells,
    generalized_table,
    kind_table,
    length_table,
    metrics_table,
    numeric,
    read_results,
    run_metrics,
    write_results,
)

log = logging.getLogger(__name__)
TEMPLATE = "report.html"
CONTROL = "shuffled"


def write_report(folder: Path) -> Path:
    """Write tables, the figures of numbers, and report.html of a run's folder; → the page."""
    results = read_results(folder)
    config = load_config(str(folder / "config.yaml"))
    write_results(results, folder)
    write_figures(results, folder)
    page = render(contents(folder, config, results))
    path = folder / TEMPLATE
    write_text(path, page)
    return path


def write_figures(results: Results, folder: Path) -> None:
    """The figures that are drawn from rows and log."""
    figures = folder / "figures"
    save_figure(precision_curves(results, "strict"), figures, "precision")
    for name, table, group in (
        ("by_length", length_table(results), LENGTH),
        ("by_kind", kind_table(results), KIND),
    ):
        if len(table):
            save_figure(bars(table, group, "oIoU"), figures, name)
    if (folder / "train" / "log.jsonl").is_file():
        log_frame = read_log(folder / "train" / "log.jsonl")
        save_figure(learning_curves(log_frame), figures, "learning_curves")


def contents(folder: Path, config: Config, results: Results) -> dict[str, Any]:
    """Everything that the template shows."""
    return {
        "run": folder.name,
        "config": config,
        "headline": headline(results, config.data.test_splits),
        "tables": {
            "main": metrics_table(results),
            "generalized": generalized_table(results),
            "by_length": length_table(results),
            "by_kind": kind_table(results),
            "alignment": read_table(folder / "tables" / "alignment.csv"),
            "splits": split_table(read_table(folder / "tables" / "splits.csv")),
        },
        "figures": {p.stem: data_uri(p) for p in sorted((folder / "figures").glob("*.png"))},
        "training": training_facts(folder / "train" / "log.jsonl")
        | machine_facts(read_environment(folder).get("train", {})),
        "settings": (folder / "config.yaml").read_text(encoding="utf-8"),
        "environment": environment_table(read_environment(folder)),
        "control": CONTROL,
    }


def headline(results: Results, test_splits: Sequence[str]) -> list[dict[str, Any]]:
    """The overall IoU of every test split (all splits where none is one), with its control.

    One entry a split: split, strict, paper, control (strict, or None), share (control / strict).
    """
    metrics = run_metrics(results)
    controls = metrics.pop("controls").get(CONTROL, {})
    entries = []
    for split in [name for name in metrics if name in test_splits] or list(metrics):
        entry = {name: metrics[split][name]["oiou"] for name in PROTOCOLS}
        control = controls[split]["strict"]["oiou"] if split in controls else None
        known = control is not None and entry["strict"]
        share = control / entry["strict"] if known else None
        entries.append({"split": split, **entry, "control": control, "share": share})
    return entries


def training_facts(path: Path) -> dict[str, str]:
    """What the log says of the training: name → value, as text; nothing without a log."""
    if not path.is_file():
        return {}
    frame = read_log(path)
    train, val = frame[frame["kind"] == "train"], frame[frame["kind"] == "val"]
    facts = {}
    start = frame[frame["kind"] == "start"]
    if len(start) and "parameters" in start:
        facts["parameters of the network"] = f"{int(start['parameters'].iloc[-1]):,}"
        facts["processes"] = f"{int(start['world'].iloc[-1])}"
    if len(train):
        facts["iterations"] = f"{int(train['iteration'].iloc[-1]):,}"
        facts["expressions a second"] = f"{train['expressions_per_second'].median():.1f}"
        facts["time"] = clock(train["elapsed"].iloc[-1]) + ", validation included"
    stops = int((start["iteration"] > 0).sum()) if len(start) and "iteration" in start else 0
    if stops:
        facts["stopped and went on"] = f"{stops} time{'s' * (stops > 1)}"
    skipped = int((frame["kind"] == "skipped").sum())
    if skipped:
        facts["steps skipped"] = f"{skipped}, for a loss or gradient that is not finite"
    if len(val):
        best = val.loc[val["oiou"].idxmax()]
        facts["weights kept"] = (
            f"of iteration {int(best['iteration']):,}: overall IoU {100 * best['oiou']:.2f} on the "
            f"validation split, {best['protocol']} protocol"
        )
    return facts


def machine_facts(entry: Mapping[str, Any]) -> dict[str, str]:
    """Where the training ran, in a line or two."""
    if not entry:
        return {}
    machine, code = entry["hardware"], entry["code"]
    gpus = machine["GPUs"]
    changed = f", with {code['changed files']} changed files" if code["changed files"] else ""
    return {
        "machine": f"{machine['processor']}, {machine['cores']} cores, "
        + (f"{len(gpus)} × {gpus[0]}" if gpus else "no GPU"),
        "code": f"commit {code['commit']}{changed}" if code["commit"] else "no git checkout",
        "PyTorch": entry["versions"].get("torch", "unknown"),
    }


def environment_table(stages: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The environments side by side: a row a value, a column a stage."""
    flat = {stage: flatten(entry) for stage, entry in stages.items()}
    keys = list(dict.fromkeys(key for entry in flat.values() for key in entry))
    lines = []
    for key in keys:
        values = [_shown(entry.get(key)) for entry in flat.values()]
        values[1:] = ["same" if value == values[0] else value for value in values[1:]]
        lines.append([key.replace(".", ": "), *values])
    return pd.DataFrame(lines, columns=["What", *flat])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)


def read_table(path: Path) -> pd.DataFrame:
    """A table that a notebook has written; empty where there is none."""
    return pd.read_csv(path) if path.is_file() else pd.DataFrame()


def split_table(card: pd.DataFrame) -> pd.DataFrame:
    """The split card, a row a split where nothing is published to hold its counts against."""
    if card.empty or card["Published"].notna().any():
        return card
    wide = card.pivot(index="Split", columns="Count", values="Here").reset_index()
    order = {split: place for place, split in enumerate(card["Split"])}
    columns = ["Split", *dict.fromkeys(card["Count"])]
    return wide.sort_values("Split", key=lambda names: names.map(order))[columns]


def data_uri(path: Path) -> str:
    """A PNG as text inside a page."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def render(values: Mapping[str, Any]) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dghin"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"cells": cells, "numeric": numeric, "percent": _percent}
    return environment.get_template(TEMPLATE).render(values)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    enter_project()
    values, _ = read_words(
        "dghin.report", __doc__, {"run": "demo", "reports": str(REPORTS)}, arguments
    )
    print(write_report(Path(values["reports"]) / values["run"]))


if __name__ == "__main__":
    run_cli(main)
