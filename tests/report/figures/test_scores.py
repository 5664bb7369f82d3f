"""Figures of scores: what is drawn is what the table says; nothing printed collides."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from helpers.rows import make_rows, saved
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from dghin.evaluation.controls import CONTROLS
from dghin.report.figures import scores as figures_scores
from dghin.report.figures.scores import FEW, breakdown_figure, controls_figure
from dghin.report.tables.breakdowns import breakdown_table

KINDS = ("attribute", "place", "relation")


def breakdown(lines):
    columns = ["Split", "Kind", "Expressions", "oIoU", "oIoU, low", "oIoU, high"]
    return pd.DataFrame(lines, columns=columns)


def heights(figure):
    """The bars, left to right."""
    patches = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    return [round(p.get_height(), 6) for p in sorted(patches, key=lambda p: p.get_x())]


def counts(figure):
    """Row of the strip below the bars → its texts."""
    texts = sorted(figure.axes[1].texts, key=lambda text: text.get_position()[::-1])
    rows = itertools.groupby(texts, key=lambda text: text.get_position()[1])
    return [[text.get_text() for text in row] for _, row in rows]


def interval_ends(axes):
    """Where the ends of intervals are: the last point of every line of five."""
    return sorted(line.get_ydata()[-1] for line in axes.lines if len(line.get_ydata()) == 5)


def boxes(figure, texts):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [text.get_window_extent(canvas.get_renderer()) for text in texts if text.get_text()]


def apart(extents):
    return not any(one.overlaps(two) for one, two in itertools.combinations(extents, 2))


def test_bars_and_counts_are_the_tables(tmp_path):
    table = breakdown(
        [
            ("val", "place", 10834, 50.0, 48.0, 52.0),
            ("val", "relation", 200, 40.0, 30.0, 45.0),
            ("testA", "place", 5, 90.0, math.nan, math.nan),
        ]
    )
    figure = breakdown_figure(table, "Kind")
    saved(figure, tmp_path)
    assert heights(figure) == [50, 90, 40]
    assert counts(figure) == [["10,834", "200"], ["5*", "none"]]
    assert [t.get_text() for t in figure.axes[1].get_yticklabels()] == ["val", "testA"]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["place", "relation"]


def test_every_control_is_explained():
    assert list(figures_scores.CONTROLS) == list(CONTROLS)


@pytest.mark.parametrize(("name", "group"), [("by_kind", "Kind"), ("by_length", "Words")])
def test_tables_of_rows(tmp_path, name, group):
    results = {"": {"val": make_rows("val", 90, 0, KINDS), "testA": make_rows("testA", 9, 1)}}
    frame = breakdown_table(results, name)
    frame = frame.drop(columns=[name for name in frame if name.endswith((", low", ", high"))])
    figure = breakdown_figure(frame, group)
    saved(figure, tmp_path)
    shown = [text.strip("*").replace(",", "") for row in counts(figure) for text in row]
    assert sum(int(text) for text in shown if text != "none") == frame.Expressions.sum()
    assert not figure.axes[0].lines and not figure.axes[0].get_title()


def test_only_known_ends_of_an_interval_are_drawn():
    lines = [
        ("val", "a", 100, 50, 45, 55),
        ("val", "b", 100, 60, math.nan, 66),
        ("val", "c", 100, 70, math.nan, math.nan),
        ("val", "d", 100, 80, 70, math.nan),
    ]
    figure = breakdown_figure(breakdown(lines), "Kind")
    assert interval_ends(figure.axes[0]) == [45, 55, 66, 70]


def test_an_interval_beside_its_score():
    """Both ends of a bootstrap's interval may lie on one side of the score."""
    figure = breakdown_figure(breakdown([("val", "a", 100, 50, 51, 55)]), "Kind")
    assert interval_ends(figure.axes[0]) == [51, 55]


def test_few_expressions_are_paler_and_the_figure_says_so():
    def bar(count):
        figure = breakdown_figure(breakdown([("val", "a", count, 50, 40, 60)]), "Kind")
        brightness = sum(to_rgb(figure.axes[0].patches[0].get_facecolor()[:3]))
        return brightness, f"fewer than {FEW}" in figure.axes[1].get_xlabel(), counts(figure)[0][0]

    few, enough = bar(FEW - 1), bar(FEW)
    assert few[0] > enough[0]
    assert few[1:] == (True, "19*") and enough[1:] == (False, "20")


def test_no_number_meets_another():
    """Four splits, eight groups, five digits; and ten splits."""
    for splits, groups in ((4, 8), (10, 4), (1, 1)):
        lines = [
            (f"split{s}", f"a rather long kind {g}", 48_213, 99.0, 90.0, 100.0)
            for s in range(splits)
            for g in range(groups)
        ]
        figure = breakdown_figure(breakdown(lines), "Kind")
        bars, strip = figure.axes
        texts = [*strip.texts, *strip.get_yticklabels(), *bars.get_xticklabels(),
                 bars.xaxis.label, strip.xaxis.label]  # fmt: skip
        extents = boxes(figure, texts)
        assert apart(extents)
        assert not any(bars.bbox.overlaps(extent) for extent in extents)
        assert all(figure.bbox.containsx(e.x0) and figure.bbox.containsx(e.x1) for e in extents)


def test_groups_keep_their_order_where_the_first_split_lacks_one():
    lines = [("val", "1-2", 30, 1, 0, 2), ("val", "6-20", 30, 1, 0, 2),
             *(("testA", name, 30, 1, 0, 2) for name in ("1-2", "3", "4-5", "6-20"))]  # fmt: skip
    figure = breakdown_figure(breakdown(lines), "Kind")
    names = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert names == ["1-2", "3", "4-5", "6-20"]


def test_groups_that_are_numbers_are_sorted():
    table = breakdown([("val", g, 30, 10 * g, 0, 2) for g in (3, 1)])
    table = pd.concat([table, breakdown([("testA", 2, 30, 20, 0, 2)])])
    table["Kind"] = table["Kind"].astype("Int64")
    figure = breakdown_figure(table, "Kind")
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["1", "2", "3"]
    assert heights(figure) == [10, 20, 30]


def test_a_score_that_is_not_known():
    figure = breakdown_figure(breakdown([("val", "a", 30, math.nan, math.nan, math.nan)]), "Kind")
    assert heights(figure) == [] and [t.get_text() for t in figure.axes[0].texts] == ["?"]


def test_no_groups_at_all(tmp_path):
    figure = breakdown_figure(breakdown([]), "Kind")
    saved(figure, tmp_path)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no expressions"]


def controls(lines):
    columns = ["Split", "Control", "Expressions", "oIoU, real", "oIoU, real, low",
               "oIoU, real, high", "oIoU, control", "oIoU, control, low", "oIoU, control, high",
               "Changed"]  # fmt: skip
    return pd.DataFrame(lines, columns=columns)


def marks(figure):
    """(control, real) of every row, top to bottom: the single points, open and filled."""
    points = [line for line in figure.axes[0].lines if line.get_marker() != "None"]
    points.sort(key=lambda line: line.get_ydata()[0])
    found = []
    for real, control in zip(points[::2], points[1::2], strict=True):
        assert control.get_markerfacecolor() == "white" != real.get_markerfacecolor()
        assert control.get_markeredgecolor() == real.get_markeredgecolor()
        found.append((control.get_xdata()[0], real.get_xdata()[0]))
    return found


TWO = [
    ("val", "left-right", 300, 60.0, 55.0, 65.0, 70.0, 66.0, 74.0, math.nan),
    ("val", "shuffled", 10834, 58.0, 56.0, 60.0, 12.0, 11.0, 13.0, 91.4),
]


def test_dumbbells_go_from_the_control_to_the_real_score(tmp_path):
    figure = controls_figure(controls(TWO))
    saved(figure, tmp_path)
    assert marks(figure) == [(12, 58), (70, 60)]  # shuffled first
    ends = [line.get_xdata()[-1] for line in figure.axes[0].lines if len(line.get_xdata()) == 5]
    assert sorted(ends) == [11, 13, 55, 56, 60, 65, 66, 74]
    texts = [text.get_text() for text in figure.axes[0].texts]
    for expected in ("58.0 → 12.0", "91 %", "10,834", "60.0 → 70.0", "–", "300"):
        assert expected in texts
    assert "The longer the band" in figure.axes[0].get_title(loc="left")


def test_a_control_without_expressions_and_one_of_another_name(tmp_path):
    unknown = math.nan
    lines = [
        ("val", "above-below", 0, *[unknown] * 7),
        ("val", "own", 30, 50, unknown, unknown, 40, unknown, unknown, unknown),
    ]
    figure = controls_figure(controls(lines))
    saved(figure, tmp_path)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "none" in texts and "own" in texts and any(t.startswith("above-below: ") for t in texts)
    assert np.isnan(marks(figure)[0]).all() and marks(figure)[1] == (40, 50)


def test_texts_of_controls_do_not_meet():
    names = ("shuffled", "blind", "other-image", "left-right", "above-below")
    lines = [(split, name, 48_213, 100.0, 99.0, 100.0, 0.0, 0.0, 1.0, 100.0)
             for name in names for split in ("val", "testA", "testB")]  # fmt: skip
    figure = controls_figure(controls(lines))
    axes = figure.axes[0]
    extents = boxes(figure, [*axes.texts, *axes.get_yticklabels(), *axes.get_xticklabels()])
    assert apart(extents)
    assert all(figure.bbox.containsx(e.x0) and figure.bbox.containsx(e.x1) for e in extents)


def test_no_controls_at_all(tmp_path):
    figure = controls_figure(controls([]))
    saved(figure, tmp_path)
    assert "no controls" in [text.get_text() for text in figure.axes[0].texts]
