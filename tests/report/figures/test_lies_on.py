"""The figure of what masks lie on: its parts are the table's shares."""

import pytest
from helpers.rows import saved, with_places

from dghin.report.figures.lies_on import MARK, lies_on_figure
from dghin.report.tables.objects.lies_on import PLACES, lies_on_table, named_table

LINES = [
    ("ordinal", "meant", 2, True, None, 1, 0),
    ("ordinal", "same class", 4, True, None, 3, -1),
    ("ordinal", "nothing", 4, False, None, 1, None),
    ("attribute", "meant", 1, True, None, None, None),
    ("attribute", "several", 1, False, None, None, None),
]


@pytest.fixture
def results():
    return {"": {"val": with_places(LINES[:1]), "testA": with_places(LINES)}}


def test_parts_are_the_shares_of_the_last_split(results, tmp_path):
    table, named = lies_on_table(results), named_table(results)
    figure = lies_on_figure(table, named)
    saved(figure, tmp_path)
    axes = figure.axes[0]
    shown = table[table["Split"] == "testA"]
    bars = sorted(axes.patches, key=lambda bar: (round(bar.get_y()), bar.get_x()))
    widths = [bar.get_width() for bar in bars if bar.get_width()]
    shares = shown[list(PLACES.values())].to_numpy().ravel()
    assert widths == pytest.approx([share for share in shares if share])
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "all (5)", "attribute (2)", "ordinal (3)",
    ]  # fmt: skip
    marks = [line.get_xdata()[0] for line in axes.lines]
    assert marks == pytest.approx(named[named["Split"] == "testA"]["A guess"].tolist())
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*PLACES.values(), MARK]


def test_without_names_there_is_no_mark(results):
    figure = lies_on_figure(lies_on_table(results))
    assert not figure.axes[0].lines
    assert MARK not in [text.get_text() for text in figure.legends[0].get_texts()]
