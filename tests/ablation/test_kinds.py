"""What parts bring by kind of expression: pooled over the judged splits, compared by seeds."""

import numpy as np
import pytest
from helpers.ablation_folders import SCORES, add_kinds_and_spread, write_ablation

from dghin.ablation.kinds import kind_scores, kinds_table, shown_kinds, where_graphs_help
from dghin.ablation.table import against_full
from dghin.ablation.trainings import read_members


@pytest.fixture
def found(tmp_path):
    members = read_members(write_ablation(tmp_path))
    for member in members:
        add_kinds_and_spread(member)
    return members


def test_a_kind_is_pooled_over_the_test_splits(found):
    every = kind_scores(found)
    assert len(every) == 9 * 2 and set(every["Expressions"]) == {20}  # 10 of each split
    full = every[every["Variant"] == "full"].set_index(["Kind", "Seed"])["oIoU"]
    assert full["relation", 2] == pytest.approx(100 * 102 / 1000)
    assert full["attribute", 0] == pytest.approx(69.0)  # 600 and 90 pixels of 1,000


def test_the_table_compares_by_seeds(found):
    frame = kinds_table(found).set_index(["Variant", "Kind"])
    line = frame.loc["text graph off", "attribute"]
    full, own = (100 * np.array(SCORES[name]) + 9 for name in ("full", "text graph off"))
    assert line["oIoU"] == pytest.approx(own.mean()) and line["Seeds"] == 3
    assert list(line[["To full", "To full, low", "To full, high", "p"]]) == pytest.approx(
        against_full(own, full)
    )
    assert frame.loc["full"][["To full", "p"]].isna().all().all()
    assert frame.loc[("text graph off", "relation"), "To full"] == pytest.approx(0)


def test_shown_with_deviation_difference_and_star(found):
    shown = shown_kinds(kinds_table(found)).set_index("Variant")
    assert list(shown.columns) == ["attribute (20)", "relation (20)"]
    assert shown.loc["full", "attribute (20)"] == "70.0 ± 1.0"
    assert shown.loc["text graph off", "attribute (20)"] == "60.0 ± 1.0 (−10.0*)"
    assert shown.loc["visual graph off", "attribute (20)"] == "70.0 ± 1.0 (+0.0)"


def test_sentences_name_the_kinds_that_chance_does_not_explain(found):
    first, second = where_graphs_help(kinds_table(found))
    assert first.startswith(
        "Without the text graph, the score differs by more than chance on attribute −10.00 (p "
    )
    assert "not on relation" in first
    assert "mean of relation, ordinal, superlative: +0.00; of the other kinds: −10.00" in first
    assert second.startswith("Without the visual graph, the score differs on no kind")


def test_rows_that_name_no_kind_give_no_table(tmp_path):
    members = read_members(write_ablation(tmp_path))
    assert kinds_table(members).empty and where_graphs_help(kinds_table(members)) == []
