"""Time of a split's 95 % intervals, beside drawing the rows themselves, in one run.

    python benchmarks/intervals.py
    python benchmarks/intervals.py expressions=20000 images=3000 rounds=5

Both draw images with replacement and give an interval for every score. "rows" puts the rows of the
drawn images together and scores them, resample by resample, as one would write it first; "sums" is
`dghin.evaluation.uncertainty.bootstrap`, which adds up sums of images. They take turns, `rounds`
times; the
first does fewer resamples, and its time is counted per resample. Ratios are to the first.
"""

import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_preprocess.base.tables import to_markdown
from dghin.evaluation.metrics import metrics_from_rows
from dghin.evaluation.uncertainty import bootstrap
from dghin.run.command_line import read_words, run_cli


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    own = {"expressions": 10_000, "images": 1_500, "rounds": 3, "resamples": 2_000, "few": 20}
    values, _ = read_words("benchmarks.intervals", __doc__, own, arguments)
    rows = random_rows(values["expressions"], values["images"])
    counts = {"rows": values["few"], "sums": values["resamples"]}
    makers = {"rows": resample_rows, "sums": resample_sums}
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(values["rounds"]):
        for name, make in makers.items():
            started = time.perf_counter()
            make(rows, counts[name])
            seconds[name].append((time.perf_counter() - started) / counts[name])
    print(to_markdown(summary(seconds, values["resamples"])), end="")


def random_rows(expressions: int, images: int) -> pd.DataFrame:
    """Rows of a made-up split."""
    random = np.random.default_rng(0)
    union = random.integers(1, 100_000, expressions)
    return pd.DataFrame(
        {
            "dataset": "random",
            "image": [f"{number}.jpg" for number in random.integers(0, images, expressions)],
            "length": random.integers(1, 12, expressions),
            "strict_union": union,
            "strict_intersection": (union * random.random(expressions)).astype(int),
        }
    )


def resample_rows(rows: pd.DataFrame, resamples: int) -> None:
    """Draw images and score the rows that come along, again and again."""
    groups = [group for _, group in rows.groupby("image")]
    random = np.random.default_rng(0)
    for _ in range(resamples):
        drawn = random.integers(0, len(groups), len(groups))
        metrics_from_rows(pd.concat([groups[number] for number in drawn]), "strict")


def resample_sums(rows: pd.DataFrame, resamples: int) -> None:
    """The kit's way."""
    bootstrap(rows, "strict", resamples=resamples)


def summary(seconds: dict[str, list[float]], resamples: int) -> pd.DataFrame:
    """Way; seconds for so many resamples (median); spread of the rounds; ratio to the first."""
    first = statistics.median(seconds["rows"])
    lines = [
        [
            name,
            resamples * statistics.median(times),
            (max(times) - min(times)) / statistics.median(times),
            first / statistics.median(times),
        ]
        for name, times in seconds.items()
    ]
    columns = ["Way", f"Seconds, {resamples:,} resamples", "Spread", "Times as fast"]
    return pd.DataFrame(lines, columns=columns)


if __name__ == "__main__":
    sys.exit(run_cli(main, sys.argv[1:]))
