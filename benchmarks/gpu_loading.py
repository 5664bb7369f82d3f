"""What a loader of JPEGs leaves of a training's rate."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from harness import seconds_of

from dghin.data.batches import collate
from dghin.data.loading import Batch, Samples, load_batches

PREFETCH = 4  # batches that each worker reads ahead, as train.prefetch is by default


def loader_share(
    step: Callable[[list[Batch]], object], samples: Samples, batch: int, workers: int, steps: int
) -> dict[str, Any]:
    """busy: the share of a training's time that the steps alone take; the loader costs the rest.
    Also images a second of both, and of the loader without any steps.

    Workers read ahead: what they have ready when the clock starts would hide how slow they are. So
    as many batches as they can have ready are used up first, and twice as many steps are measured.
    """
    ahead = max(workers * PREFETCH, 1)
    count = max(steps, 2 * ahead)
    indices = [list(range(i * batch, (i + 1) * batch)) for i in range(2 * (ahead + count))]
    gather = functools.partial(collate, share_images=False)
    loaded = load_batches(samples, indices, gather, workers, PREFETCH)
    with contextlib.closing(loaded):
        for _ in range(ahead):
            given = [next(loaded)]
            step(given)
        whole = seconds_of(lambda: [step([next(loaded)]) for _ in range(count)])
        for _ in range(ahead):
            next(loaded)
        loading = seconds_of(lambda: [next(loaded) for _ in range(count)])
    alone = seconds_of(lambda: [step(given) for _ in range(count)])
    return {
        "busy": min(alone / whole, 1.0),
        "images a second": batch * count / whole,
        "steps alone": batch * count / alone,
        "loader alone": batch * count / loading,
    }
