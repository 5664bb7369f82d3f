"""Progress bars: tqdm's, or none where it is not installed (an environment for scoring alone).

from data_preprocess.base.progress import tqdm

Where no terminal shows them (a file, a notebook's output), a line comes every ten seconds at most.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

SECONDS = 10.0  # between two lines, unless a bar asks for every one with mininterval=0

try:
    from tqdm import tqdm as _Bar
except ImportError:

    class _Bar:  # type: ignore[no-redef]
        """What is used of tqdm's bar, without a bar."""

        def __init__(self, iterable: Iterable[Any] = (), *_: Any, **__: Any):
            self.iterable = iterable

        def __iter__(self) -> Iterator[Any]:
            return iter(self.iterable)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None:
            return None

        def update(self, count: int = 1) -> None:
            """Nothing is shown."""

        def close(self) -> None:
            """Nothing is shown."""


class tqdm(_Bar):
    """tqdm's bar, with few lines where no terminal shows it.

    off: set on the class, no bar of this process is shown (a worker beside others).
    """

    off = False

    def __init__(self, *args: Any, **options: Any):
        stream = options.get("file") or sys.stderr
        if options.get("mininterval") != 0 and not stream.isatty():
            options |= {"mininterval": SECONDS, "maxinterval": 2 * SECONDS}
        if self.off:
            options["disable"] = True
        super().__init__(*args, **options)


__all__ = ["tqdm"]
