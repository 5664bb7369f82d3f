"""The table of an ablation: mean ± sd over seeds, the difference to the full network, time."""

import functools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy import stats

from dghin.ablation.trainings import FULL, VARIANTS, Member, splits_of
from dghin.evaluation.metrics import metrics_from_rows
from dghin.model.dghin import DGHIN
from dghin.report.figures.curves import read_log
from dghin.report.tables.scores import read_results
from dghin.run.config import Config, ModelConfig
from dghin.run.folder import RunFolder

LEVEL = 0.95
DIFFERENCE = ("To full", "To full, low", "To full, high", "p")


def scores(found: Sequence[Member], protocol: str = "strict") -> pd.DataFrame:
    """A row for every member and split: Variant, Seed, Split, Protocol, Expressions, oIoU (%)."""
    lines = []
    for member in found:
        for split, rows in read_results(member.folder)[""].items():
            value = metrics_from_rows(rows, protocol)["oiou"]
            lines.append([member.variant, member.seed, split, protocol, len(rows), 100 * value])
    columns = ["Variant", "Seed", "Split", "Protocol", "Expressions", "oIoU"]
    return pd.DataFrame(lines, columns=columns)


def ablation_table(found: Sequence[Member], protocol: str = "strict") -> pd.DataFrame:
    """The table of a paper's ablation: a row a variant, oIoU in percent as mean ± sd over seeds.

    Columns: Variant, Key, Protocol, Seeds; of every split its mean and sd; of `judged_splits`
    together (their mean by seed) the difference to the full network with a 95 % interval and
    p-value by Welch's t-test over seeds; Parameters (without both encoders, which no variant
    changes); Minutes (of training, at the median speed that its log holds; NaN without a log).
    """
    every = scores(found, protocol)
    splits = list(dict.fromkeys(every["Split"]))
    judged = every[every["Split"].isin(judged_splits(found))]
    whole = judged.groupby(["Variant", "Seed"])["oIoU"].mean()
    lines = []
    for variant in dict.fromkeys(member.variant for member in found):
        own = [member for member in found if member.variant == variant]
        line = {"Variant": variant, "Key": VARIANTS[variant] or "–", "Protocol": protocol}
        line["Seeds"] = len(own)
        for split in splits:
            chosen = every[(every["Variant"] == variant) & (every["Split"] == split)]["oIoU"]
            line |= {split: chosen.mean(), f"{split}, sd": chosen.std(ddof=1)}
        if variant == FULL or FULL not in whole:
            difference = (math.nan,) * 4
        else:
            difference = against_full(whole[variant].to_numpy(), whole[FULL].to_numpy())
        line |= dict(zip(DIFFERENCE, difference, strict=True))
        line["Parameters"] = parameters(own[0].config)
        line["Minutes"] = float(np.mean([minutes(member) for member in own]))
        lines.append(line)
    return pd.DataFrame(lines)


def judged_splits(found: Sequence[Member]) -> list[str]:
    """The splits that a variant is judged by: the test splits, which took no part in any choice.

    All splits where there is no test split.
    """
    config = found[0].config
    return list(config.data.test_splits) or splits_of(config)


def against_full(variant: np.ndarray, full: np.ndarray) -> tuple[float, float, float, float]:
    """Difference of means, its 95 % interval (low, high) and p-value: Welch's t-test over seeds.

    NaN but for the difference where either side has a single seed: nothing is known of its spread.
    """
    difference = float(variant.mean() - full.mean())
    if min(len(variant), len(full)) < 2:
        return difference, math.nan, math.nan, math.nan
    test = stats.ttest_ind(variant, full, equal_var=False)
    interval = test.confidence_interval(LEVEL)
    return difference, float(interval.low), float(interval.high), float(test.pvalue)


def parameters(config: Config) -> int:
    """Parameters of the network without its two encoders."""
    return _parameters(config.model)


@functools.cache
def _parameters(config: ModelConfig) -> int:
    """Building a network takes most of a second: each is built once."""
    with torch.device("meta"):
        model = DGHIN(config)
    encoders = ("visual_encoder.", "text_encoder.")
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(encoders))


def minutes(member: Member) -> float:
    """Minutes of training, at the median speed of its log: a machine's busy moments count less."""
    path = RunFolder(member.folder).log
    frame = read_log(path) if path.is_file() else pd.DataFrame()
    if "kind" not in frame or not (frame["kind"] == "train").any():
        return math.nan
    train = frame[frame["kind"] == "train"]
    batch = member.config.train.batch or math.nan  # 0, "what fits": not known here
    seconds = batch * train["iteration"].max() / train["expressions_per_second"].median()
    return float(seconds / 60)
