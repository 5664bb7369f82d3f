"""Tables: everything is computed from the evaluation's rows (one row an expression).

    results = read_results(Path("reports/demo"))   # {"": {split: rows}, "shuffled": {split: rows}}
    frame = metrics_table(results)                 # a DataFrame, in percent
    write_table(frame, folder, "main")             # main.md, main.csv, main.tex

metrics.json holds fractions; tables hold percent.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.common import UserError, write_json, write_text

from .metrics import LENGTHS, THRESHOLDS, is_generalized, metrics_from_rows

Results = Mapping[str, Mapping[str, pd.DataFrame]]  # control ("" for none) → split → rows

SHOWN = ("strict", "paper")  # the order of protocols in tables
PRECISIONS = {f"pr{round(100 * t)}": f"Pr@{t}" for t in THRESHOLDS}
GENERALIZED = {"giou": "gIoU", "ciou": "cIoU", "n_acc": "N-acc", "t_acc": "T-acc"}
SCORES = {"oiou": "oIoU", "miou": "mIoU", **PRECISIONS}
EXPRESSIONS = "Expressions"
LENGTH, KIND = "Words", "Kind"
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def read_results(folder: Path) -> dict[str, dict[str, pd.DataFrame]]:
    """The rows that evaluation wrote into a run's folder: no control first, val first."""
    found = {
        (path.parent.relative_to(folder / "rows").as_posix().removeprefix("."), path.stem): path
        for path in folder.glob("rows/**/*.parquet")
    }
    results: dict[str, dict[str, pd.DataFrame]] = {}
    for control, split in sorted(found, key=lambda pair: (pair[0], pair[1] != "val", pair[1])):
        rows = pd.read_parquet(found[control, split])
        results.setdefault(control, {})[split] = rows
    if "" not in results:
        raise UserError(
            f"{folder / 'rows'}: no rows of an evaluation. "
            f"Make them with: python -m dghin.evaluate run={folder.name}"
        )
    return results


def run_metrics(results: Results) -> dict[str, Any]:
    """What metrics.json holds: {split: {protocol: scores}} and "controls": {name: the same}."""
    scores = {
        control: {
            split: {protocol: metrics_from_rows(rows, protocol) for protocol in SHOWN}
            for split, rows in splits.items()
        }
        for control, splits in results.items()
    }
    return {**scores.pop("", {}), "controls": scores}


def metrics_table(results: Results) -> pd.DataFrame:
    """The main table, in percent: a row for every split and protocol.

    Every control has a column of its own: its overall IoU, beside the one it is to be held against.
    """
    metrics = run_metrics(results)
    controls = metrics.pop("controls")
    lines = []
    for split, by_protocol in metrics.items():
        for protocol, scores in by_protocol.items():
            line = {"Split": split, "Protocol": protocol, EXPRESSIONS: scores["count"]}
            line |= {shown: percent(scores[name]) for name, shown in SCORES.items()}
            for control, splits in controls.items():
                found = splits.get(split, {}).get(protocol, {})
                line[f"oIoU, {control}"] = percent(found.get("oiou"))
            lines.append(line)
    return pd.DataFrame(lines)


def length_table(results: Results) -> pd.DataFrame:
    """Scores by the number of words (spaCy tokens); longer than 20 words is left out."""
    return _breakdown(results, LENGTH, _by_length)


def kind_table(results: Results) -> pd.DataFrame:
    """Scores by kind of expression; empty where the data set knows no kinds."""
    return _breakdown(results, KIND, _by_kind)


def generalized_table(results: Results) -> pd.DataFrame:
    """Scores of expressions that mean several objects or none (gRefCOCO), as ReLA's, in percent.

    Empty where every expression means one object.
    """
    columns = ["Split", "Protocol", EXPRESSIONS, "Without target", *GENERALIZED.values()]
    lines = []
    for split, rows in results[""].items():
        for protocol in SHOWN if is_generalized(rows) else ():
            scores = metrics_from_rows(rows, protocol)
            shown = [percent(scores[name]) for name in GENERALIZED]
            lines.append([split, protocol, scores["count"], scores["empty"], *shown])
    return pd.DataFrame(lines, columns=columns)


def _by_length(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, (low, high) in LENGTHS.items():
        yield name, rows[rows["length"].between(low, high)]


def _by_kind(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, group in rows[rows["kind"] != ""].groupby("kind", sort=True):
        yield str(name), group


def _breakdown(results: Results, column: str, groups: Any) -> pd.DataFrame:
    """A row for every split and group: count, strict scores, overall IoU in the paper protocol."""
    columns = ["Split", column, EXPRESSIONS, "oIoU", "mIoU", "Pr@0.5", "oIoU, paper"]
    lines = []
    for split, rows in results[""].items():
        for name, group in groups(rows):
            strict, paper = (metrics_from_rows(group, protocol) for protocol in SHOWN)
            scores = [strict["oiou"], strict["miou"], strict["pr50"], paper["oiou"]]
            lines.append([split, name, len(group), *map(percent, scores)])
    return pd.DataFrame(lines, columns=columns)


def percent(value: float | None) -> float:
    """A fraction as percent; None becomes NaN, a table's missing value."""
    return math.nan if value is None else 100 * value


def write_results(results: Results, folder: Path) -> None:
    """metrics.json and the tables of an evaluation, in a run's folder."""
    write_json(folder / "metrics.json", run_metrics(results))
    tables = {"main": metrics_table, "by_length": length_table, "by_kind": kind_table}
    if any(is_generalized(rows) for rows in results[""].values()):
        tables["generalized"] = generalized_table
    for name, make in tables.items():
        write_table(make(results), folder / "tables", name)


def write_table(frame: pd.DataFrame, folder: Path, name: str) -> None:
    """Write a table as Markdown, CSV and LaTeX (booktabs): <folder>/<name>.{md,csv,tex}."""
    write_text(folder / f"{name}.md", to_markdown(frame))
    write_text(folder / f"{name}.csv", frame.round(2).to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{name}.tex", to_latex(frame))


def cells(frame: pd.DataFrame, missing: str = "–") -> list[list[str]]:
    """A table's cells as text: two decimals, and thousands apart."""
    return [[_cell(value, missing) for value in line] for line in frame.itertuples(index=False)]


def _cell(value: Any, missing: str) -> str:
    if pd.isna(value):
        return missing
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def numeric(frame: pd.DataFrame) -> list[bool]:
    """Which columns hold numbers: those stand to the right."""
    return [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]


def to_markdown(frame: pd.DataFrame) -> str:
    """The table in Markdown, columns lined up for reading as plain text."""
    text = [list(frame.columns), *cells(frame)]
    text = [[cell.replace("|", "\\|") for cell in line] for line in text]
    widths = [max(3, *(len(line[i]) for line in text)) for i in range(len(frame.columns))]
    right = numeric(frame)
    rule = ["-" * (w - r) + ":" * r for w, r in zip(widths, right, strict=True)]
    lines = [
        [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)]
        for line in text
    ]
    lines.insert(1, rule)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_latex(frame: pd.DataFrame) -> str:
    """The table as a LaTeX tabular; the document needs \\usepackage{booktabs}."""
    spec = "".join("r" if right else "l" for right in numeric(frame))
    lines = [[_escape(cell) for cell in line] for line in [frame.columns, *cells(frame, "--")]]
    head, *body = (f"{' & '.join(line)} \\\\" for line in lines)
    parts = [f"\\begin{{tabular}}{{{spec}}}", "\\toprule", head, "\\midrule", *body]
    return "\n".join([*parts, "\\bottomrule", "\\end{tabular}", ""])


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
