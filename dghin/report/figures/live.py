"""Learning curves that grow in a notebook while a training runs in another process."""

import io
import time
from pathlib import Path
from typing import Any

from IPython.display import DisplayHandle, Markdown
from IPython.display import Image as Picture
from matplotlib.figure import Figure

from .curves import DPI, learning_curves, read_log

WAITING = "Learning curves appear here with the first line of the log."
DONE = "The curves grew here during the training."


class LiveCurves:
    """A picture of log.jsonl that is drawn anew as the log grows; to be called now and then.

        with LiveCurves(folder / "train" / "log.jsonl") as curves:
            launch_training(config, folder, on_line=curves)

    every: the fewest seconds between two drawings. After the end the picture goes, to make room
    for the final one; after a failure it stays.
    """

    def __init__(self, path: Path, every: float = 10.0):
        self.path, self.every = Path(path), every
        self.handle = DisplayHandle()
        self.drawn = -float("inf")  # when
        self.seen: Any = self._state()  # of the log: lines of an earlier life are not news

    def __enter__(self) -> "LiveCurves":
        self.handle.display(Markdown(WAITING))
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.handle.update(Markdown(DONE))
        else:
            self.draw()

    def __call__(self) -> None:
        """Draw, if the log has grown and it is time."""
        if time.monotonic() - self.drawn >= self.every and self._state() != self.seen:
            self.draw()

    def draw(self) -> None:
        """Draw the log as it is; nothing before its first losses."""
        self.drawn, self.seen = time.monotonic(), self._state()
        if not self.path.is_file():
            return
        log = read_log(self.path)
        if "loss" in log:
            self.handle.update(Picture(data=png(learning_curves(log))))

    def _state(self) -> tuple[int, int] | None:
        """Changes when the log does."""
        if not self.path.is_file():
            return None
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI // 2)
    return file.getvalue()
