"""Tables of several runs: scores with intervals, paired differences, seeds, what differs.

All are computed from the runs' rows and settings. Scores and their differences are in percent.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.settings import flatten, to_mapping
from dghin.evaluation.answers import PROTOCOLS
from dghin.evaluation.metrics import is_generalized, metrics_from_rows, protocols_of
from dghin.evaluation.uncertainty import (
    bootstrap,
    expression_keys,
    paired_difference,
    seeds_summary,
)
from dghin.report.tables.origins import (
    as_text,
    cut_digests,
    origin_facts,
    read_origin,
    side_by_side,
)
from dghin.run.config import Config, load_config, settings_with_effect
from dghin.run.folder import RunFolder

from .scores import EXPRESSIONS, GENERALIZED, percent, read_results

SCORES = {"oiou": "oIoU", "miou": "mIoU", "pr50": "Pr@0.5"}
FEW = ("strict", "paper")  # of several runs side by side, all protocols would be too much
SEED = "train.seed"
FACTS = {  # of a stage in environment.json: dotted key → what the table calls it
    "time": "time",
    "command": "command",
    "code.commit": "commit",
    "code.changed files": "changed files",
    "versions.torch": "PyTorch",
    "hardware.GPUs": "GPUs",
    "hardware.processor": "processor",
}


@dataclass(frozen=True)
class ComparedRun:
    """What is compared of a run: rows of the plain evaluation by split, and its settings."""

    name: str
    folder: Path
    splits: Mapping[str, pd.DataFrame]
    config: Config | None  # None: the folder has no config.yaml


def read_run(folder: Path, name: str) -> ComparedRun:
    """A run's rows and settings; UserError where it has no rows."""
    path = RunFolder(folder).config
    config = load_config(str(path)) if path.is_file() else None
    return ComparedRun(name, folder, read_results(folder)[""], config)


def scores_table(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """A row for every split, protocol and run, so that runs stand below each other."""
    columns = ["Split", "Protocol", "Run", EXPRESSIONS, "Images"]
    columns += ["oIoU", "oIoU, low", "oIoU, high", "mIoU", "Pr@0.5"]
    lines = []
    for split in all_splits(runs):
        for protocol in shown_protocols(runs, split):
            for run in runs:
                rows = run.splits.get(split)
                if rows is None or protocol not in protocols_of(rows):
                    continue
                scores = metrics_from_rows(rows, protocol)
                oiou, miou, pr50 = (percent(scores[name]) for name in SCORES)
                interval = bootstrap(rows, protocol, ["oiou"])["oiou"]
                images = len(rows.drop_duplicates(["dataset", "image"]))
                lines.append(
                    [split, protocol, run.name, len(rows), images]
                    + [oiou, *map(percent, interval), miou, pr50]
                )
    return pd.DataFrame(lines, columns=columns)


def differences_table(runs: Sequence[ComparedRun]) -> tuple[pd.DataFrame, list[str]]:
    """Every run minus the first, by split; and what cannot be compared, in words.

    Under the first protocol that both have (`strict`, where nothing else was saved).

    Differences are in percent points, of the same expressions. p-values are text, since two
    decimals would not show them.
    """
    first, lines, notes = runs[0], [], []
    for split in all_splits(runs):
        for run in runs[1:]:
            if missing := [one.name for one in (first, run) if split not in one.splits]:
                notes.append(f"{split}, {run.name}: not scored in {' and '.join(missing)}.")
                continue
            line = {"Split": split, "Protocol": "", "Run": run.name, "Against": first.name}
            try:
                protocol = common_protocol(run, first, split)
                line |= {"Protocol": protocol}
                line |= _differences(run.splits[split], first.splits[split], protocol)
            except UserError as error:
                line["Note"] = "not compared: other data"
                notes.append(f"{split}, {run.name} (first) and {first.name} (second): {error}")
            lines.append(line)
    frame = pd.DataFrame(lines)
    # whole numbers also where some are missing
    return frame.astype({EXPRESSIONS: "Int64"} if EXPRESSIONS in frame else {}), notes


def shown_protocols(runs: Sequence[ComparedRun], split: str) -> list[str]:
    """FEW, or where some run has none of these, all that the runs have."""
    found = [protocols_of(run.splits[split]) for run in runs if split in run.splits]
    few = all(set(FEW) & set(names) for names in found)
    return [name for name in (FEW if few else PROTOCOLS) if any(name in names for names in found)]


def common_protocol(run: ComparedRun, first: ComparedRun, split: str) -> str:
    """The first protocol that both runs were scored under; UserError where there is none."""
    names = [protocols_of(one.splits[split]) for one in (run, first)]
    shared = [name for name in names[0] if name in names[1]]
    if not shared:
        raise UserError(
            f"scored under {', '.join(names[0])} here and {', '.join(names[1])} there: no protocol "
            "in common. Hand over masks of one form for both."
        )
    return shared[0]


def _differences(rows: pd.DataFrame, against: pd.DataFrame, protocol: str) -> dict[str, Any]:
    line: dict[str, Any] = {}
    pairs = {"oiou": "oIoU", "miou": "mIoU"}
    if is_generalized(rows):
        pairs = GENERALIZED
    for name, shown in pairs.items():
        found = paired_difference(rows, against, protocol, name)
        line[EXPRESSIONS] = found.expressions
        line[f"Δ {shown}"] = percent(found.value)
        line |= {f"Δ {shown}, low": percent(found.low), f"Δ {shown}, high": percent(found.high)}
        line[f"p, {shown}"] = None if math.isnan(found.p_value) else f"{found.p_value:.4f}"
    return line


def seeds_table(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """Mean and sample standard deviation of runs that differ in their training's seed alone.

    A row for every group, split and protocol; only groups with two or more seeds, scored on the
    same expressions. Of runs with the same seed the first counts. Empty where there is none.
    """
    lines = []
    for group in _groups(runs):
        for split in all_splits(group):
            for members in _on_same_expressions(group, split):
                for protocol in shown_protocols(members, split):
                    part = [r for r in members if protocol in protocols_of(r.splits[split])]
                    if len(part) > 1:
                        lines.append(_seeds_line(part, split, protocol))
    return pd.DataFrame(lines)


def _groups(runs: Sequence[ComparedRun]) -> Iterator[list[ComparedRun]]:
    """Runs whose settings with effect agree in all but the seed: one run a seed."""
    groups: dict[str, dict[int, ComparedRun]] = {}
    for run in runs:
        if run.config is not None:
            settings = settings_with_effect(run.config)
            seed = settings.pop(SEED)
            groups.setdefault(repr(settings), {}).setdefault(seed, run)
    yield from (list(group.values()) for group in groups.values() if len(group) > 1)


def _on_same_expressions(group: Sequence[ComparedRun], split: str) -> list[list[ComparedRun]]:
    parts: dict[frozenset[Any], list[ComparedRun]] = {}
    for run in group:
        if split in run.splits:
            keys = frozenset(expression_keys(run.splits[split]))
            parts.setdefault(keys, []).append(run)
    return list(parts.values())


def _seeds_line(runs: Sequence[ComparedRun], split: str, protocol: str) -> dict[str, Any]:
    line: dict[str, Any] = {"Runs": ", ".join(run.name for run in runs), "Split": split}
    line |= {"Protocol": protocol, "Seeds": len(runs)}
    found = [metrics_from_rows(run.splits[split], protocol) for run in runs]
    for name, shown in SCORES.items():
        summary = seeds_summary(percent(scores[name]) for scores in found)
        line |= {f"{shown}, mean": summary.mean, f"{shown}, sd": summary.sd}
    return line


def settings_table(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """The settings in which the runs differ: a row a key, a column a run."""
    known = [run.config for run in runs if run.config is not None]
    flat = [flatten(to_mapping(run.config)) if run.config else {} for run in runs]
    effective = {key for config in known for key in settings_with_effect(config)}
    lines = []
    for key in dict.fromkeys(key for settings in flat for key in settings if key != "name"):
        values = [settings[key] for settings in flat if key in settings]
        if any(value != values[0] for value in values):
            shown = [cut_digests(as_text(s[key])) if key in s else "unknown" for s in flat]
            lines.append([key, *shown, "yes" if key in effective else "no"])
    columns = ["Setting", *(run.name for run in runs), "Changes the result"]
    return pd.DataFrame(lines, columns=columns)


def provenance_table(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """Where every run comes from: a row a fact, a column a run; "same" as the first run's."""
    return side_by_side({run.name: provenance_of(run) for run in runs})


def provenance_of(run: ComparedRun) -> dict[str, str]:
    """What environment.json and the rows themselves say, as text by name; digests are cut."""
    origin = read_origin(run.folder, run.name)
    facts = {}
    for stage, entry in origin.environment.items():
        flat = flatten(entry)
        facts |= {
            f"{stage}: {name}": as_text(flat[key]) for key, name in FACTS.items() if key in flat
        }
    facts |= origin_facts(origin, prefix="rows: ")
    return {name: cut_digests(text) for name, text in facts.items()}


def all_splits(runs: Sequence[ComparedRun]) -> list[str]:
    """Every split that some run has, in the first one's order."""
    return list(dict.fromkeys(split for run in runs for split in run.splits))
