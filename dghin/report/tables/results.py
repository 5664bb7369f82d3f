"""All tables of a run, from its rows alone: made by evaluation and report, checked by `verify`.

    write_results(read_results(folder), folder)     # metrics.json, tables/*.{md,csv,tex}

No model, no photo and no GPU is needed.
"""

from pathlib import Path

import pandas as pd

from data_preprocess.base.files import write_json
from dghin.evaluation.segmenters.about import About, about_run
from dghin.run.config import Config, load_config
from dghin.run.folder import RunFolder

from .breakdowns import BREAKDOWNS, breakdown_table
from .claims import claims_table, run_claims
from .exam import card_table, exam_table
from .failures import failures_table
from .latex import write_latex_document
from .objects.lies_on import TABLES as OF_OBJECTS
from .published import literature_table
from .scores import (
    Results,
    controls_table,
    generalized_table,
    intervals_table,
    metrics_table,
    remove_table,
    run_metrics,
    write_table,
)

MAIN, CLAIMS = "main", "claims"
METRICS = "metrics.json"
# tables that a run has or has not, by what was scored
AS_SCORED = (CLAIMS, "generalized", "controls", "exam", "exam_card", "literature")


def score_tables(
    results: Results,
    config: Config | None = None,
    about: About | None = None,
    folder: Path | None = None,
) -> dict[str, pd.DataFrame]:
    """Every table that follows from the rows, by name; those that would be empty are left out.

    config: the run's, for the published numbers of its data set beside it. about: its model.
    folder: the run's, for the claims in there; without it there is no table of claims.
    """
    claims = literature = pd.DataFrame()
    if config is not None:
        literature = literature_table(results, config, about=about)
        if folder is not None:
            own = about or about_run(folder, config)
            claims = claims_table(results, config, own, run_claims(folder), folder)
    exam = exam_table(results)
    tables = {
        CLAIMS: claims,
        MAIN: metrics_table(results),
        "intervals": intervals_table(results),
        "generalized": generalized_table(results),
        "controls": controls_table(results),
        "exam": exam,
        "exam_card": card_table(exam),
        "failures": failures_table(results),
        **{name: breakdown_table(results, name) for name in BREAKDOWNS},
        **{name: make(results) for name, make in OF_OBJECTS.items()},
        "literature": literature,
    }
    return {name: frame for name, frame in tables.items() if len(frame)}


def settings_of(folder: Path) -> Config | None:
    """The settings of a run's folder; None where it has none."""
    path = RunFolder(folder).config
    return load_config(str(path)) if path.is_file() else None


def write_results(
    results: Results, folder: Path, run: Path | None = None
) -> dict[str, pd.DataFrame]:
    """Write metrics.json, the tables and tables.tex (all of them, to compile); → the tables.

    Tables of an earlier evaluation that no longer follow from the rows are removed. run: the run's
    folder, whose settings, model and claims count, where the tables are written to another one.
    """
    run = folder if run is None else run
    write_json(folder / METRICS, run_metrics(results))
    config = settings_of(run)
    tables = score_tables(results, config, about_run(run, config), run)
    for name, frame in tables.items():
        write_table(frame, folder / "tables", name)
    for name in {*BREAKDOWNS, *OF_OBJECTS, *AS_SCORED} - {*tables}:
        remove_table(folder / "tables", name)
    if (folder / "tables" / f"{MAIN}.tex").is_file():
        write_latex_document(folder / "tables")
    return tables
