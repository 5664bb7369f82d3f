"""HTML pages of dghin for tests: read as text, and opened in the Chromium that is here."""

import contextlib
import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
WAIT = 60_000  # milliseconds that the browser waits for something at most
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


@contextlib.contextmanager
def altered(path: Path, old: str, new: str) -> Iterator[None]:
    """A table's file of a report in which something else stands for a while."""
    text = path.read_text()
    assert old in text, f"{path.name}: has no '{old}'"
    path.write_text(text.replace(old, new))
    yield
    path.write_text(text)


def page_tables(page: str) -> list[list[list[str]]]:
    """The tables of a page: lines of cells, as text."""
    return [
        [
            [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)]
            for line in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        for table in re.findall(r"<table>(.*?)</table>", page, re.DOTALL)
    ]
