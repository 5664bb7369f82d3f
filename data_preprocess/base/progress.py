"""Progress bars: tqdm's, or none where it is not installed (an environment for scoring alone).

from data_preprocess.base.progress import tqdm
"""

from collections.abc import Iterable, Iterator
from typing import Any

try:
    from tqdm import tqdm
except ImportError:

    class tqdm:  # type: ignore[no-redef]
        """What is used of tqdm's bar, without a bar."""

        def __init__(self, iterable: Iterable[Any] = (), *_: Any, **__: Any):
            self.iterable = iterable

        def __iter__(self) -> Iterator[Any]:
            return iter(self.iterable)

        def __enter__(self) -> "tqdm":
            return self

        def __exit__(self, *_: Any) -> None:
            return None

        def update(self, count: int = 1) -> None:
            """Nothing is shown."""

        def close(self) -> None:
            """Nothing is shown."""


__all__ = ["tqdm"]
