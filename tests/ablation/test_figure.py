"""The figure of an ablation: every seed is there, and what it is held against."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers.rows import saved

from dghin.ablation.figure import ablation_figure, seeds_table


def table(variants, splits=("testA",)):
    """Variants: name → scores of its seeds."""
    lines = []
    for name, seeds in variants.items():
        line = {"Variant": name}
        for split in splits:
            line[f"{split}, mean"] = np.mean(seeds) if seeds else math.nan
            line[f"{split}, sd"] = np.std(seeds, ddof=1) if len(seeds) > 1 else math.nan
            line[f"{split}, seeds"] = seeds
        lines.append(line)
    return pd.DataFrame(lines)


def rings(axes):
    """The seeds, top to bottom."""
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    return [list(line.get_xdata()) for line in lines]


def test_every_seed_the_means_and_the_differences(tmp_path):
    figure = ablation_figure(table({"full": [60.0, 62.0], "no word graph": [58.0, 57.0, 59.0]}))
    saved(figure, tmp_path)
    (axes,) = figure.axes
    assert rings(axes) == [[60, 62], [58, 57, 59]]
    assert [text.get_text() for text in axes.texts] == ["61.0", "−3.0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["full", "no word graph"]
    (band,) = axes.patches
    assert band.get_x() == pytest.approx(61 - math.sqrt(2))
    assert band.get_width() == pytest.approx(2 * math.sqrt(2))


def test_all_that_is_drawn_is_in_sight():
    figure = ablation_figure(table({"full": [60.0, 90.0], "without": [10.0], "third": [55.0]}))
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    assert low < 10 and high > 75 + 15 * math.sqrt(2)


def test_one_seed_has_no_band(tmp_path):
    figure = ablation_figure(table({"full": [60.0], "without": []}))
    saved(figure, tmp_path)
    (axes,) = figure.axes
    assert not axes.patches and rings(axes) == [[60], []]
    assert [text.get_text() for text in axes.texts] == ["60.0", "–"]


def test_a_panel_a_split_of_the_same_span(tmp_path):
    frame = table(
        {"full": [60.0, 61.0], "without": [50.0, 52.0]}, ("val", "testA", "testB", "test")
    )
    frame["testB, mean"] += 20
    frame["testB, seeds"] = [[80.0, 81.0], [72.0, 74.0]]
    figure = ablation_figure(frame)
    saved(figure, tmp_path)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["val", "testA", "testB", "test"]
    spans = [np.diff(axes.get_xlim()).item() for axes in panels]
    assert spans == pytest.approx([spans[0]] * 4)


def test_scores_a_training_make_the_figures_table():
    lines = [
        ("without", "val", 50.0), ("without", "testA", 51.0), ("full", "val", 60.0),
        ("full", "val", 62.0),
    ]  # fmt: skip
    scores = pd.DataFrame(lines, columns=["Variant", "Split", "oIoU"])
    frame = seeds_table(scores, "full")
    assert frame["Variant"].tolist() == ["full", "without"]
    assert frame["val, seeds"].tolist() == [[60, 62], [50]]
    assert frame["val, mean"].tolist() == [61, 50]
    assert frame["val, sd"][0] == pytest.approx(math.sqrt(2)) and math.isnan(frame["val, sd"][1])
    assert frame["testA, seeds"].tolist() == [[], [51]] and math.isnan(frame["testA, mean"][0])
    texts = [[text.get_text() for text in axes.texts] for axes in ablation_figure(frame).axes]
    assert texts == [["61.0", "−11.0"], ["–", "–"]]
    assert seeds_table(scores[:0], "full").empty


def test_an_empty_table(tmp_path):
    saved(ablation_figure(table({}).reindex(columns=["Variant"])), tmp_path)
