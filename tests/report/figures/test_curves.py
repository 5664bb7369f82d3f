"""Figures: every one is drawn and saved in both forms; what they mark is where it should be."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers.rows import make_rows, records, saved

from data_preprocess.base.errors import UserError
from dghin.evaluation.metrics import MaskSample
from dghin.inspection.observe import patch_of
from dghin.report.figures.curves import (
    learning_curves,
    length_histogram,
    precision_curves,
    read_log,
    save_figure,
)
from dghin.report.figures.graphs import (
    dependency_graph,
    graph_edges,
    visual_graph_figure,
    word_attention_figure,
)
from dghin.report.figures.masks import ObjectSample, mask_figure, painted, samples_figure

KINDS = ("attribute", "place", "relation")


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)


@pytest.fixture
def language():
    """'red star' and a word past the last of four positions."""
    return SimpleNamespace(
        tokens=("red", "$tar", "left", "cut"),
        pieces=("red", "##star", "left", "cut"),
        heads=np.array([-1, 2, 2, -1]),
        pos=np.array([0, 2, 1, 5]),
    )


def square(top, left):
    mask = np.zeros((30, 40), bool)
    mask[top : top + 10, left : left + 10] = True
    return mask


def test_equal_figures_give_equal_bytes(tmp_path):
    one, two = (
        save_figure(length_histogram({"val": [1, 2, 2]}), tmp_path, name) for name in ("a", "b")
    )
    assert one.png.read_bytes() == two.png.read_bytes()
    assert one.pdf.read_bytes() == two.pdf.read_bytes()


def test_dependency_graph(tmp_path, language):
    figure = dependency_graph(language, "the red $tar")
    saved(figure, tmp_path)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "root" in texts and "cut off" in texts and "noun\n(##star)" in texts
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "noun", "adjective", "adverb",
    ]  # fmt: skip


def test_edges_are_words_not_positions(language):
    assert graph_edges(language.heads, 4) == [(0, 1), (1, 1)]


def test_visual_graph(tmp_path, photo):
    rows = {1: np.full((2, 4, 4), 1 / 16), 2: np.full((2, 2, 2), 1 / 4)}
    figure = visual_graph_figure(photo, [(0.1, 0.1), (0.9, 0.9)], rows)
    saved(figure, tmp_path)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert "level 2: 2 × 2 patches" in labels


def test_a_place_is_in_its_patch():
    assert patch_of((0, 0), (4, 8)) == (0, 0)
    assert patch_of((0.5, 0.49), (4, 8)) == (2, 3)
    assert patch_of((1, 1), (4, 8)) == (3, 7)


def test_word_attention(tmp_path, photo):
    shares = np.random.default_rng(0).random((17, 4, 4))
    saved(word_attention_figure(photo, ("red", "star", "a", "b", "c"), shares), tmp_path)


def test_masks(tmp_path, photo):
    samples = [
        MaskSample(photo, square(5, 5), square(10, 10), "the red star, $5"),
        MaskSample(photo, square(5, 5), square(5, 5) & False, "a" * 300),
    ]
    assert samples[0].iou == pytest.approx(25 / 175) and samples[1].iou == 0
    figure = mask_figure(samples, "worst")
    saved(figure, tmp_path)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "IoU 14.3 %" in titles


def test_painted_pixels_only_where_the_mask_is(photo):
    mask = square(5, 5)
    result = painted(photo, mask, "#0072B2")
    assert (result[~mask] == photo[~mask]).all() and (result[mask] != photo[mask]).any()


def test_samples_sheet(tmp_path, photo):
    texts = ("left", "the red star", "a red one", "star", "one more")
    samples = [ObjectSample(photo, square(20, 30), texts)] * 3
    figure = samples_figure([*samples, ObjectSample(photo, square(0, 0) & False, ("none",))])
    saved(figure, tmp_path)
    assert "and 2 more" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("with_val", [True, False])
def test_learning_curves(tmp_path, with_val):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records(with_val)))
    figure = learning_curves(read_log(path))
    (tmp_path / "out").mkdir()
    saved(figure, tmp_path / "out")
    texts = [text.get_text().strip() for text in figure.axes[1].texts]
    assert texts == (["kept: 50.0"] if with_val else ["no scores on validation"])


def test_a_half_written_line_is_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records()) + '{"kind": "tra')
    assert len(read_log(path)) == len(records())


def test_skipped_steps_and_stops_are_marked(tmp_path):
    events = [
        {"kind": "start", "iteration": 0},
        {"kind": "start", "iteration": 7},
        {"kind": "start", "iteration": 12},
        {"kind": "skipped", "iteration": 3, "samples": ["a"], "count": 1},
        {"kind": "skipped", "iteration": 4, "samples": ["b"], "count": 2},
    ]
    figure = learning_curves(pd.DataFrame([*records(), *events]))
    saved(figure, tmp_path)
    lines = {line.get_label(): list(line.get_xdata()) for line in figure.axes[0].lines}
    assert lines["2 skipped steps"] == [3, 4] and lines["stopped, went on"] == [7, 7]
    assert [12, 12] in lines.values()


def test_ten_splits_have_ten_curves(tmp_path):
    """As the joint data set's."""
    lengths = {f"split{i}": [1, 2, 2, 3 + i] for i in range(10)}
    assert len(length_histogram(lengths).axes[0].lines) == 10
    rows = {"": {f"split{i}": make_rows(f"split{i}", 9, i, KINDS) for i in range(10)}}
    figure = precision_curves(rows)
    saved(figure, tmp_path)
    looks = {(line.get_color(), line.get_marker()) for line in figure.axes[0].lines}
    assert len(looks) == 10


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(UserError, match="log.jsonl: no such log"):
        read_log(tmp_path / "log.jsonl")


def test_precision_curves_agree_with_the_table(tmp_path):
    rows = make_rows("val", 30)
    figure = precision_curves({"": {"val": rows}, "shuffled": {"val": make_rows("val", 30, 2)}})
    saved(figure, tmp_path)
    line = figure.axes[0].lines[0]
    x, y = line.get_data()
    expected = 100 * (rows.strict_intersection / rows.strict_union >= 0.7).mean()
    assert y[np.argmin(np.abs(x - 0.7))] == pytest.approx(expected)


def test_log_lines_of_other_kinds_are_harmless():
    figure = learning_curves(pd.DataFrame([*records(), {"kind": "note"}]))
    assert len(figure.axes) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "not readable as a log .a git-lfs"),
        (b'{"kind": "train"}\nhalf\n{}\n', "not readable as a log .line 2"),
        (b"\xff\n", "no UTF-8 in line 1"),
    ],
)
def test_a_damaged_log_is_named(tmp_path, content, message):
    (tmp_path / "log.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=f"log.jsonl: .*{message}"):
        read_log(tmp_path / "log.jsonl")


def test_an_empty_log_has_no_training(tmp_path):
    (tmp_path / "log.jsonl").touch()
    assert not (read_log(tmp_path / "log.jsonl")["kind"] == "train").any()
