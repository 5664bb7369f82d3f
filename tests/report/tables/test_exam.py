"""The exam's table and card: numbers of the rows, verdicts by rules."""

import math

import pandas as pd
import pytest
from helpers.rows import make_rows

from dghin.evaluation.controls import EXAM, OF_TEXTS
from dghin.evaluation.metrics import metrics_from_rows
from dghin.evaluation.reference import HEARING
from dghin.evaluation.uncertainty import paired_difference
from dghin.report.tables.exam import (
    ALL,
    FALLS,
    GAINS,
    MATTERS,
    QUESTIONS,
    RULES,
    beside,
    card_table,
    exam_table,
    has_exam,
    references_beside,
    references_table,
    shared_splits,
    verdict,
    verdicts_beside,
)
from dghin.report.tables.results import score_tables
from dghin.report.tables.scores import controls_table


def under_control(rows, share, seed=3):
    """The same expressions with a share of their pixels, and half of the answers changed."""
    altered = rows.assign(read="", agreement_intersection=rows.index % 2, agreement_union=1)
    for name in [name for name in rows if name.endswith("_intersection")]:
        altered[name] = (altered[name] * share).astype(int)
    return altered


@pytest.fixture
def results():
    real = {split: make_rows(split, 80, seed) for seed, split in enumerate(("val", "testA"))}
    found = {"": real}
    for control, share in (("shuffled", 0.1), ("word-order", 1.0), ("merged", 1.0)):
        found[control] = {split: under_control(rows, share) for split, rows in real.items()}
    return found


def test_a_line_is_that_of_its_rows(results):
    frame = exam_table(results).set_index(["Split", "Control", "Kind"])
    real, altered = results[""]["testA"], results["shuffled"]["testA"]
    for kind in (ALL, "attribute", "place"):
        a, b = (rows if kind == ALL else rows[rows.kind == kind] for rows in (real, altered))
        line = frame.loc[("testA", "shuffled", kind)]
        assert line.Expressions == len(a) and line.Images == a.image.nunique()
        scores = [100 * metrics_from_rows(rows, "strict")["oiou"] for rows in (a, b)]
        assert [line["oIoU, real"], line["oIoU, control"]] == pytest.approx(scores)
        fall = paired_difference(a, b, "strict", permutations=1)
        shown = line[["Fall", "Fall, low", "Fall, high"]].tolist()
        assert shown == pytest.approx([100 * fall.value, 100 * fall.low, 100 * fall.high])
        assert line.Changed == pytest.approx(100 * (a.index % 2 == 0).mean())


def test_every_kind_has_a_line_and_merged_queries_have_none(results):
    frame = exam_table(results)
    kinds = frame[frame.Split == "val"].groupby("Control").Kind.apply(list)
    assert kinds["word-order"] == [ALL, "attribute", "place"] and kinds["merged"] == [ALL]
    assert list(dict.fromkeys(frame.Control)) == ["shuffled", "word-order", "merged"]


def test_tables_of_the_exam_are_made_where_it_was_scored(results):
    tables = score_tables(results)
    assert {"exam", "exam_card", "controls"} <= set(tables)
    assert set(tables["controls"].Control) == {"shuffled"}  # the exam's own stand in its table
    plain = {control: rows for control, rows in results.items() if control not in OF_TEXTS}
    assert not has_exam(plain) and exam_table(plain).empty and card_table(exam_table(plain)).empty
    assert "exam" not in score_tables(plain)
    assert controls_table(plain).equals(tables["controls"])


def test_the_card_has_a_line_a_question_with_the_tables_numbers(results):
    frame = exam_table(results)
    card = card_table(frame)
    lines = card[card.Split == "val"].set_index("Control")
    assert lines.Verdict.to_dict() == {"shuffled": "yes", "word-order": "no", "merged": "no"}
    full = frame[(frame.Split == "val") & (frame.Kind == ALL)].set_index("Control")
    for name in ("Expressions", "oIoU, real", "oIoU, control", "Fall, low", "Changed, high"):
        assert lines[name].to_dict() == full[name].to_dict(), name


def line(real, control_high, low, high, images=50):
    return {"oIoU, real": real, "oIoU, control, high": control_high, "Fall, low": low,
            "Fall, high": high, "Images": images}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "numbers", "expected"),
    [
        (FALLS, line(80, 39, 40, 60), "yes"),
        (FALLS, line(80, 41, 40, 60), "partly"),
        (FALLS, line(80, 81, 0, 3), "no"),
        (FALLS, line(0, 0, 0, 0), "no"),
        (MATTERS, line(80, 79, 0.1, 3), "yes"),
        (MATTERS, line(80, 80, -1, 3), "no"),
        (MATTERS, line(80, 90, -9, -1), "reversed"),
        (GAINS, line(80, 90, -9, -1), "yes"),
        (GAINS, line(80, 80, 0, 0), "no"),
        (GAINS, line(80, 70, 1, 9), "worse"),
        (FALLS, line(80, 0, 70, 80, images=9), "too few"),
        (MATTERS, line(80, math.nan, math.nan, math.nan, images=10), "too few"),
    ],
)
def test_verdicts(rule, numbers, expected):
    assert verdict(rule, numbers) == expected
    assert rule in RULES


def test_every_control_answers_one_question():
    assert sorted(question.control for question in QUESTIONS) == sorted(EXAM)


def test_models_stand_side_by_side(results):
    frame = exam_table(results)
    other = frame[frame.Control != "merged"]
    cells = beside({"a": frame, "b": other}, "testA").set_index("Control")
    card = card_table(frame).set_index(["Split", "Control"]).loc[("testA", "shuffled")]
    assert cells["a"]["shuffled"].startswith(f"yes: {card['oIoU, real']:.1f} → ")
    assert f"[{card['Fall, low']:.1f}, {card['Fall, high']:.1f}]" in cells["a"]["shuffled"]
    assert pd.isna(cells["b"]["merged"]) and len(cells) == len(QUESTIONS)
    said = verdicts_beside({"a": frame, "b": other}, "testA").set_index("Question")
    assert said.loc["Does it read at all?"].tolist() == ["yes", "yes"]
    assert shared_splits([frame, frame[frame.Split == "val"]]) == ["val"]


def test_the_known_results_of_the_references():
    """They are those of the embedded testA (computed anew by the slow test below)."""
    table = references_table().set_index(["Model", "Control"])
    assert list(dict.fromkeys(table.index.get_level_values(0))) == list(HEARING)
    for control in EXAM:
        if control != "other-image":
            deaf = table.loc[("deaf", control)]
            assert deaf["oIoU, real"] == deaf["oIoU, control"] and deaf.Changed == 0
        perfect = table.loc[("perfect", control)]
        assert perfect["oIoU, real"] == 100
        assert perfect["oIoU, control"] == 100 if control == "merged" else (
            perfect["oIoU, control"] < 1
        )  # fmt: skip
    for control in ("left-right", "above-below", "without-place"):
        line = table.loc[("deaf-to-place", control)]
        assert line["oIoU, real"] == line["oIoU, control"] and line.Changed == 0
    wide = references_beside()
    assert list(wide.Control) == list(EXAM) and list(HEARING) == list(wide.columns[2:])


@pytest.mark.slow
def test_the_references_score_what_is_known(tmp_path):
    from data_preprocess.prepared.one_dataset import PrepareSettings
    from data_preprocess.prepared.prepare import prepare
    from data_preprocess.shapes.dataset import ShapesSettings, write_shapes
    from dghin.evaluation.evaluate import evaluate_with_controls
    from dghin.evaluation.reference import reference_answerer
    from dghin.run.config import load_config

    write_shapes(tmp_path, ShapesSettings())
    config = load_config("demo", [f"data.root={tmp_path}", "evaluate.workers=0"])
    data = config.data
    prepare(
        PrepareSettings(
            dataset="refcoco", data=str(tmp_path), tokenizer=data.tokenizer, parser=data.parser
        )
    )
    known = references_table()
    for name in HEARING:
        model = reference_answerer(name)
        scored = evaluate_with_controls(model, model.open(config, "testA"), config, EXAM)
        frame = exam_table({control: {"testA": rows} for control, rows in scored.items()})
        columns = ["Control", "Expressions", "oIoU, real", "oIoU, control", "Changed"]
        found = frame.loc[frame.Kind == ALL, columns].round(2).reset_index(drop=True)
        expected = known.loc[known.Model == name, columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)
