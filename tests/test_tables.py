"""Tables from rows: the same numbers everywhere, and three written forms."""

import io

import numpy as np
import pandas as pd
import pytest

from data_preprocess.common import UserError
from dghin.metrics import metrics_from_counts
from dghin.tables import (
    kind_table,
    length_table,
    metrics_table,
    read_results,
    run_metrics,
    to_latex,
    to_markdown,
    write_table,
)


def make_rows(split, count, seed=0, kinds=("attribute", "place")):
    random = np.random.default_rng(seed)
    union = random.integers(1, 500, count)
    rows = pd.DataFrame(
        {
            "dataset": "refcoco",
            "split": split,
            "segment_id": [str(i // 2) for i in range(count)],
            "sentence_index": np.arange(count) % 2,
            "sentence": "the red star",
            "kind": random.choice(kinds, count),
            "image": [f"{i // 4}.jpg" for i in range(count)],
            "length": random.integers(1, 25, count),
            "height": 48,
            "width": 64,
            "area": 100,
        }
    )
    for protocol in ("paper", "strict"):
        rows[f"{protocol}_union"] = union
        rows[f"{protocol}_intersection"] = (union * random.random(count)).astype(int)
    return rows


@pytest.fixture
def results():
    real = {"val": make_rows("val", 30), "testA": make_rows("testA", 40, 1)}
    return {"": real, "shuffled": {"testA": make_rows("testA", 40, 2)}}


def test_metrics_json_has_its_form(results):
    metrics = run_metrics(results)
    rows = results[""]["testA"]
    expected = metrics_from_counts(rows.paper_intersection, rows.paper_union, rows.length)
    assert metrics["testA"]["paper"] == expected
    assert list(metrics) == ["val", "testA", "controls"]
    assert set(metrics["controls"]["shuffled"]) == {"testA"}
    assert set(metrics["controls"]["shuffled"]["testA"]) == {"paper", "strict"}


def test_main_table_holds_both_protocols_and_the_control_beside(results):
    frame = metrics_table(results)
    assert list(frame.Split) == ["val", "val", "testA", "testA"]
    assert list(frame.Protocol) == ["strict", "paper"] * 2
    control = run_metrics(results)["controls"]["shuffled"]["testA"]["paper"]["oiou"]
    assert frame["oIoU, shuffled"][3] == pytest.approx(100 * control)
    assert frame["oIoU, shuffled"][:2].isna().all()


def test_breakdowns_count_every_expression_once(results):
    by_kind = kind_table(results)
    assert by_kind.groupby("Split").Expressions.sum().to_dict() == {"val": 30, "testA": 40}
    by_length = length_table(results)
    short = (results[""]["val"].length <= 20).sum()
    assert by_length.groupby("Split").Expressions.sum()["val"] == short
    metrics = run_metrics(results)["val"]["strict"]["by_length"]
    shown = by_length[by_length.Split == "val"].set_index("Words").oIoU / 100
    assert shown.dropna().to_dict() == pytest.approx({k: v for k, v in metrics.items() if v})


def test_a_data_set_without_kinds_has_an_empty_table():
    rows = make_rows("val", 5, kinds=("",))
    assert kind_table({"": {"val": rows}}).empty
    assert "Kind" in to_markdown(kind_table({"": {"val": rows}}))


def test_written_forms(tmp_path, results):
    frame = metrics_table(results).rename(columns={"Split": "Split_%"})
    write_table(frame, tmp_path, "main")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["main.csv", "main.md", "main.tex"]
    back = pd.read_csv(io.StringIO((tmp_path / "main.csv").read_text()))
    pd.testing.assert_frame_equal(back, frame.round(2))
    lines = (tmp_path / "main.md").read_text().splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines) == len(frame) + 2
    latex = (tmp_path / "main.tex").read_text()
    assert r"Split\_\%" in latex and r"\toprule" in latex and "& -- \\\\" in latex


def test_special_characters_are_escaped():
    frame = pd.DataFrame({"a|b": ["50% & {x}_1 ~^\\"], "n": [1234]})
    assert r"a\|b" in to_markdown(frame) and "1,234" in to_markdown(frame)
    escaped = r"50\% \& \{x\}\_1 \textasciitilde{}\textasciicircum{}\textbackslash{}"
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
    with pytest.raises(UserError, match="python -m dghin.evaluate run="):
        read_results(tmp_path)
