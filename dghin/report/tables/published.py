"""Published scores beside a run's own: what has been printed, and what of it compares.

    literature_table(results, config)   # a DataFrame, in percent; empty where nothing is published
    why_not(config)                     # then: the sentence that says why

reports/published.csv has a line for every number: method, backbone, training_set, dataset, split,
metric, value (percent; empty: not known), protocol, source, confidence, note. Its text is what the
sources say. Values that contradict each other all stay, each with a note. The DGHIN paper's own
table is not publicly readable: fill in its lines, and remove the note of what is settled.

A published number compares with this run's only where all of this is known and the same:

- the metric, and which of our protocols it was scored under (`PROTOCOLS_OF`). Where the scores are
  taken moves them by points: LAVT takes them at 480×480, CRIS at the photo's size above 0.35.
  A protocol is what the authors' code does; a note names the files ("protocol: owner/repo path").
  Methods whose code is not public or leaves it open, that sharpen masks afterwards (CRF), or that a
  protocol is only presumed of, do not compare.
- the training data: one data set, or several at once ("mixed"). What was trained on more than
  RefCOCO's family, or on what is not stated, does not compare. Backbones do: they have a column.
- the value: where sources print several, or doubt which IoU it is, it does not compare.

All others are shown, marked with the reason. Only what compares has a difference.
"""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.raw.datasets import DATASETS, JOINT, MEMBERS
from dghin.evaluation.answers import PROTOCOLS
from dghin.evaluation.metrics import first_protocol, is_generalized, metrics_from_rows
from dghin.evaluation.segmenters.about import About, about_run
from dghin.run.config import Config
from dghin.run.environment import ROOT

from .scores import GENERALIZED, SCORES, Results, percent

PUBLISHED = ROOT / "reports" / "published.csv"
COLUMNS = (
    "method", "backbone", "training_set", "dataset", "split", "metric", "value", "protocol",
    "source", "confidence", "note",
)  # fmt: skip
METRICS = SCORES | GENERALIZED  # as the file names them → as they are shown
OTHER_NAMES = {"ciou": "oiou", "giou": "miou"}  # where every expression means one object
THIS_RUN = "this run"
MIXED = ("mixed", "combined")  # RefCOCO, RefCOCO+ and G-Ref together, as sources call it

# The protocol's text in the file → ours, and how it is shown. Ours stand for themselves.
PROTOCOLS_OF = {
    **{name: (name, name) for name in PROTOCOLS},
    "original size, logits above 0": ("strict", "strict"),
    "LISA evaluation": ("strict", "strict"),  # the same, by its train_ds.py
    "0/1 mask enlarged bilinearly, all above 0": ("paper", "paper"),
    "resized 480, argmax": ("resized", "resized, 480×480"),
    "LAVT-style (480 input)": ("resized", "resized, 480×480"),
    "resized mask (480 input)": ("resized", "resized, 480×480"),
    "resized mask (448 input)": ("resized", "resized, 448×448"),
    "resized mask (448 input for mixed)": ("resized", "resized, 448×448"),
    "resized 512, argmax": ("resized", "resized, 512×512"),
    "original size, threshold 0.35": ("threshold=0.35", "threshold=0.35"),
}
# Words of a note → why the number does not compare, whatever else is known.
DOUBTS = {
    "metric ambiguous": "which IoU it is, is not certain",
    "mixes oIoU and mIoU": "which IoU it is, is not certain",
    "box accuracy": "may be the accuracy of boxes",
    "leakage": "may have seen the masks in training",
    "(unusual)": "not verified",
    "may be a typo": "not verified",
    "partition": "G-Ref partition not known",
    "trained on more": "trained on more",
}
_KEY = ["method", "backbone", "training_set", "dataset", "split", "metric"]


def read_published(path: Path = PUBLISHED) -> pd.DataFrame:
    """The published scores: COLUMNS (value a float, the others text), `version` and `versions`.

    versions: how many values of the same score there are; version: 0, 1, ... among them. A column,
    metric, split or value that cannot be is an error that names its line.
    """
    path = Path(path)
    remedy = "Put it back with: git checkout reports/published.csv."
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            head = _check_head(path, next(reader, []))
            rows = [_read_row(f"{path}:{reader.line_num}", head, line) for line in reader if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as CSV in UTF-8 ({error}). {remedy}") from error
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float})
    same = frame.groupby(_KEY)
    return frame.assign(version=same.cumcount(), versions=same["metric"].transform("size"))


def _check_head(path: Path, head: list[str]) -> list[str]:
    wrong = [name for name in head if name not in COLUMNS]
    lacking = [name for name in COLUMNS if name not in head]
    if wrong or lacking or len(head) != len(COLUMNS):
        raise UserError(
            f"{path}:1: columns {', '.join(head) or '(none)'}"
            + (f"; unknown: {', '.join(wrong)}" if wrong else "")
            + (f"; missing: {', '.join(lacking)}" if lacking else "")
            + f". It needs each of these once: {', '.join(COLUMNS)}."
        )
    return head


def _read_row(place: str, head: list[str], line: list[str]) -> dict[str, Any]:
    if len(line) != len(head):
        raise UserError(
            f"{place}: {len(line)} cells under {len(head)} columns. Put text that holds a comma "
            "between double quotes."
        )
    row: dict[str, Any] = {name: cell.strip() for name, cell in zip(head, line, strict=True)}
    try:
        if row["metric"] not in METRICS:
            raise unknown_name("metric", row["metric"], METRICS)
        dataset = DATASETS.get(row["dataset"])  # none: a data set of your own
        splits = (*dataset.splits, "val") if dataset else ()  # some keep a val of ReferIt's own
        if dataset and row["split"] not in splits:
            raise unknown_name(f"split of {dataset.name}:", row["split"], dataset.splits)
    except UserError as error:
        raise UserError(f"{place}: {error} Name one of these.") from error
    if empty := [name for name in ("method", "dataset", "split") if not row[name]]:
        raise UserError(f"{place}: no {empty[0]}. Every line needs one.")
    row["value"] = _read_value(place, row["value"])
    return row


def _read_value(place: str, text: str) -> float:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        value = math.inf
    if text and not 0 <= value <= 100:
        raise UserError(
            f"{place}: value '{text}' is no number from 0 to 100. Give percent, with a point for "
            "decimals, or leave it empty."
        )
    return value


def literature_table(
    results: Results,
    config: Config,
    published: pd.DataFrame | None = None,
    about: About | None = None,
) -> pd.DataFrame:
    """Published scores on the run's data set beside its own, metric by metric, in percent.

    Columns: Method, Backbone, Training data; one a split; for those splits of which something
    compares "Δ <split>", this run minus the published value in points; Metric, Protocol, Compares
    ("yes", or "no: reasons"), Source. Of each metric this run comes first, under each protocol
    that a published number needs, then what compares. Empty where nothing is published.

    published: as `read_published` reads it (the default: from reports/published.csv). about: the
    model whose run it is (default: DGHIN with these settings).
    """
    own = results[""]
    about = about or about_run(Path(), config)
    chosen = _choose(_published(published), config, own, about)
    names = dict.fromkeys(_columns(config, own).values())  # in the order of the splits
    splits = [name for name in names if (chosen["column"] == name).any()]
    lines = []
    for metric in METRICS:
        cells = chosen[chosen["metric"] == metric]
        if len(cells):
            comparable = cells[cells["reasons"].map(len) == 0]
            first = {first_protocol(rows) for rows in own.values()}
            needed = {*first, *comparable["ours"]} - {""}
            protocols = [name for name in PROTOCOLS if name in needed]
            scores = {name: _scores(own, splits, name, metric) for name in protocols}
            lines += _own_lines(scores, metric, about)
            lines += _published_lines(cells, scores, metric)
    deltas = [f"Δ {split}" for split in splits]
    columns = ["Method", "Backbone", "Training data", *splits, *deltas]
    columns += ["Metric", "Protocol", "Compares", "Source"]
    frame = pd.DataFrame(lines, columns=columns)
    return frame.drop(columns=[name for name in deltas if frame[name].isna().all()])


def why_not(config: Config, published: pd.DataFrame | None = None) -> str:
    """Why `literature_table` is empty, as a sentence; "" where it is not."""
    data = config.data
    if data.drawn:
        return "The embedded data set is drawn here; nobody has published scores on it."
    if published is None and not PUBLISHED.is_file():
        return f"There is no reports/{PUBLISHED.name}, which holds the published scores."
    if _choose(_published(published), config, {}, about_run(Path(), config)).empty:
        return f"reports/{PUBLISHED.name} holds no scores on {data.dataset}."
    return ""


def _published(published: pd.DataFrame | None) -> pd.DataFrame:
    if published is None and not PUBLISHED.is_file():
        return pd.DataFrame(columns=[*COLUMNS, "version", "versions"])
    return read_published() if published is None else published


def _choose(published: pd.DataFrame, config: Config, own: Any, about: About) -> pd.DataFrame:
    """What is published on the run's splits, with what the table needs of every number.

    column: the run's name of the split (`joint` calls it refcoco_testA); ours, shown: its protocol
    ("" unless it is ours); reasons: why it does not compare, a list. own: the run's rows by split.
    """
    names = _columns(config, own)
    lines = []
    for row in published.to_dict("records"):
        column = names.get((row["dataset"], row["split"]))
        if column:
            words = row["protocol"]
            ours, shown = PROTOCOLS_OF.get(words, ("", words or "not stated"))
            reasons = list(_reasons(row, config, about))
            if ours and column in own and f"{ours}_union" not in own[column]:
                reasons.append("this run has no such scores: evaluate it again, or save logits")
            found = {"column": column, "ours": ours, "shown": shown, "reasons": reasons}
            lines.append(row | found)
    return pd.DataFrame(lines, columns=[*published.columns, "column", "ours", "shown", "reasons"])


def _columns(config: Config, own: Any) -> dict[tuple[str, str], str]:
    """(data set, split) → the run's name of the split; of `joint` those that it is scored on."""
    data = config.data
    if data.drawn:
        return {}
    if data.dataset != JOINT:
        splits = DATASETS[data.dataset].splits if data.dataset in DATASETS else ()
        return {(data.dataset, split): split for split in ("val", "test", *splits, *own)}
    members = {(m, s): f"{m}_{s}" for m in data.members or MEMBERS for s in DATASETS[m].splits}
    return {place: name for place, name in members.items() if name in {*own, *data.test_splits}}


def _reasons(row: dict[str, Any], config: Config, about: About) -> Iterator[str]:
    """Why a published number does not compare with this run's; none: it does."""
    if math.isnan(row["value"]):
        yield "value not known"
    if row["protocol"] not in PROTOCOLS_OF:
        yield "another protocol" if row["protocol"] else "protocol not stated"
    _, shown = PROTOCOLS_OF.get(row["protocol"], ("", ""))
    size = about.image_size
    if "×" in shown and not shown.endswith(f"×{size}"):  # its scores are taken at its input's size
        own = f"{size}×{size}" if size else "this run's, which is not known"
        yield f"scored at another size than {own}"
    if row["training_set"] in ("", "not stated"):
        yield "training data not stated"
    elif about.training_data not in ("single", "mixed"):
        yield "what this model was trained on is not stated as single or mixed"
    elif row["training_set"] not in (MIXED if about.training_data == "mixed" else ("single",)):
        yield "trained on one data set" if row["training_set"] == "single" else "trained on more"
    for words, reason in DOUBTS.items():
        if words in row["note"]:
            yield reason
    if row["versions"] > 1:
        yield "printed with several values"
    if config.evaluate.expressions:
        yield f"this run scored the first {config.evaluate.expressions} expressions of a split"


def _scores(own: Any, splits: list[str], protocol: str, metric: str) -> dict[str, float]:
    """This run's score of every split, in percent, as far as its rows hold the protocol."""
    found = {}
    for split in splits:
        if split in own and f"{protocol}_union" in own[split]:
            scores = metrics_from_rows(own[split], protocol)
            other = None if is_generalized(own[split]) else scores.get(OTHER_NAMES.get(metric, ""))
            found[split] = percent(scores.get(metric, other))
    return found


def _own_lines(scores: Any, metric: str, about: About) -> Iterator[dict[str, Any]]:
    size = about.image_size or "?"
    for protocol, by_split in scores.items():
        if by_split:
            yield {
                "Method": THIS_RUN,
                "Backbone": about.backbone or "–",
                "Training data": about.training_data or "–",
                **by_split,
                "Metric": METRICS[metric],
                "Protocol": f"resized, {size}×{size}" if protocol == "resized" else protocol,
                "Compares": "",
                "Source": "",
            }


def _published_lines(cells: pd.DataFrame, scores: Any, metric: str) -> list[dict[str, Any]]:
    """A line for every method, backbone, training set and protocol: what compares comes first."""
    by = ["method", "backbone", "training_set", "ours", "shown", "version"]
    lines = []
    for (method, backbone, training, ours, shown, _), group in cells.groupby(by, sort=False):
        line = {"Method": method, "Backbone": backbone or "–", "Training data": training or "–"}
        for cell in group.to_dict("records"):
            line[cell["column"]] = cell["value"]
            if not cell["reasons"]:
                own = scores.get(ours, {}).get(cell["column"], math.nan)
                line[f"Δ {cell['column']}"] = own - cell["value"]
        sources = dict.fromkeys(name for text in group["source"] for name in text.split("; "))
        line |= {"Metric": METRICS[metric], "Protocol": shown, "Compares": _compares(group)}
        lines.append(line | {"Source": "; ".join(sources)})
    return sorted(lines, key=lambda line: line["Compares"].startswith("no"))


def _compares(group: pd.DataFrame) -> str:
    """ "yes", "no: reasons", or, where splits differ, "in part: reasons"."""
    known = group[group["value"].notna()]
    reasons = (known if len(known) else group)["reasons"]
    if not any(reasons):
        return "yes"
    named = "; ".join(dict.fromkeys(reason for found in reasons for reason in found))
    return f"{'no' if all(reasons) else 'in part'}: {named}"
