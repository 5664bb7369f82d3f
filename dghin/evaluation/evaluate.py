"""The one evaluation: trainer, notebooks and command line use this, for any model.

    dghin evaluate run=demo                every test split of the run, and val
    dghin evaluate run=demo control=all    under all controls, too (controls/)
    dghin evaluate run=lavt predictions=PATH config=refcoco data.root=DATA   saved masks
    torchrun --standalone --nproc-per-node=4 -m dghin evaluate run=demo      shared out

Every expression is scored under every protocol that its answer carries (dghin.evaluation.answers)
and becomes one row of reports/<run>/rows/<split>.parquet; metrics.json and the tables are computed
from those rows. The rows carry where they come from: commit, checkpoint, data and command
(dghin.evaluation.provenance). Interrupted, it goes on with what was answered (kept.py).
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path, sha256_json
from data_preprocess.base.progress import tqdm
from data_preprocess.base.settings import as_list
from dghin.data.split import PreparedSplit
from dghin.run.config import Config
from dghin.run.folder import RunFolder
from dghin.run.processes import ALONE, Place, gather

from .scoring import Answered, Scorer, frame_of, image_groups
from .segmenters.answerers import Answerer

if TYPE_CHECKING:  # what only controls and rows on the disk need is imported where it is needed:
    from .kept import Kept  # a training does not depend on it

log = logging.getLogger(__name__)


def evaluate_split(
    model: Any,
    dataset: PreparedSplit,
    config: Config,
    place: Place = ALONE,
    limit: int = 0,
) -> pd.DataFrame:
    """Score every expression of a split: one row each, on every rank.

    model: an Answerer, or a DGHIN. limit: the first so many expressions only.
    """
    return evaluate_with_controls(model, dataset, config, (), place, limit)[""]


def evaluate_with_controls(
    model: Any,
    dataset: PreparedSplit,
    config: Config,
    controls: Sequence[str],
    place: Place = ALONE,
    limit: int = 0,
    progress: bool = False,
    folder: Path | None = None,
    identity: str = "",
) -> dict[str, pd.DataFrame]:
    """Score a split as it is ("") and under controls: {control: rows}, on every rank.

    The model sees an image once for (up to AT_ONCE of) its expressions and all controls of the
    words. Ranks share the images without padding, so that every expression is counted once.
    folder: the run's, where answers are kept and stored; identity: what else than the model
    decides them (data, settings, code).
    """
    from .controls import alter

    answerer = as_answerer(model, config)
    count = min(limit or config.evaluate.expressions or len(dataset), len(dataset))
    encode = answerer.reads_features
    altered = {control: alter(dataset, control, config, encode) for control in ("", *controls)}
    groups = image_groups(dataset, count)[place.rank :: place.world]
    scorer = Scorer(answerer, dataset, altered, with_masks=folder is not None)
    kept = _kept(answerer, dataset, folder, identity, place)
    own: dict[str, list[Answered]] = {control: [] for control in altered}
    shown = tqdm(
        total=len(groups), desc=dataset.split, unit="image", disable=not progress, mininterval=2
    )
    with shown:
        for found in _answers(scorer, groups, kept, config):
            for control, answers in found.items():
                own[control] += answers
            shown.update(1)
    parts = gather(own, place)
    frames = {}
    for control, inputs in altered.items():
        answers = [one for part in parts for one in part[control]]
        expected = int((inputs.indices < count).sum())
        frames[control] = frame_of([one.columns for one in answers], expected, dataset.split)
        if folder and place.is_main:
            _store(folder, dataset.split, control, answers)
    return frames


def _store(folder: Path, split: str, control: str, answers: list[Answered]) -> None:
    """Store the answers beside the rows; where there is none, those of before go."""
    from .kept import store

    path = RunFolder(folder).answers(split, control)
    if answers:
        store(path, answers)
    else:
        path.unlink(missing_ok=True)


def is_answerer(model: Any) -> bool:
    """Whether it is an Answerer (a DGHIN is none yet)."""
    return hasattr(model, "reads_photos")


def as_answerer(model: Any, config: Config) -> Answerer:
    """A DGHIN as an Answerer, in the precision of the settings; an Answerer as it is."""
    if is_answerer(model):
        return model
    from .segmenters.network import Network

    return Network(model, config.evaluate.precision)


def _kept(
    answerer: Answerer, dataset: PreparedSplit, folder: Path | None, identity: str, place: Place
) -> "Kept | None":
    """Where answers are kept; None where nothing says which model they are of."""
    if folder is None or not answerer.digest:
        return None
    from .kept import Kept

    digest = sha256_json([answerer.digest, identity])
    kept = Kept(folder, dataset.split, digest, place.rank)
    if kept.known and place.is_main:
        log.info("%s: goes on with %d images' answers", dataset.split, len(kept.known))
    return kept


def _answers(
    scorer: Scorer, groups: list[list[int]], kept: "Kept | None", config: Config
) -> Iterator[dict[str, list[Answered]]]:
    """Every group's answers by control: those that are kept, then the others as they come."""
    left = []
    for members in groups:
        done: dict[str, list[Answered]] = {}
        for control, chosen in scorer.chosen(members).items():
            answers = kept.get(control, chosen) if kept else None
            if answers is None:
                left.append(members)
                break
            done[control] = answers
        else:
            yield done
    for members, found in scorer.run(left, config):
        if kept:
            for control, chosen in scorer.chosen(members).items():
                kept.add(control, chosen, found[control])
        yield found


def evaluate_run(
    folder: Path,
    config: Config,
    splits: Sequence[str] = (),
    controls: Sequence[str] = (),
    model: Any = None,
    place: Place | None = None,
    weights: Path | None = None,
    without_plain: bool = False,
) -> dict[str, dict[str, pd.DataFrame]]:
    """Score splits (default: val and the test splits) with the run's best weights; write rows.

    model: another DGHIN, or an Answerer. weights: the folder that a DGHIN is from, where it is not
    the run's own (without it, the rows do not say which weights it has). without_plain: the plain
    rows and answers stay as they are.
    → {"": {split: rows}, control: {split: rows}}, on every rank; the main one writes.
    """
    from .controls import check_control
    from .kept import forget
    from .objects.lies_on import with_objects
    from .provenance import check_same_run, identity_of, provenance

    splits, controls = as_list("splits", splits), as_list("controls", controls)
    for control in controls:
        check_control(control)
    if not is_answerer(model):
        from .segmenters.network import network_of

        place = place or Place.here()
        weights = weights or (RunFolder(folder).best if model is None else None)
        model = network_of(model, config, weights, place)
    place = place or ALONE
    check_same_run(folder, model.origin(), config.data.dataset)
    names = list(splits) or list(config.data.scored_splits)
    if not names:
        raise UserError(
            "data.val_split and data.test_splits are empty, so nothing can be scored. Name a split."
        )
    datasets = {name: model.open(config, name) for name in names}
    origin = provenance(config, model.digest, model.origin()) if place.is_main else {}
    identity = identity_of(config) if model.digest else ""
    results: dict[str, dict[str, pd.DataFrame]] = {}
    for name, dataset in datasets.items():
        unread = dataset.manifest["splits"][name].get("unread") if model.reads_photos else None
        told = {"unread": unread} if unread and place.is_main else {}
        if told:
            log.warning("%s: the tokenizer knows too little of %d expressions", name, unread)
        possible = possible_controls(dataset, controls)
        found = evaluate_with_controls(
            model, dataset, config, possible, place, 0, place.is_main, folder, identity
        )
        for control, rows in found.items():
            if without_plain and not control:
                continue
            if place.is_main and not control:
                rows = with_objects(rows, RunFolder(folder).answers(name), Path(config.data.root))
            rows.attrs["provenance"] = origin | told
            if place.is_main:
                _write(folder, name, control, rows)
            if len(rows):
                results.setdefault(control, {})[name] = rows
    if place.is_main:
        forget(folder, names)
    return {name: results[name] for name in ("", *controls) if name in results}


def _write(folder: Path, split: str, control: str, rows: pd.DataFrame) -> None:
    """Write the rows of a split; where there is none, those of an earlier evaluation go."""
    path = RunFolder(folder).rows(split, control)
    if rows.empty:
        log.warning("%s: no expression that '%s' could change", split, control)
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        rows.to_parquet(temporary, index=False)


def possible_controls(dataset: PreparedSplit, controls: Sequence[str]) -> list[str]:
    """The controls that a split can be scored under; of the others it is said why not."""
    from .controls import needs_other_images

    if len({expression.image for expression in dataset.expressions}) > 1:
        return list(controls)
    for control in filter(needs_other_images, controls):
        log.warning("%s: one image only, so that '%s' cannot be scored", dataset.split, control)
    return [control for control in controls if not needs_other_images(control)]
