"""Tables: everything is computed from the evaluation's rows (one row an expression).

    results = read_results(Path("reports/demo"))   # {"": {split: rows}, "shuffled": {split: rows}}
    frame = metrics_table(results)                 # a DataFrame, in percent
    write_table(frame, folder, "main")             # main.md, main.csv, main.tex

metrics.json holds fractions; tables hold percent.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_text
from data_preprocess.base.tables import to_markdown
from dghin.data.review import with_review
from dghin.evaluation.controls import EXAM, OF_TEXTS
from dghin.evaluation.metrics import (
    BOXES,
    THRESHOLDS,
    expression_iou,
    first_protocol,
    is_generalized,
    metrics_from_rows,
    protocols_of,
)
from dghin.evaluation.provenance import read_rows
from dghin.evaluation.uncertainty import bootstrap, expression_keys

from .latex import to_latex

Results = Mapping[str, Mapping[str, pd.DataFrame]]  # control ("" for none) → split → rows

PRECISIONS = {f"pr{round(100 * t)}": f"Pr@{t}" for t in THRESHOLDS}
GENERALIZED = {"giou": "gIoU", "ciou": "cIoU", "n_acc": "N-acc", "t_acc": "T-acc"}
OF_NOTHING = (
    "resized",
    "strict",
)  # the protocols in which so small a mask says "nothing": ReLA's first
SCORES = {"oiou": "oIoU", "miou": "mIoU", **PRECISIONS}
BOX = "Box@0.5"
EXPRESSIONS = "Expressions"
LANGUAGE_CONTROL = "shuffled"  # the one that stands in the main table
LOW, HIGH, INTERVAL = ", low", ", high", ", 95 %"  # what follows a score's name, for its interval
MOVED = 0.5  # an answer has changed where its IoU with the one before is smaller


def read_results(folder: Path) -> dict[str, dict[str, pd.DataFrame]]:
    """The rows that evaluation wrote into a run's folder: no control first, val first."""
    order = {control: number for number, control in enumerate(("", *EXAM))}
    found = {
        (path.parent.relative_to(folder / "rows").as_posix().removeprefix("."), path.stem): path
        for path in folder.glob("rows/**/*.parquet")
    }
    results: dict[str, dict[str, pd.DataFrame]] = {}

    def place(pair: tuple[str, str]) -> tuple[int, str, bool, str]:
        control, split = pair
        return order.get(control, len(order)), control, split != "val", split

    for control, split in sorted(found, key=place):
        rows = with_review(read_rows(found[control, split]), split, folder)
        results.setdefault(control, {})[split] = rows
    if "" not in results:
        raise UserError(
            f"{folder / 'rows'}: no rows of an evaluation. "
            f"Make them with: dghin evaluate run={folder.name}"
        )
    return results


def run_metrics(results: Results) -> dict[str, Any]:
    """What metrics.json holds: {split: {protocol: scores}} and "controls": {name: the same}."""
    scores = {
        control: {
            split: {protocol: metrics_from_rows(rows, protocol) for protocol in protocols_of(rows)}
            for split, rows in splits.items()
        }
        for control, splits in results.items()
    }
    return {**scores.pop("", {}), "controls": scores}


def metrics_table(results: Results) -> pd.DataFrame:
    """The main table, in percent: a row for every split and protocol.

    Overall and mean IoU with their 95 % intervals (bootstrap over images). The language control has
    a column of its own: its overall IoU, beside the one it is to be compared with.
    """
    metrics = run_metrics(results)
    controls = metrics.pop("controls")
    lines = []
    for split, by_protocol in metrics.items():
        for protocol, scores in by_protocol.items():
            intervals = bootstrap(results[""][split], protocol, ["oiou", "miou"])
            line = {"Split": split, "Protocol": protocol, EXPRESSIONS: scores["count"]}
            for name, shown in SCORES.items():
                line[shown] = percent(scores[name])
                if name in intervals:
                    bounds = map(percent, intervals[name])
                    line |= dict(zip((shown + LOW, shown + HIGH), bounds, strict=True))
            if BOXES in by_protocol[next(iter(by_protocol))]:
                line[BOX] = percent(scores.get(BOXES))
            if LANGUAGE_CONTROL in controls:
                found = controls[LANGUAGE_CONTROL].get(split, {}).get(protocol, {})
                if found.get("count") != scores["count"]:  # scored on other expressions
                    found = {}
                line[f"oIoU, {LANGUAGE_CONTROL}"] = percent(found.get("oiou"))
            lines.append(line)
    return pd.DataFrame(lines)


def intervals_table(results: Results) -> pd.DataFrame:
    """Every score with its 95 % interval (bootstrap over images), in percent: a row a score."""
    lines = []
    for split, rows in results[""].items():
        for protocol in protocols_of(rows):
            scores, intervals = metrics_from_rows(rows, protocol), bootstrap(rows, protocol)
            for name, interval in intervals.items():
                shown = (SCORES | GENERALIZED)[name]
                values = map(percent, (scores[name], *interval))
                lines.append([split, protocol, shown, len(rows), *values])
    columns = ["Split", "Protocol", "Score", EXPRESSIONS, "Value", "Value" + LOW, "Value" + HIGH]
    return pd.DataFrame(lines, columns=columns)


def controls_table(results: Results) -> pd.DataFrame:
    """How far the answer follows the words: a row for every split and control, in percent.

    Under the first protocol that the rows have. Controls of the text have a table of their own
    (dghin.report.tables.exam).

    "oIoU, real" is of the same expressions as they are (a swap concerns only those that hold such a
    word), "oIoU, control" of the altered ones; Share is the second over the first. Changed: the
    share of expressions whose mask has an IoU below 0.5 with the one it was before.
    """
    columns = ["Split", "Protocol", "Control", EXPRESSIONS]
    columns += [f"oIoU, {of}{end}" for of in ("real", "control") for end in ("", LOW, HIGH)]
    columns += ["Share", "Changed"]
    lines = []
    for control in [name for name in results if name and name not in OF_TEXTS]:
        for split, altered in results[control].items():
            if split not in results[""]:
                continue
            plain = results[""][split]
            real = _same_expressions(plain, altered)
            altered = _same_expressions(altered, real)
            protocol = _shared_protocol(real, altered)
            mixed = is_generalized(plain)
            pair = [_with_interval(rows, protocol, mixed) for rows in (real, altered)]
            share = pair[1][0] / pair[0][0] if pair[0][0] else math.nan
            line = [split, protocol, control, len(altered), *pair[0], *pair[1], 100 * share]
            lines.append([*line, percent(changed_share(altered))])
    return pd.DataFrame(lines, columns=columns)


def changed_share(rows: pd.DataFrame) -> float | None:
    """The share of a control's expressions whose answer has changed; None where unknown."""
    if "agreement_union" not in rows:
        return None
    same = expression_iou(rows["agreement_intersection"], rows["agreement_union"])
    return float((same < MOVED).mean())


def _same_expressions(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The rows of the expressions that the others are of."""
    wanted = set(expression_keys(others))
    return rows[[key in wanted for key in expression_keys(rows)]]


def _shared_protocol(rows: pd.DataFrame, others: pd.DataFrame) -> str:
    """The first protocol that both were scored under."""
    shared = [name for name in protocols_of(rows) if name in protocols_of(others)]
    return shared[0] if shared else first_protocol(rows)


def _with_interval(rows: pd.DataFrame, protocol: str, generalized: bool) -> list[float]:
    """Overall IoU and the ends of its 95 % interval, in percent; unknown under a protocol that the
    rows do not have."""
    if protocol not in protocols_of(rows):
        return [math.nan] * 3
    interval = bootstrap(rows, protocol, ["oiou"], generalized=generalized)["oiou"]
    value = metrics_from_rows(rows, protocol, generalized)["oiou"]
    return [percent(number) for number in (value, *interval)]


def generalized_table(results: Results) -> pd.DataFrame:
    """Scores of expressions that mean several objects or none (gRefCOCO), as ReLA's, in percent,
    each with its 95 % interval.

    Under `resized`, where ReLA scores, and `strict`; rows that have neither: under what they have.
    Empty where every expression means one object.
    """
    columns = ["Split", "Protocol", EXPRESSIONS, "Without target"]
    columns += [f"{shown}{end}" for shown in GENERALIZED.values() for end in ("", LOW, HIGH)]
    lines = []
    for split, rows in results[""].items():
        if not is_generalized(rows):
            continue
        there = protocols_of(rows)
        for protocol in [name for name in OF_NOTHING if name in there] or there:
            scores = metrics_from_rows(rows, protocol)
            intervals = bootstrap(rows, protocol, tuple(GENERALIZED))
            line = [split, protocol, scores["count"], scores["empty"]]
            for name in GENERALIZED:
                line += map(percent, (scores[name], *intervals[name]))
            lines.append(line)
    return pd.DataFrame(lines, columns=columns)


def percent(value: float | None) -> float:
    """A fraction as percent; None becomes NaN, a table's missing value."""
    return math.nan if value is None else 100 * value


def validations_table(log: pd.DataFrame) -> pd.DataFrame:
    """A training's scores on val, from its log: a line a validation, scores in percent."""
    val = log[log["kind"] == "val"]
    names = {"score": "Score", **SCORES, **GENERALIZED}
    shown = {"Iteration": val["iteration"], EXPRESSIONS: val["count"]}
    table = pd.DataFrame(shown).astype("Int64").assign(Protocol=val["protocol"])
    for name, title in names.items():
        if name in val and val[name].notna().any():
            table[title] = 100 * val[name].astype(float)
    return table.reset_index(drop=True)


def write_table(frame: pd.DataFrame, folder: Path, name: str) -> None:
    """Write a table as Markdown, CSV and LaTeX (booktabs): <folder>/<name>.{md,csv,tex}.

    LaTeX only where jinja2 is installed, with which pandas writes it.

    The two ends of an interval are columns of their own in the CSV, and one in the others.
    """
    shown = with_intervals(frame)
    write_text(folder / f"{name}.md", to_markdown(shown))
    write_text(folder / f"{name}.csv", frame.round(2).to_csv(index=False, lineterminator="\n"))
    if latex := to_latex(shown):
        write_text(folder / f"{name}.tex", latex)


def without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without the columns that hold nothing, or an empty text, in every row."""
    return frame.loc[:, [bool((frame[name].notna() & (frame[name] != "")).any()) for name in frame]]


def remove_table(folder: Path, name: str) -> None:
    """Remove what `write_table` wrote, where it is."""
    for suffix in ("md", "csv", "tex"):
        (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as it is shown: the columns "X, low" and "X, high" as one, "X, 95 %"."""
    shown: dict[str, Any] = {}
    for name in frame.columns:
        of = str(name).removesuffix(LOW).removesuffix(HIGH)
        if of == name or of + LOW not in frame or of + HIGH not in frame:
            shown[name] = frame[name]
        elif of + INTERVAL not in shown:
            pairs = zip(frame[of + LOW], frame[of + HIGH], strict=True)
            texts = [None if pd.isna(low) else f"[{low:.2f}, {high:.2f}]" for low, high in pairs]
            shown[of + INTERVAL] = pd.Series(texts, frame.index, dtype=object)
    return pd.DataFrame(shown, columns=list(shown))
