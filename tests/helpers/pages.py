"""HTML pages of dghin, read as text, for tests."""

import html
import re


def page_tables(page: str) -> list[list[list[str]]]:
    """The tables of a page: lines of cells, as text."""
    return [
        [
            [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)]
            for line in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        for table in re.findall(r"<table>(.*?)</table>", page, re.DOTALL)
    ]
