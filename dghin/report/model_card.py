"""A model card: what a folder of weights is, filled from the report of the run it is from.

    save_with_card(predictor, "FOLDER", run="reports/demo")     # weights, settings and README.md
    push_with_card(predictor, "OWNER/NAME", run="reports/demo")
    write_card("FOLDER", run="reports/demo")                    # the card of weights that are there
    write_card("FOLDER", run="reports/lavt")                    # of a model of others: its scores

Beside the text stands a picture of the run's masks of median quality, where its report has one. The
header is what the Hub reads (huggingface_hub's ModelCardData, with the scores as evaluation
results); the text is templates/card.md. Beside it stand the scores in the hub's newer form,
.eval_results/<data set>.yaml (eval_results.py), where the hub knows the data set.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, HfApi, ModelCardData

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path, read_json, sha256_file, write_text
from data_preprocess.base.settings import flatten, to_mapping
from data_preprocess.base.tables import to_markdown
from dghin.evaluation.metrics import first_protocol, metrics_from_rows
from dghin.evaluation.provenance import checkpoint
from dghin.evaluation.segmenters.about import DGHIN as DGHIN_NAME
from dghin.evaluation.segmenters.about import About, about_run
from dghin.inspection.predictor import Predictor
from dghin.model.dghin import DGHIN
from dghin.model.hub import CONFIG, REMEDY, WEIGHTS, uploading
from dghin.report.tables.failures import marked
from dghin.report.tables.scores import (
    LANGUAGE_CONTROL,
    Results,
    controls_table,
    metrics_table,
    read_results,
    with_intervals,
)
from dghin.run.config import Config, load_config
from dghin.run.folder import RunFolder

from .eval_results import write_eval_results
from .gallery import shrink
from .page import render

CARD, PICTURE = "README.md", "dghin_examples.webp"
SHOWN = "masks_median.png"  # of the report's figures
DRAWN = " (scenes that dghin draws)"


def save_with_card(predictor: Predictor, folder: str | Path, run: str | Path | None = None) -> None:
    """Write the predictor's model, its language settings and a model card into a folder.

    run: as of `write_card`.
    """
    predictor.save_pretrained(folder)
    write_card(folder, run)


def push_with_card(
    predictor: Predictor,
    name: str,
    run: str | Path | None = None,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Upload what `save_with_card` writes to a hub's repository ("owner/name"); → its URL.

    token: by default huggingface_hub's own: `hf auth login`, or HF_TOKEN.
    """
    api = HfApi(token=token)
    with uploading(name), tempfile.TemporaryDirectory() as folder:
        save_with_card(predictor, folder, run)  # first: the card may be refused
        url = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="DGHIN by dghin")
    return str(url)


def write_card(folder: str | Path, run: str | Path | None = None) -> None:
    """Write the card of the weights in a folder, which names its tokenizer and parser.

    run: the run's folder (reports/<run>), whose scores and origin the card shows. These weights
    must be the ones that it scored; what they were trained on the card says where the run is the
    training that they are from. Of a model of others the folder needs no weights that are known
    here. The scores are written to .eval_results/, too.
    """
    folder = Path(folder)
    _check_card(folder / CARD)
    about = About(DGHIN_NAME) if run is None else about_run(Path(run), None)
    values: dict[str, Any] = dict.fromkeys(("weights", "run", "drawn", "trained")) | {
        "about": about
    }
    if about.is_dghin:
        values |= _of_weights(folder)
    results: Results = {}
    config = None
    if run is not None:
        results, config = _of_run(Path(run), values["weights"])
        values |= _scores(Path(run), results, config)
        values["trained"] = about.is_dghin and checkpoint(Path(run)) == values["weights"]
    write_eval_results(folder, results, config, run)
    values |= {"answers": answer_facts(results), "picture": _picture(folder, run)}
    header = _header(results, config, about)
    write_text(folder / CARD, f"---\n{header}\n---\n{render('card.md', values)}")


def _check_card(path: Path) -> None:
    """UserError for a README.md that is no model card: it would be lost."""
    if path.is_file() and not path.read_bytes().startswith(b"---"):
        raise UserError(
            f"{path.absolute()}: no model card (it has no header), and it would be lost. Name "
            "another folder, or move it."
        )


def _of_weights(folder: Path) -> dict[str, Any]:
    """What the card says of a folder of DGHIN's weights."""
    model = DGHIN.from_pretrained(folder)
    language = read_json(folder / CONFIG, REMEDY).get("language")
    if not language:
        raise UserError(
            f"{folder / CONFIG}: says nothing of the tokenizer and parser ('language'). "
            "Give a folder that training or Predictor.save_pretrained wrote."
        )
    return {
        "weights": sha256_file(folder / WEIGHTS),
        "parameters": sum(p.numel() for p in model.parameters()),
        "language": language,
    }


def _of_run(run: Path, weights: str | None) -> tuple[Results, Config]:
    """A run's rows and settings; an error where they are not of these weights (None: of others)."""
    files = RunFolder(run)
    if not files.config.is_file():
        raise UserError(f"{files.config}: no such run. Give a folder of reports/, or none.")
    results = read_results(run)
    for split, rows in results[""].items() if weights else ():
        found = rows.attrs.get("provenance", {}).get("checkpoint")
        if found != weights:
            raise UserError(
                f"{run / 'rows' / split}.parquet: scored with other weights ({str(found)[:12]}…) "
                f"than these ({weights[:12]}…). Score them: dghin evaluate "
                f"run={run.name}, or give the run they are from (its weights: {files.best})."
            )
    return results, load_config(str(files.config))


def _scores(run: Path, results: Results, config: Config) -> dict[str, Any]:
    """What the card says of the run."""
    table = metrics_table(results)
    columns = ["Split", "Protocol", "Expressions", "oIoU", "oIoU, low", "oIoU, high", "mIoU"]
    controls = controls_table(results)
    shown = ["Split", "Control", "Expressions", "oIoU, real", "oIoU, control", "Changed"]
    origin = next(iter(results[""].values())).attrs.get("provenance", {})
    return {
        "run": run.name,
        "dataset": config.data.dataset,
        "drawn": config.data.drawn,
        "data_settings": config.data,
        "scores": to_markdown(with_intervals(table[columns])),
        "controls": to_markdown(controls[shown]) if len(controls) else "",
        "origin": origin,
        "data": flatten(origin.get("data") or {}),
        "train": flatten(to_mapping(config)),
    }


def answer_facts(results: Results) -> list[str]:
    """What a run's rows say of answers without a pixel, as sentences; nothing without rows."""
    plain, found = results.get("", {}), []
    meant = {split: rows[rows["area"] > 0] for split, rows in plain.items()}
    if any(map(len, meant.values())):
        empty = {split: ~marked(rows) for split, rows in meant.items()}
        found.append(
            f"Its mask may be empty, though something is meant: {_shares(empty)}."
            if any(one.any() for one in empty.values())
            else f"No answer was an empty mask where something is meant: {_shares(empty)}."
        )
    nothing = {split: marked(rows[rows["area"] == 0]) for split, rows in plain.items()}
    if any(map(len, nothing.values())):
        found.append(f"Where nothing is meant, it still marks something: {_shares(nothing)}.")
    other = {split: marked(rows) for split, rows in results.get(LANGUAGE_CONTROL, {}).items()}
    if any(map(len, other.values())):
        found.append(
            f"Asked for what is said of another image (`{LANGUAGE_CONTROL}`), it still marks "
            f"something: {_shares(other)}. So a mask does not say that the phrase fits the photo."
        )
    return found


def _shares(found: dict[str, np.ndarray]) -> str:
    """ "val 3.1 % of 957 expressions, ...": how many of every split are true."""
    return ", ".join(
        f"{split} {100 * one.mean():.1f} % of {len(one):,} expressions"
        for split, one in found.items()
        if len(one)
    )


def _picture(folder: Path, run: str | Path | None) -> str:
    """Put the picture beside the card; → its name, "" where the run has none."""
    target, source = folder / PICTURE, RunFolder(Path(run or "")).figures / SHOWN
    target.unlink(missing_ok=True)  # of an earlier card
    if run is None or not source.is_file():
        return ""
    with atomic_path(target) as temporary:
        shrink(source, temporary)
    return PICTURE


def _header(results: Results, config: Config | None, about: About) -> str:
    """The card's header in YAML, with the scores as the Hub's evaluation results."""
    found = []
    for split, rows in results.get("", {}).items():
        protocol = first_protocol(rows)  # the text has all of them
        scores = metrics_from_rows(rows, protocol)
        for name, shown in (("oiou", "overall IoU"), ("miou", "mean IoU")):
            found.append(
                EvalResult(
                    task_type="image-segmentation",
                    task_name="Referring image segmentation",
                    dataset_type=config.data.dataset,
                    dataset_name=f"{config.data.dataset}{DRAWN * config.data.drawn}",
                    dataset_split=split,
                    metric_type=name,
                    metric_name=f"{shown} ({protocol})",
                    metric_value=round(100 * scores[name], 2),
                )
            )
    card = ModelCardData(
        language="en",
        library_name="dghin" if about.is_dghin else None,
        license=about.licence or None,
        pipeline_tag="image-segmentation",
        tags=["referring-image-segmentation", *(["dghin", "pytorch"] * about.is_dghin)],
        model_name=(about.name or "model") if found else None,
        eval_results=found or None,
    )
    return card.to_yaml()
