"""One self-contained page of a run: reports/<run>/report.html, figures inside, no network.

    dghin report run=demo      remake it, and all tables, from what the run has
    dghin compare demo wide  one page over several runs (compare.py)
    dghin verify reports/demo  compute all numbers anew (proof.py)

It is made from files only: rows, train/log.jsonl, config.yaml, environment.json, tables/ and
figures/. What a run does not have (yet) is left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_text
from data_preprocess.prepared.manifest import MANY, cut_text
from dghin.data.preparing import CUT_ROW
from dghin.evaluation.glossary import glossary_table
from dghin.evaluation.metrics import first_protocol, metrics_from_rows
from dghin.evaluation.segmenters.about import about_run
from dghin.report.figures.curves import (
    chosen_by,
    learning_curves,
    precision_curves,
    read_log,
    remove_figure,
    save_figure,
)
from dghin.report.figures.lies_on import lies_on_figure
from dghin.report.figures.scores import breakdown_figure, controls_figure
from dghin.report.tables.breakdowns import BREAKDOWNS
from dghin.report.tables.claims import compared_runs, provide_claims, sort_claims
from dghin.report.tables.exam import FEW
from dghin.report.tables.failures import KINDS
from dghin.report.tables.objects.sentences import sentences
from dghin.report.tables.origins import (
    Origin,
    environment_table,
    origin_facts,
    origin_warnings,
    read_origin,
)
from dghin.report.tables.published import why_not
from dghin.report.tables.results import CLAIMS, write_results
from dghin.report.tables.scores import (
    LANGUAGE_CONTROL,
    Results,
    read_results,
    run_metrics,
    with_intervals,
)
from dghin.run.config import Config, load_config
from dghin.run.folder import RunFolder
from dghin.training.logbook import clock

from .compare import comparison_tables
from .exam import exam_tables, write_exam_page
from .masks import write_mask_figures
from .page import data_uri, render
from .proof import PAGE, Maker, digests, verify, write_proof

TEMPLATE = "report.html"
LITERATURE, LIES_ON = "literature", "lies_on"


def write_report(folder: Path, split: str = "") -> Path:
    """Write tables, the figures of numbers, and report.html of a run's folder; → the page.

    Where the exam was scored, exam.html, too; split: the one that its verdicts are of.
    """
    results = read_results(folder)
    config = load_config(str(folder / "config.yaml"))
    provide_claims(folder, about_run(folder, config))
    tables = write_results(results, folder)
    write_figures(results, tables, folder)
    drawn = RunFolder(folder).figures / "masks_best.png"
    if not about_run(folder, config).is_dghin or not drawn.is_file():  # else notebook 05 drew them
        write_mask_figures(folder, config, results)
    path = folder / PAGE
    write_text(path, render(TEMPLATE, contents(folder, config, results, tables)))
    if "exam" in tables:
        write_exam_page(folder, tables, split)
    write_proof(folder, "run", [folder, *compared_runs(folder)])
    return path


def write_figures(results: Results, tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """The figures that are drawn from rows and log; those that no longer hold are removed."""
    figures = folder / "figures"
    save_figure(precision_curves(results), figures, "precision")
    for name, breakdown in BREAKDOWNS.items():
        if name in tables:
            save_figure(breakdown_figure(tables[name], breakdown.column), figures, name)
    if "controls" in tables:
        save_figure(controls_figure(tables["controls"]), figures, "controls")
    if LIES_ON in tables:
        figure = lies_on_figure(tables[LIES_ON], tables.get("lies_on_named"))
        save_figure(figure, figures, LIES_ON)
    for name in {*BREAKDOWNS, "controls", LIES_ON} - {*tables}:
        remove_figure(figures, name)
    if (folder / "train" / "log.jsonl").is_file():
        log_frame = read_log(folder / "train" / "log.jsonl")
        if (log_frame["kind"] == "train").any():  # not of a training that has just begun
            save_figure(learning_curves(log_frame), figures, "learning_curves")


def contents(
    folder: Path, config: Config, results: Results, tables: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """Everything that the template shows."""
    origin = read_origin(folder)
    shown = {name: with_intervals(frame) for name, frame in tables.items()}
    return {
        "run": folder.name,
        "config": config,
        "about": about_run(folder, config),
        "headline": headline(results, config.data.test_splits),
        "tables": shown,
        "claims": sort_claims(shown[CLAIMS]) if CLAIMS in shown else {},
        "breakdowns": BREAKDOWNS,
        "literature": literature(shown.get(LITERATURE)),
        "literature_note": why_not(config),
        "glossary": glossary_table(),
        "failure_kinds": KINDS,
        "lies_on": sentences(tables),
        "alignment": read_table(folder / "tables" / "alignment.csv"),
        "splits": split_table(read_table(folder / "tables" / "splits.csv")),
        "figures": {p.stem: data_uri(p) for p in sorted((folder / "figures").glob("*.png"))},
        "training": training_facts(
            folder / "train" / "log.jsonl", len(results[""].get(config.data.val_split, ()))
        )
        | machine_facts(origin.environment.get("train", {})),
        "settings": (folder / "config.yaml").read_text(encoding="utf-8"),
        "environment": environment_table([origin]),
        "origins": pd.DataFrame(origin_facts(origin).items(), columns=["What", "Value"]),
        "missing": missing_answers(origin) + unread_expressions(origin),
        "warnings": origin_warnings([origin])
        + cut_warnings(read_table(folder / "tables" / "splits.csv"), config.model.words)
        + empty_warnings(results),
        "rows": pd.DataFrame(digests(folder).items(), columns=["File", "Digest"]),
        "control": LANGUAGE_CONTROL,
    }


def missing_answers(origin: Origin) -> list[str]:
    """What the reader must know of saved predictions in which answers were missing."""
    found = {}
    for provenance in origin.rows.values():
        for name, entry in (provenance.get("predictions") or {}).items():
            if entry["missing"]:
                found[name] = entry["missing"]
    return [
        f"{count:,} expressions of {name} have no answer in the predictions: they count as empty "
        "masks (missing=empty)."
        for name, count in found.items()
    ]


def empty_warnings(results: Results) -> list[str]:
    """The splits in which every expression with a target is answered with nothing: what is right of
    it are the expressions without one."""
    lines = []
    for split, rows in results[""].items():
        scores = metrics_from_rows(rows, first_protocol(rows))
        if scores.get("empty") and scores.get("t_acc") == 0:
            lines.append(
                f"{split}: every answer to an expression with a target is empty. Its mIoU (gIoU) "
                f"of {100 * scores['miou']:.1f} comes from expressions without a target alone."
            )
    return lines


def cut_warnings(card: pd.DataFrame, words: int) -> list[str]:
    """The splits of the split card in which many expressions are cut, with the remedy."""
    if card.empty:
        return []
    counts = {(row.Split, row.Count): int(row.Here) for row in card.itertuples(index=False)}
    lines = []
    for (split, name), cut in counts.items():
        total = counts.get((split, "expressions"), 0)
        if name == CUT_ROW and cut > MANY * total:
            lines.append(f"{split}: {cut_text(cut, total, words)}.")
    return lines


def unread_expressions(origin: Origin) -> list[str]:
    """What the reader must know of expressions that the network could not read."""
    return [
        f"Of {provenance['unread']:,} expressions of {name} the tokenizer knows no word, or half "
        "of them at most: the network read [UNK] there."
        for name, provenance in origin.rows.items()
        if provenance.get("unread")
    ]


def literature(frame: pd.DataFrame | None) -> dict[str, Any]:
    """What the page shows of the published numbers: those that compare, and how many do not."""
    if frame is None:
        return {}
    other = frame["Compares"].str.startswith("no")
    return {"shown": frame[~other], "left_out": int(other.sum())}


def headline(results: Results, test_splits: Sequence[str]) -> list[dict[str, Any]]:
    """The overall IoU of every test split (all splits where none is one), with its control.

    One entry a split: split, protocol (the first there is), oiou, control (its overall IoU, or
    None), share (control / oiou), few (fewer images than the exam judges by).
    """
    metrics = run_metrics(results)
    controls = metrics.pop("controls").get(LANGUAGE_CONTROL, {})
    entries = []
    for split in [name for name in metrics if name in test_splits] or list(metrics):
        protocol = next(iter(metrics[split]))
        oiou = metrics[split][protocol]["oiou"]
        control = controls.get(split, {}).get(protocol, {}).get("oiou")
        share = control / oiou if control is not None and oiou else None
        images = results[""][split]["image"].nunique()
        entries.append(
            {"split": split, "protocol": protocol, "oiou": oiou, "control": control, "share": share,
             "few": images < FEW}
        )  # fmt: skip
    return entries


def training_facts(path: Path, scored: int = 0) -> dict[str, str]:
    """What the log says of the training: name → value, as text; nothing without a log.

    scored: how many expressions of the validation split the tables are of, where it was scored.
    """
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
        column = chosen_by(val)
        best = val.loc[val[column].idxmax()]
        name = "overall IoU" if column == "oiou" else "harmonic mean of gIoU and cIoU"
        count = int(best["count"]) if "count" in val and pd.notna(best["count"]) else 0
        part = f"the first {count:,} expressions of " if 0 < count < scored else ""
        facts["weights kept"] = (
            f"of iteration {int(best['iteration']):,}: {name} {100 * best[column]:.2f} % on {part}"
            f"the validation split, {best['protocol']} protocol"
        )
        if part:
            facts["weights kept"] += (
                f" (the training looks at these alone; the tables are of all {scored:,}, whose "
                "score is another)"
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


def read_table(path: Path) -> pd.DataFrame:
    """A table that a notebook has written; empty where there is none."""
    return pd.read_csv(path) if path.is_file() else pd.DataFrame()


def split_table(card: pd.DataFrame) -> pd.DataFrame:
    """The split card, a row a split where nothing is published to compare its counts with."""
    if card.empty or card["Published"].notna().any():
        return card
    wide = card.pivot(index="Split", columns="Count", values="Here").reset_index()
    order = {split: place for place, split in enumerate(card["Split"])}
    columns = ["Split", *dict.fromkeys(card["Count"])]
    return wide.sort_values("Split", key=lambda names: names.map(order))[columns]


def verify_report(folder: Path, others: Mapping[str, Maker] = {}) -> str:
    """Compute every number of a report again from its rows; UserError with all that differs.

    others: what makes the tables of reports of other kinds than a run or a comparison, by kind.
    """
    verdict = verify(
        folder, {"run": run_tables, "comparison": comparison_tables, "exam": exam_tables, **others}
    )
    if verdict.differences:
        raise UserError(verdict.text())
    return verdict.text()


def run_tables(folder: Path, runs: Sequence[Path], output: Path) -> None:
    """Write metrics.json and the tables of a run into `output`, from its rows."""
    output.mkdir(parents=True)
    write_results(read_results(folder), output, folder)
