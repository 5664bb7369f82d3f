"""HTML pages of dghin for tests: read as text, and opened in the Chromium that is here."""

import html
import re
import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
WAIT = 60_000  # milliseconds that the browser waits for something at most
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


def page_tables(page: str) -> list[list[list[str]]]:
    """The tables of a page: lines of cells, as text."""
    return [
        [
            [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)]
            for line in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        for table in re.findall(r"<table>(.*?)</table>", page, re.DOTALL)
    ]
