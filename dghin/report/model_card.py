"""A model card: what a folder of weights is, filled from the report of the run it is from.

    write_card(folder, model, language, Path("reports/demo"))     # folder/README.md

The header is what the Hub reads (huggingface_hub's ModelCardData, with the scores as evaluation
results); the text is templates/card.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file, write_text
from data_preprocess.base.settings import flatten, to_mapping
from data_preprocess.base.tables import to_markdown
from dghin.model.hub import WEIGHTS
from dghin.run.config import Config
from dghin.run.folder import BEST, SETTINGS

if TYPE_CHECKING:
    from dghin.model.dghin import DGHIN
    from dghin.report.tables.scores import Results

CARD = "README.md"
PROTOCOL = "strict"  # of the scores in the header; the text has all of them


def write_card(
    folder: Path, model: "DGHIN", language: Mapping[str, Any], run: Path | None = None
) -> None:
    """Write the card of the weights in a folder.

    run: the run's folder, whose scores, settings and origin the card shows. It must be the run
    that these weights are from.
    """
    weights = sha256_file(folder / WEIGHTS)
    values: dict[str, Any] = {
        "weights": weights,
        "parameters": sum(p.numel() for p in model.parameters()),
        "model": flatten(to_mapping(model.config)),
        "language": dict(language),
        "run": None,
    }
    results: Results = {}
    config = None
    if run is not None:
        results, config = _of_run(run, weights)
        values |= _scores(run, results, config)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dghin.report"),
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("card.md").render(values)
    write_text(folder / CARD, f"---\n{_header(results, config)}\n---\n{text}")


def _of_run(run: Path, weights: str) -> tuple["Results", Config]:
    """A run's rows and settings; an error where they are not of these weights."""
    from dghin.report.tables.scores import read_results
    from dghin.run.config import load_config

    if not (run / SETTINGS).is_file():
        raise UserError(f"{run / SETTINGS}: no such run. Give a folder of reports/, or none.")
    results = read_results(run)
    for split, rows in results[""].items():
        found = rows.attrs.get("provenance", {}).get("checkpoint")
        if found != weights:
            raise UserError(
                f"{run / 'rows' / split}.parquet: scored with other weights ({str(found)[:12]}…) "
                f"than these ({weights[:12]}…). Score them: dghin evaluate "
                f"run={run.name}, or give the run they are from (its weights: {run / BEST})."
            )
    return results, load_config(str(run / SETTINGS))


def _scores(run: Path, results: "Results", config: Config) -> dict[str, Any]:
    """What the card says of the run."""
    from dghin.report.tables.scores import controls_table, metrics_table, with_intervals

    table = metrics_table(results)
    columns = ["Split", "Protocol", "Expressions", "oIoU", "oIoU, low", "oIoU, high", "mIoU"]
    controls = controls_table(results)
    shown = ["Split", "Control", "Expressions", "oIoU, real", "oIoU, control", "Changed"]
    origin = next(iter(results[""].values())).attrs.get("provenance", {})
    return {
        "run": run.name,
        "dataset": config.data.dataset,
        "scores": to_markdown(with_intervals(table[columns])),
        "controls": to_markdown(controls[shown]) if len(controls) else "",
        "origin": origin,
        "data": flatten(origin.get("data") or {}),
        "train": flatten(to_mapping(config)),
    }


def _header(results: "Results", config: Config | None) -> str:
    """The card's header in YAML, with the scores as the Hub's evaluation results."""
    from huggingface_hub import EvalResult, ModelCardData

    from dghin.evaluation.metrics import metrics_from_rows

    found = []
    for split, rows in results.get("", {}).items():
        scores = metrics_from_rows(rows, PROTOCOL)
        for name, shown in (("oiou", "overall IoU"), ("miou", "mean IoU")):
            found.append(
                EvalResult(
                    task_type="image-segmentation",
                    task_name="Referring image segmentation",
                    dataset_type=config.data.dataset,
                    dataset_name=config.data.dataset,
                    dataset_split=split,
                    metric_type=name,
                    metric_name=f"{shown} ({PROTOCOL})",
                    metric_value=round(100 * scores[name], 2),
                )
            )
    card = ModelCardData(
        language="en",
        library_name="dghin",
        pipeline_tag="image-segmentation",
        tags=["referring-image-segmentation", "dghin", "pytorch"],
        model_name="DGHIN" if found else None,
        eval_results=found or None,
    )
    return card.to_yaml()
