"""On how many patches the visual graph rests, from the logs of trainings."""

import pytest
from helpers.ablation_folders import add_kinds_and_spread, write_ablation

from dghin.ablation.spread import (
    ALL,
    ROW,
    collapse,
    spread_figure,
    spread_log,
    spread_table,
)
from dghin.ablation.trainings import read_members

SCORES = {"full": (0.6, 0.6), "text graph off": (0.5, 0.5), "visual graph scaled": (0.6, 0.7)}


@pytest.fixture
def spread(tmp_path):
    found = read_members(write_ablation(tmp_path, SCORES))
    for member in found:
        add_kinds_and_spread(member)
    return spread_log(found)


def test_a_row_for_every_validation_and_level(spread):
    assert len(spread) == 2 * 2 * 2 * 3  # scales, seeds, validations, levels
    assert set(spread["Scale"]) == {"paper", "scaled"}, "the text graph is another question"
    assert list(spread["Patches"].unique()) == [144, 36, 9]  # at 96 pixels


def test_the_table_holds_the_first_and_the_last_validation(spread):
    table = spread_table(spread)
    assert list(table["Scale"]) == ["paper"] * 3 + ["scaled"] * 3
    assert list(table[f"{ROW}, first"]) == [9] * 6
    assert list(table[f"{ROW}, last"]) == [1.5] * 6  # 1 and 2
    assert list(table[f"{ALL}, last"]) == [9] * 6
    assert collapse(table).endswith(
        "paper: 1.5 and 9.0 of 144, 1.5 and 9.0 of 36, 1.5 and 9.0 of 9; "
        "scaled: 1.5 and 9.0 of 144, 1.5 and 9.0 of 36, 1.5 and 9.0 of 9."
    )


def test_the_figure_has_a_panel_a_level(spread):
    figure = spread_figure(spread)
    assert [axes.get_title() for axes in figure.axes] == [
        "level 1, 144 patches", "level 2, 36 patches", "level 3, 9 patches"
    ]  # fmt: skip
    assert len(figure.axes[0].get_lines()) == 2 * 2 + 1


def test_logs_from_before_have_nothing(tmp_path):
    found = read_members(write_ablation(tmp_path, SCORES))
    empty = spread_log(found)
    assert empty.empty and spread_table(empty).empty
    assert spread_figure(empty) is None and collapse(spread_table(empty)) == ""
