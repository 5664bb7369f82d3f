"""What each part of the network brings: the same training without it, over several seeds.

    make reproduce RUN=ablation
    run_ablation(run, seeds=[0, 1, 2])          # train and score every variant with every seed
    ablation_table(read_members(run.folder))    # mean ± sd, parameters, time

Every variant is one configuration key on top of the run's settings, and stands in a folder of its
own, reports/<run>/runs/<variant>-seed<seed>, that `dghin report` reads like any other
run's. What is there and up to date is not trained again.
"""

import logging
import multiprocessing
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.progress import tqdm
from data_preprocess.base.settings import as_list, build, to_mapping
from data_preprocess.base.workers import cores
from dghin.data.split import run_manifest
from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.provenance import checkpoint, provenance, read_rows
from dghin.run.config import Config, load_config
from dghin.run.folder import Run, RunFolder
from dghin.run.freshness import set_stale_training_aside
from dghin.training.launch import launch_training, processes_here

log = logging.getLogger(__name__)
FULL = "full"
VARIANTS = {  # what a table calls it → the key that makes it
    FULL: "",
    "text graph off": "model.text_graph=false",
    "visual graph off": "model.visual_graph=false",
    "entity level only": "model.interaction=entity",
    "graph level only": "model.interaction=graph",
    "part of speech off": "model.part_of_speech=false",
    "auxiliary losses off": "model.auxiliary_heads=false",
    "visual graph scaled": "model.visual_graph_scale=scaled",
    "visual graph normalised": "model.visual_graph_scale=normalised",
}


@dataclass(frozen=True)
class Member:
    """One training of an ablation: a variant with a seed, in a run's folder of its own."""

    variant: str
    seed: int
    folder: Path

    @property
    def is_there(self) -> bool:
        """Whether it was trained, and every split scored with the weights that are there."""
        if not (RunFolder(self.folder).config).is_file():
            return False
        paths = [RunFolder(self.folder).rows(split) for split in splits_of(self.config)]
        if not all(path.is_file() for path in paths):
            return False
        weights = checkpoint(self.folder)
        origins = [read_rows(path).attrs.get("provenance", {}) for path in paths]
        return all(weights in (None, origin.get("checkpoint", weights)) for origin in origins)

    @property
    def config(self) -> Config:
        """The settings that it was trained with."""
        return load_config(str(RunFolder(self.folder).config))


def members(folder: Path, seeds: Iterable[int], variants: Iterable[str] = ()) -> list[Member]:
    """The trainings of an ablation in reports/<run>: seed by seed, so that a part is a whole."""
    names = list(variants) or list(VARIANTS)
    for name in names:
        if name not in VARIANTS:
            raise unknown_name("variant", name, VARIANTS)
    return [
        Member(name, seed, RunFolder(folder).runs / f"{name.replace(' ', '-')}-seed{seed}")
        for seed in seeds
        for name in names
    ]


def member_config(config: Config, member: Member) -> Config:
    """The run's settings with the variant's key and the seed."""
    words = [word for word in (VARIANTS[member.variant], f"train.seed={member.seed}") if word]
    return build(Config, to_mapping(config), words)


def run_ablation(
    run: Run,
    seeds: Sequence[int],
    variants: Sequence[str] = (),
    processes: int = 0,
    jobs: int = 0,
) -> list[Member]:
    """Train and score what is not there yet; → all members.

    processes: of a training; 0: as the config says. jobs: trainings at once; 0: as many as this
    machine has cores (or GPUs) for. Neither changes which trainings there are.
    """
    seeds, variants = as_list("seeds", seeds, int), as_list("variants", variants)
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(f"seeds={list(seeds)}: give at least one, and none twice.")
    asked = members(run.folder, seeds, variants)
    count = processes or processes_here(run.config)
    cards = torch.cuda.device_count()
    if cards and jobs * count > cards:
        raise UserError(f"jobs={jobs} of {count} processes: this machine has {cards} GPUs.")
    jobs = min(jobs or max(1, (cards or cores()) // count), len(asked))
    tasks = [
        (number, len(asked), member, run.config, count) for number, member in enumerate(asked, 1)
    ]
    if jobs == 1:
        for task in tasks:
            train_and_score(*task)
        return asked
    train_at_once(tasks, jobs, count)
    return asked


def train_at_once(tasks: Sequence[tuple[Any, ...]], jobs: int, count: int) -> None:
    """`train_and_score` for every task, `jobs` at a time; after a failure none is started."""
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(jobs):
        numbers.put(number)
    left, running = list(tasks), {}
    pool = ProcessPoolExecutor(jobs, context, _prepare_job, (numbers, count))
    with pool, tqdm(total=len(tasks), unit="training", mininterval=0) as bar:
        while left or running:
            while left and len(running) < jobs:
                task = left.pop(0)
                running[pool.submit(train_and_score, *task)] = task[2]
            for one in wait(running, return_when=FIRST_COMPLETED).done:
                one.result()
                member = running.pop(one)
                bar.set_description(f"{member.variant}, seed {member.seed}")
                bar.update()


def _prepare_job(numbers: Any, count: int) -> None:
    """A process that trains: its log goes to the run's folder only, as others write beside it, and
    no bar of its own is shown; it has GPUs of its own where there are several."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")
    tqdm.off = True
    cards = torch.cuda.device_count()
    if cards > 1:
        own = own_cards(numbers.get(), count, cards, os.environ.get("CUDA_VISIBLE_DEVICES"))
        os.environ["CUDA_VISIBLE_DEVICES"] = own


def own_cards(number: int, count: int, cards: int, visible: str | None = None) -> str:
    """The GPUs of job `number`, `count` each, out of `cards` (of those that are visible)."""
    names = visible.split(",") if visible else list(map(str, range(cards)))
    first = number * count
    return ",".join(names[first : first + count])


def train_and_score(number: int, of: int, member: Member, config: Config, processes: int) -> None:
    """Train a member, if it is not up to date, and score val and the test splits."""
    log.info("%d of %d: %s, seed %d", number, of, member.variant, member.seed)
    bring_up_to_date(member.folder, member_config(config, member), processes)


def bring_up_to_date(
    folder: Path, config: Config, processes: int, variables: Mapping[str, str] = {}
) -> None:
    """Train in a run's folder, unless that was done from the same settings, data and code, and
    score its splits. variables: of the training's environment."""
    set_stale_training_aside(folder, config, False, processes)
    launch_training(config, folder, processes, variables=variables)
    if not is_scored(folder, config):
        evaluate_run(folder, config)


def is_scored(folder: Path, config: Config) -> bool:
    """Whether there are rows of every split: whole, from the weights, data and commit of now."""
    wanted = provenance(config, checkpoint(folder))
    splits = run_manifest(config)["splits"]
    for split in splits_of(config):
        path = RunFolder(folder).rows(split)
        if not path.is_file():
            return False
        rows = read_rows(path)
        origin = rows.attrs.get("provenance", {})
        count = splits[split]["expressions"]
        if len(rows) != min(config.evaluate.expressions or count, count):
            return False
        if any(origin.get(key) != wanted[key] for key in ("checkpoint", "data", "commit")):
            return False
    return True


def splits_of(config: Config) -> list[str]:
    """The splits that a run is scored on: val, if there is one, and the test splits."""
    return list(config.data.scored_splits)


def folders_of_members(folder: Path) -> list[Member]:
    """What is in reports/<run>/runs, finished or not: in the order of VARIANTS, then by seed."""
    found = []
    for name in VARIANTS:
        start = f"{name.replace(' ', '-')}-seed"
        for path in RunFolder(folder).runs.glob(f"{start}*"):
            if (seed := path.name.removeprefix(start)).isdecimal():
                found.append(Member(name, int(seed), path))
    return in_order(found)


def in_order(found: Iterable[Member]) -> list[Member]:
    """In the order of VARIANTS, then by seed: as tables have them."""
    order = list(VARIANTS)
    return sorted(found, key=lambda member: (order.index(member.variant), member.seed))


def missing_members(folder: Path) -> list[Member]:
    """The trainings that are not finished: of all variants and seeds that have a folder."""
    there = folders_of_members(folder)
    variants = dict.fromkeys(member.variant for member in there)
    asked = members(folder, sorted({member.seed for member in there}), variants)
    return [member for member in asked if not member.is_there]


def read_members(folder: Path) -> list[Member]:
    """The finished trainings in reports/<run>/runs, in the order of VARIANTS, then by seed.

    Finished: trained, and scored on every split. UserError where there is none.
    """
    found = [member for member in folders_of_members(folder) if member.is_there]
    if not found:
        raise UserError(
            f"{folder / 'runs'}: no training of an ablation. "
            f"Make them with: make reproduce RUN={folder.name}"
        )
    return found
