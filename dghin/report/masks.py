"""Pictures of a run's masks, from the stored answers: no model is asked again.

    write_mask_figures(folder, config, results)    # masks_best, _median, _worst, and failures

Which expressions are shown follows from the rows, by rule and seed. Notebook 05 shows the same.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from data_preprocess.base.errors import UserError
from dghin.data.split import PreparedSplit, open_split
from dghin.evaluation.kept import stored_samples
from dghin.inspection.examples import ranked
from dghin.report.figures.curves import SavedFigure, remove_figure, save_figure
from dghin.report.figures.masks import mask_figure
from dghin.report.tables.failures import FAILURES, examples_of
from dghin.report.tables.scores import Results
from dghin.run.config import Config
from dghin.run.folder import RunFolder

log = logging.getLogger(__name__)


def write_mask_figures(
    folder: Path, config: Config, results: Results, split: str = "", count: int = 4, seed: int = 0
) -> dict[str, SavedFigure]:
    """Draw the best, median and worst masks of a split, and some of every failure: {name: figure}.

    split: default the first test split that was scored, else the first. count: expressions of each.
    Empty, with a line in the log, where masks or data are not on this machine.
    """
    split = split or next((s for s in config.data.test_splits if s in results[""]), "")
    split = split or next(iter(results[""]))
    rows = results[""][split]
    chosen = {f"masks_{name}": (name, indices) for name, indices in ranked(rows, count).items()}
    for kind, indices in examples_of(rows, count, seed).items():
        chosen[failure_name(kind)] = (kind, indices)
    for kind in FAILURES:
        remove_figure(RunFolder(folder).figures, failure_name(kind))
    try:
        dataset = open_split(config, split)
        check_places(rows, dataset, [index for _, found in chosen.values() for index in found])
        return {
            name: save_figure(
                mask_figure(stored_samples(folder, dataset, indices), f"{title}, {split}"),
                RunFolder(folder).figures,
                name,
            )
            for name, (title, indices) in chosen.items()
        }
    except (UserError, OSError) as error:
        log.info("no pictures of masks: %s", error)
        return {}


def failure_name(kind: str) -> str:
    """The figure of a kind of failure."""
    return f"masks_{kind.replace(' ', '_')}"


def check_places(rows: pd.DataFrame, dataset: PreparedSplit, numbers: Sequence[int]) -> None:
    """UserError where data that were prepared anew since the scoring have another expression at a
    row's place, or none."""
    for number in numbers:
        row: Mapping = rows.iloc[number]
        here = dataset.expressions[number : number + 1]
        wanted = (str(row["segment_id"]), int(row["sentence_index"]))
        if [(str(one.segment_id), int(one.sentence_index)) for one in here] != [wanted]:
            raise UserError(
                f"row {number} of {dataset.split}, segment {wanted[0]}, sentence {wanted[1]}, is "
                "not at this place of the prepared data. Score the run anew: "
                "dghin evaluate run=RUN."
            )
