"""The parts that pages are made of: tables, figures, boxes, contents."""

import math
import re

import jinja2
import pandas as pd
import pytest
from helpers.pages import BROWSER, needs_browser

from data_preprocess.base.tables import cells, numeric

NAMES = "style, contents, section, table, figure, box"


def render(text, **values):
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dghin.report"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"cells": cells, "numeric": numeric}
    page = environment.from_string(f'{{% from "parts.html" import {NAMES} %}}\n' + text)
    return page.render(values)


def table(frame):
    return render("{{ table(frame) }}", frame=frame)


def looks(page):
    """Class of every heading of a table."""
    return re.findall(r'<th(?: class="(\w*)")?>', page)


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ([1, 20_000], True),
        ([0.5, math.nan], True),
        (["58.14 [56.3, 60.0]", "–"], True),
        (["+1.2 ± 0.3", "−0.4 ± 0.1"], True),
        (["10,834", "–"], True),
        (["1-2", "6-20"], False),
        (["58.14", "none yet"], False),
        (["val", "testA"], False),
        (["–", "–"], False),
        ([], False),
    ],
)
def test_numbers_stand_to_the_right(values, right):
    page = table(pd.DataFrame({"A": values}, dtype=None if values else object))
    assert looks(page) == ["n" if right else ""]
    assert page.count('<td class="n">') == (len(values) if right else 0)


def test_all_cells_are_there_and_escaped():
    page = table(pd.DataFrame({"<A>": ["x & y", "z"], "B": [1234, 5]}))
    assert "&lt;A&gt;" in page and "x &amp; y" in page and "<td>z</td>" in page
    assert '<td class="n">1,234</td>' in page


def test_a_table_without_rows_says_so():
    page = table(pd.DataFrame(columns=["A", "B"]))
    assert '<td colspan="2">none</td>' in page


def test_wide_tables_are_told_from_narrow_ones():
    def classes(columns, cell):
        page = table(pd.DataFrame({f"column {i}": [cell] for i in range(columns)}))
        return re.search(r'<div class="scroll([\w ]*)">', page).group(1).split()

    assert classes(3, 1.5) == []
    assert classes(6, 1.5) == ["long"]
    assert classes(14, 1.5) == ["long", "very"]
    assert classes(1, "words " * 50) == []  # they wrap


def test_figures_that_are_not_there_are_left_out():
    text = '{{ figure("a", "A < B", figures) }}{{ figure("b", "none", figures) }}'
    page = render(text, figures={"a": "data:image/png;base64,AAAA"})
    assert page.count("<img") == 1 and page.count("A &lt; B") == 2 and "none" not in page
    wide = render('{{ figure("a", "A", figures, wide=true) }}', figures={"a": "data:"})
    assert 'class="wide"' in wide and 'class="wide"' not in page


def test_contents_lead_to_sections():
    text = "{{ contents(list) }}{% for id, title in list %}{{ section(id, title, 3) }}{% endfor %}"
    page = render(text, list=[("a", "One & two"), ("b", "Three")])
    assert re.findall(r'href="#(\w+)"', page) == re.findall(r'<h3 id="(\w+)"', page) == ["a", "b"]
    assert "One &amp; two</a>" in page and "One &amp; two</h3>" in page


def test_boxes():
    page = render('{% call box("Read.", "warn") %}<em>this</em> {{ "<" }}{% endcall %}')
    assert '<div class="box warn"><strong>Read.</strong> <em>this</em> &lt;</div>' in page
    assert '<div class="box">x</div>' in render("{% call box() %}x{% endcall %}")


def test_hints_to_scroll_stand_only_where_a_browser_can_tell():
    before, _, after = render("{{ style() }}").partition("@supports (timeline-scope")
    assert after and not re.search(r"\.hint\s*{\s*display:\s*block", before)


@needs_browser
def test_hints_to_scroll_stand_beside_what_is_too_wide(tmp_path):
    """A table that fits has none, a wide one has, on both widths."""
    sync_api = pytest.importorskip("playwright.sync_api")
    style = render("{{ style() }}")
    frames = [pd.DataFrame({f"column {i}": [1.5] for i in range(n)}) for n in (2, 9, 40)]
    page = tmp_path / "page.html"
    page.write_text(style + "".join(table(frame) for frame in frames))
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for width, expected in ((1300, [0, 0, 1]), (390, [0, 1, 1])):
            view = browser.new_page(viewport={"width": width, "height": 800})
            view.goto(page.as_uri())
            seen = "e => e.map(one => Number(one.getBoundingClientRect().height > 0))"
            view.wait_for_function("document.getAnimations().length > 0")
            assert view.eval_on_selector_all(".hint", seen) == expected
        browser.close()


def test_the_style_is_on_the_page_and_needs_nothing_else():
    page = render("{{ style() }}")
    assert "@media print" in page and "max-width: 40rem" in page
    assert not re.search(r"@import|url\(|<script|https?:", page)
    assert page.count("{") == page.count("}")
