"""Where the numbers of runs come from: tables of it, and what to know before one trusts them.

    origins = [read_origin(folder) for folder in folders]
    origin_warnings(origins)       # sentences; none where all is well
    environment_table(origins)     # versions, hardware, digests of the data: a column a stage

The report of a run, the comparison of several and the ablation's page all show these.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.settings import flatten
from dghin.evaluation.provenance import checkpoint, read_rows
from dghin.run.environment import read_environment

NOT_RECORDED = "not recorded"
DIGITS = 12  # of a digest that is cut short
_DIGEST = re.compile(r"[0-9a-f]{40,64}")
_ROWS = {  # what all rows share
    "answered by": "models", "checkpoint": "weights", "commit": "commits", "data": "data",
}  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """What the files in a run's folder say of themselves."""

    name: str
    rows: Mapping[str, Mapping[str, Any]]  # a rows file ("val", "shuffled/val") → its provenance
    environment: Mapping[str, Any]  # stage ("train", "evaluate") → entry of environment.json
    weights: str | None  # SHA-256 of the weights in the folder; None where they are elsewhere

    @property
    def known(self) -> list[Mapping[str, Any]]:
        """The provenance of the rows files that have one."""
        return [origin for origin in self.rows.values() if origin]

    @property
    def code(self) -> dict[str, list[Mapping[str, Any]]]:
        """What the code did → the commits and changed files that are recorded of it."""
        return {"trained": self._code("train"), "scored": [*self.known, *self._code("evaluate")]}

    def _code(self, stage: str) -> list[Mapping[str, Any]]:
        found = self.environment.get(stage, {}).get("code")
        return [found] if found else []


def read_origin(folder: Path, name: str = "") -> Origin:
    """The origin of a run. name: what the page calls it (default: its folder's name)."""
    paths = sorted(folder.glob("rows/**/*.parquet"), key=lambda path: (len(path.parts), path))
    rows = {
        path.relative_to(folder / "rows").with_suffix("").as_posix(): (
            read_rows(path, []).attrs.get("provenance") or {}
        )
        for path in paths
    }
    return Origin(name or folder.name, rows, read_environment(folder), checkpoint(folder))


def origin_facts(origin: Origin, prefix: str = "") -> dict[str, str]:
    """What the rows say: commit, changed files, command, checkpoint (SHA-256 of the weights that
    were scored), digests of the data; and the digest of the weights in the folder now.

    Where the rows files differ, every value names its own. prefix: of the names of what rows say.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name, provenance in origin.rows.items():
        for key, text in _facts(provenance).items():
            found.setdefault(prefix + key, {}).setdefault(text, []).append(name)
    facts = {
        key: " | ".join(
            text if len(names) == len(origin.rows) else f"{text} ({', '.join(names)})"
            for text, names in values.items()
        )
        for key, values in found.items()
    }
    return facts | ({"weights in this folder": origin.weights or "none"} if facts else {})


def environment_table(origins: Sequence[Origin], without: Collection[str] = ()) -> pd.DataFrame:
    """The environments of runs: a row a fact, a column a stage. Values of several runs that differ
    stand in one cell, a bar between. without: facts (such as "code: commit") to leave out."""
    columns: dict[str, dict[str, str]] = {}
    for stage in dict.fromkeys(stage for origin in origins for stage in origin.environment):
        entries = [_facts(one.environment[stage]) for one in origins if stage in one.environment]
        columns[stage] = {
            key: " | ".join(dict.fromkeys(entry[key] for entry in entries if key in entry))
            for key in dict.fromkeys(key for entry in entries for key in entry)
            if key not in without
        }
    return side_by_side(columns)


def side_by_side(columns: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Facts by name, of several stages or runs: a row a fact; "same" as in the first column."""
    lines = []
    for key in dict.fromkeys(key for facts in columns.values() for key in facts):
        values = [facts.get(key, NOT_RECORDED) for facts in columns.values()]
        values[1:] = ["same" if v == values[0] != NOT_RECORDED else v for v in values[1:]]
        lines.append([key, *values])
    return pd.DataFrame(lines, columns=["What", *columns])


def origin_warnings(origins: Sequence[Origin], what: str = "runs") -> list[str]:
    """What a reader should know before trusting the numbers; nothing, if all is well.

    what: what the runs are called. Of several, a sentence names those that it is about.
    """
    about: dict[str, list[str]] = {}
    for origin in origins:
        for sentence in _warnings_of(origin):
            about.setdefault(sentence, []).append(origin.name)
    said = _warnings_between(origins, what) if len(origins) > 1 else []
    for sentence, names in about.items():
        if len(origins) == 1:
            said.append(sentence[0].upper() + sentence[1:])
        else:
            who = f"All {what}" if len(names) == len(origins) else ", ".join(names)
            said.append(f"{who}: {sentence}")
    return said


def _warnings_of(origin: Origin) -> list[str]:
    """What to know of one run."""
    said = []
    if not all(origin.rows.values()):
        said.append("some rows do not say what they were made with: score them anew.")
    for done, states in origin.code.items():
        if changed := max((state.get("changed files") or 0 for state in states), default=0):
            said.append(
                f"the code that {done} had changed files ({changed}): the commit alone does not "
                "say what ran."
            )
        if any(state.get("commit") is None for state in states):
            said.append(f"the code that {done} was no git checkout: its commit is not known.")
    for key, name in _ROWS.items():
        if len(_distinct(origin.known, key)) > 1:
            said.append(f"the rows come from different {name}: score all splits anew.")
    weights = origin.weights
    if weights and any(known.get("checkpoint") not in (weights, None) for known in origin.known):
        said.append("the weights in this run's folder are not those that were scored.")
    return said


def _warnings_between(origins: Sequence[Origin], what: str) -> list[str]:
    """What to know of several runs together: other code, other data."""
    said = []
    trained = [state for origin in origins for state in origin.code["trained"]]
    scored = [known for origin in origins for known in origin.known]
    for done, states in (("trained", trained), ("scored", scored)):
        if len(_distinct(states, "commit")) > 1:
            said.append(f"The {what} were {done} by different commits of the code.")
    if len(_distinct(scored, "data")) > 1:
        said.append(f"The {what} were scored on data of different digests.")
    return said


def _distinct(states: Sequence[Mapping[str, Any]], key: str) -> set[str]:
    return {json.dumps(state.get(key), sort_keys=True) for state in states}


def _facts(values: Mapping[str, Any]) -> dict[str, str]:
    """A nested mapping as text by name, such as "versions: torch"."""
    return {key.replace(".", ": "): as_text(value) for key, value in flatten(values).items()}


def as_text(value: Any) -> str:
    """A setting or a fact as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        if len(value) > 1 and len(set(map(str, value))) == 1:  # GPUs of one kind
            return f"{len(value)} × {value[0]}"
        return ", ".join(map(as_text, value)) or "none"
    if value is None or value == {}:
        return "unknown"
    return str(value) or "empty"


def cut_digests(text: str) -> str:
    """The text with its digests (commits, SHA-256) cut to twelve digits."""
    return _DIGEST.sub(lambda found: found[0][:DIGITS], text)
