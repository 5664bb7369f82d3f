"""Independent tasks on all cores: results as they come, nothing left running behind."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any, TypeVar

Task, Result = TypeVar("Task"), TypeVar("Result")
_IMAGES_A_TASK = 64
_WAITING = 4  # tasks a process that are handed over ahead: more would only fill the memory


def workers_for(asked: int, tasks: int) -> int:
    """How many processes to use: `asked`, or one a core where it is 0; never more than tasks."""
    return min(asked or cores(), tasks)


def cores() -> int:
    """CPU cores that this process may use: a job may have fewer than the machine."""
    own = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if own else os.cpu_count() or 1


def by_image(items: Iterable[Task], image: Callable[[Task], Any]) -> list[list[Task]]:
    """The items, those of one image together, in portions of some dozens of images."""
    groups: dict[Any, list[Task]] = {}
    for item in items:
        groups.setdefault(image(item), []).append(item)
    listed = list(groups.values())
    return [
        [item for group in listed[start : start + _IMAGES_A_TASK] for item in group]
        for start in range(0, len(listed), _IMAGES_A_TASK)
    ]


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    prepare: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[tuple[Task, Result]]:
    """(task, function(task)) of every task, in the order in which they end.

    workers: processes; with 1 or none all is done in this one. prepare(*arguments) is called once
    in each before its first task. The first error ends the work.
    """
    if workers <= 1:
        if prepare is not None and tasks:
            prepare(*arguments)
        yield from ((task, function(task)) for task in tasks)
        return
    # spawn: a notebook that prepares data has threads, and forking threads can hang
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start, initargs=(prepare, arguments)
    )
    left = iter(tasks)
    running: dict[Any, Task] = {}
    try:
        while True:
            for task in left:
                running[pool.submit(function, task)] = task
                if len(running) >= workers * _WAITING:
                    break
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    _end_with_parent()
    if prepare is not None:
        prepare(*arguments)


def _end_with_parent() -> None:
    """Let a process end when the one that started it is killed: the pool itself would wait."""

    def end() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
