"""Tables from rows: the same numbers everywhere, and three written forms."""

import io

import numpy as np
import pandas as pd
import pytest
from helpers.rows import as_control, make_rows

from data_preprocess.base.errors import UserError
from data_preprocess.base.tables import to_markdown
from dghin.evaluation.metrics import (
    PROTOCOLS,
    expression_iou,
    metrics_from_counts,
    metrics_from_rows,
)
from dghin.evaluation.uncertainty import bootstrap
from dghin.report.tables.breakdowns import BREAKDOWNS, breakdown_table
from dghin.report.tables.latex import to_latex
from dghin.report.tables.results import score_tables, write_results
from dghin.report.tables.scores import (
    controls_table,
    metrics_table,
    read_results,
    run_metrics,
    validations_table,
    with_intervals,
    without_empty,
    write_table,
)


@pytest.fixture
def results():
    real = {"val": make_rows("val", 30), "testA": make_rows("testA", 40, 1)}
    return {"": real, "shuffled": {"testA": as_control(make_rows("testA", 40, 2))}}


def test_metrics_json_has_its_form(results):
    metrics = run_metrics(results)
    rows = results[""]["testA"]
    expected = metrics_from_counts(rows.paper_intersection, rows.paper_union, rows.length)
    assert metrics["testA"]["paper"] == expected
    assert list(metrics) == ["val", "testA", "controls"]
    assert set(metrics["controls"]["shuffled"]) == {"testA"}
    assert set(metrics["controls"]["shuffled"]["testA"]) == set(PROTOCOLS)


def test_main_table_holds_all_protocols_and_the_control_beside(results):
    frame = metrics_table(results)
    assert list(frame.Split) == ["val"] * 4 + ["testA"] * 4
    assert list(frame.Protocol) == ["strict", "paper", "resized", "threshold=0.35"] * 2
    control = run_metrics(results)["controls"]["shuffled"]["testA"]["paper"]["oiou"]
    assert frame["oIoU, shuffled"][5] == pytest.approx(100 * control)
    assert frame["oIoU, shuffled"][:4].isna().all()
    interval = bootstrap(results[""]["testA"], "paper", ["miou"])["miou"]
    assert [frame["mIoU, low"][5], frame["mIoU, high"][5]] == pytest.approx(
        [100 * bound for bound in interval]
    )


def test_breakdowns_count_every_expression_once(results):
    for name in ("by_kind", "by_length_all", "by_size", "by_distractors", "by_depth"):
        counts = breakdown_table(results, name).groupby("Split").Expressions.sum()
        assert counts.to_dict() == {"val": 30, "testA": 40}, name
    by_length = breakdown_table(results, "by_length")
    short = (results[""]["val"].length <= 20).sum()
    assert by_length.groupby("Split").Expressions.sum()["val"] == short < 30
    metrics = run_metrics(results)["val"]["strict"]["by_length"]
    shown = by_length[by_length.Split == "val"].set_index("Words").oIoU / 100
    assert shown.dropna().to_dict() == pytest.approx({k: v for k, v in metrics.items() if v})


def test_a_breakdowns_line_is_that_of_its_rows(results):
    rows = results[""]["testA"]
    chosen = rows[rows.distractors >= 4]
    line = breakdown_table(results, "by_distractors").set_index(["Split", "Same-class distractors"])
    line = line.loc["testA", "4 or more"]
    scores = metrics_from_rows(chosen, "strict")
    assert [line.Expressions, line.oIoU, line.mIoU, line["Pr@0.5"]] == pytest.approx(
        [len(chosen), 100 * scores["oiou"], 100 * scores["miou"], 100 * scores["pr50"]]
    )
    low, high = bootstrap(chosen, "strict", ["oiou"])["oiou"]
    assert (line["oIoU, low"], line["oIoU, high"]) == pytest.approx((100 * low, 100 * high))


def test_object_sizes_are_cocos(results):
    rows = results[""]["val"]
    by_size = breakdown_table(results, "by_size").set_index(["Split", "Object size"]).Expressions
    counts = rows.area.value_counts()
    assert by_size["val", "small"] == counts[100]
    assert by_size["val", "medium"] == counts[1024] + counts[9216]
    assert by_size["val", "large"] == counts[9217] + counts[50_000]


def test_a_data_set_without_kinds_or_classes_has_empty_tables():
    rows = make_rows("val", 5, kinds=("",)).assign(distractors=pd.array([pd.NA] * 5, "Int64"))
    old = rows.drop(columns="depth")  # as an older version wrote them
    for name in ("by_kind", "by_distractors", "by_depth"):
        table = breakdown_table({"": {"val": old}}, name)
        assert table.empty and BREAKDOWNS[name].column in to_markdown(table)
    assert {"by_length", "by_size"} <= set(score_tables({"": {"val": old}}))
    assert not {"by_kind", "by_distractors", "by_depth", "controls"} & set(
        score_tables({"": {"val": old}})
    )


def test_an_unknown_value_falls_out_of_its_own_breakdown_only():
    rows = make_rows("val", 8)
    rows.loc[:2, "distractors"] = pd.NA
    results = {"": {"val": rows}}
    assert breakdown_table(results, "by_distractors").Expressions.sum() == 5
    assert breakdown_table(results, "by_depth").Expressions.sum() == 8


def test_cut_expressions_are_scored_apart():
    rows = make_rows("val", 8)
    rows["cut"] = pd.array([0, 0, 0, 1, 1, None, 0, 0], dtype="Int64")
    table = breakdown_table({"": {"val": rows}}, "by_cut")
    assert dict(zip(table["Expression"], table["Expressions"], strict=True)) == {
        "whole": 5, "cut": 2,
    }  # fmt: skip
    own = metrics_from_rows(rows.iloc[3:5], "strict")["oiou"]
    assert table.set_index("Expression")["oIoU"]["cut"] == pytest.approx(100 * own)
    for unknown in (rows.drop(columns="cut"), rows.assign(cut=pd.array([None] * 8, "Int64"))):
        assert breakdown_table({"": {"val": unknown}}, "by_cut").empty


def test_controls_are_held_against_the_same_expressions(results):
    swapped = as_control(results[""]["testA"].iloc[[3, 8, 11, 30]])
    swapped["strict_intersection"] //= 2
    table = controls_table(results | {"left-right": {"testA": swapped}})
    assert list(table.Control) == ["shuffled", "left-right"]
    line = table.iloc[1]
    real = metrics_from_rows(results[""]["testA"].iloc[[3, 8, 11, 30]], "strict")["oiou"]
    control = metrics_from_rows(swapped, "strict")["oiou"]
    assert line["Expressions"] == 4 and line["oIoU, real"] == pytest.approx(100 * real)
    assert line["Share"] == pytest.approx(100 * control / real)
    moved = expression_iou(swapped.agreement_intersection, swapped.agreement_union) < 0.5
    assert line["Changed"] == 100 * moved.mean() and 0 < moved.mean() < 1


def test_an_interval_is_two_columns_on_disk_and_one_where_it_is_read():
    frame = pd.DataFrame({"a": ["x", "y"], "s": [2.0, 3.0], "s, low": [1.234, np.nan],
                          "s, high": [4.0, np.nan], "left, low": [1, 2]})  # fmt: skip
    shown = with_intervals(frame)
    assert list(shown) == ["a", "s", "s, 95 %", "left, low"]
    assert list(shown["s, 95 %"]) == ["[1.23, 4.00]", None]
    assert "s, 95 %" in to_markdown(shown)


def test_tables_that_no_longer_follow_from_the_rows_are_removed(tmp_path, results):
    write_results(results, tmp_path)
    assert {"main.csv", "controls.tex", "by_kind.md", "tables.tex"} <= {
        path.name for path in (tmp_path / "tables").iterdir()
    }
    (tmp_path / "tables/splits.csv").touch()  # another's
    write_results({"": {"val": make_rows("val", 5, kinds=("",))}}, tmp_path)
    left = {path.name for path in (tmp_path / "tables").iterdir()}
    assert not {"controls.csv", "by_kind.md"} & left and {"main.csv", "splits.csv"} <= left


def test_written_forms(tmp_path, results):
    frame = metrics_table(results).rename(columns={"Split": "Split_%"})
    write_table(frame, tmp_path, "main")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["main.csv", "main.md", "main.tex"]
    back = pd.read_csv(io.StringIO((tmp_path / "main.csv").read_text()))
    assert list(back)[:6] == [
        "Split_%",
        "Protocol",
        "Expressions",
        "oIoU",
        "oIoU, low",
        "oIoU, high",
    ]
    pd.testing.assert_frame_equal(back, frame.round(2))
    lines = (tmp_path / "main.md").read_text().splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines) == len(frame) + 2
    latex = (tmp_path / "main.tex").read_text()
    assert r"Split\_\%" in latex and r"\toprule" in latex and "& -- \\\\" in latex


def test_special_characters_are_escaped():
    frame = pd.DataFrame({"a|b": ["50% & {x}_1 ~^\\"], "n": [1234]})
    escaped = r"50\% \& \{x\}\_1 \textasciitilde \textasciicircum \textbackslash &"
    assert escaped in to_latex(frame)


def test_rows_are_read_back_in_order(tmp_path, results):
    for control, splits in results.items():
        for split, rows in splits.items():
            path = tmp_path / "rows" / control / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows.to_parquet(path)
    read = read_results(tmp_path)
    assert list(read[""]) == ["val", "testA"] and list(read["shuffled"]) == ["testA"]
    pd.testing.assert_frame_equal(metrics_table(read), metrics_table(results))


def test_a_run_that_was_not_evaluated(tmp_path):
    with pytest.raises(UserError, match="dghin evaluate run="):
        read_results(tmp_path)


def test_validations_of_a_log_are_in_percent_and_counts_are_whole():
    log = pd.DataFrame(
        [
            {"kind": "start", "iteration": 0},
            {"kind": "train", "iteration": 2, "loss": 1.5},
            {"kind": "val", "iteration": 2, "protocol": "strict", "oiou": 0.5, "pr50": 0.25,
             "count": 400},
        ]
    )  # fmt: skip
    table = validations_table(log)
    assert list(table) == ["Iteration", "Expressions", "Protocol", "oIoU", "Pr@0.5"]
    assert table.to_numpy().tolist() == [[2, 400, "strict", 50.0, 25.0]]
    assert "400.0" not in table.to_string()


def test_columns_without_a_value_are_left_out():
    card = pd.DataFrame({"Here": [0, 1], "Published": pd.array([None, None], "Int64"),
                         "Verdict": ["", ""], "Note": ["", "same"]})  # fmt: skip
    assert list(without_empty(card)) == ["Here", "Note"]
