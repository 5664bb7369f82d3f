"""Tables of what masks lie on: counts by hand, and nothing of rows that do not know it."""

import numpy as np
import pandas as pd
import pytest
from helpers.rows import make_rows, with_places

from dghin.report.tables.objects.lies_on import (
    ANCHOR,
    BETWEEN,
    FITTING,
    GUESS,
    MEANT,
    NAMED,
    OFF,
    PLACES,
    REST,
    SAME,
    TABLES,
    TESTS,
    UNDECIDED,
    lies_on_table,
    named_table,
    ordinals_table,
)

LINES = [  # kind, lies_on, named, on_named, on_anchor, rank, places_off
    ("ordinal", "meant", 2, True, None, 1, 0),
    ("ordinal", "same class", 4, True, None, 3, -1),
    ("ordinal", "other class", 4, True, None, 2, 2),
    ("ordinal", "same class", 5, True, None, 4, -3),
    ("ordinal", "same class", 2, False, None, 2, None),
    ("ordinal", "nothing", 4, False, None, 1, None),
    ("relation", "meant", 2, True, False, None, None),
    ("relation", "same class", 2, True, True, None, None),
    ("relation", "other class", 2, False, True, None, None),
    ("relation", "same class", 4, True, False, None, None),
    ("relation", "several", 2, False, False, None, None),
    ("", "no object", 1, False, None, None, None),
]


@pytest.fixture
def rows():
    return with_places(LINES)


def line(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_what_masks_lie_on_by_kind(rows):
    table = lies_on_table({"": {"val": rows}})
    assert table["Kind"].tolist() == ["all", "ordinal", "relation"]
    found = line(table, Kind="ordinal")
    assert found["Expressions"] == 6 and found[list(PLACES.values())].tolist() == pytest.approx(
        [100 / 6, 50, 100 / 6, 0, 0, 100 / 6]
    )
    everything = line(table, Kind="all")
    assert everything["Expressions"] == 12 and everything["No object"] == pytest.approx(100 / 12)
    assert np.allclose(table[list(PLACES.values())].sum(axis=1), 100)
    assert (table[f"{MEANT}, low"] <= table[MEANT]).all() and f"{SAME}, high" in table
    assert "Several objects, low" not in table


def test_whether_the_name_fits_what_is_marked(rows):
    table = named_table({"": {"val": rows}})
    found = line(table, Kind="relation")
    shares = found[[MEANT, ANCHOR, FITTING, REST, UNDECIDED]].tolist()
    assert shares == pytest.approx([20, 40, 20, 0, 20])  # an anchor is one, whether it fits or not
    assert found[NAMED] == pytest.approx(2.4) and found[GUESS] == pytest.approx(45)
    found = line(table, Kind="ordinal")
    shares = found[[MEANT, FITTING, REST, UNDECIDED]].tolist()
    assert shares == pytest.approx([100 / 6, 50, 100 / 6, 100 / 6]) and pd.isna(found[ANCHOR])


def test_by_how_many_places_the_count_is_off(rows):
    table = ordinals_table({"": {"val": rows}})
    assert table["Asked"].tolist() == ["all", "first", "second", "third", "fourth", BETWEEN]
    found = line(table, Asked="all")
    assert found[list(OFF)].tolist() == pytest.approx([100 / 6] * 4 + [100 / 3])
    between = line(table, Asked=BETWEEN)  # the third and the second of four, the fourth of five
    assert between["Expressions"] == 3 and between[OFF[0]] == 0
    assert between[GUESS] == pytest.approx(100 * (1 / 4 + 1 / 4 + 1 / 5) / 3)
    assert line(table, Asked="first")[OFF[0]] == 50


def test_ordinals_whose_masks_all_lie_elsewhere(rows):
    """Then rows have no column of places off: all of it is unknown."""
    elsewhere = rows[rows["places_off"].isna()].drop(columns="places_off")
    found = line(ordinals_table({"": {"val": elsewhere}}), Asked="all")
    assert found["Expressions"] == 2 and found[OFF[-1]] == 100


def test_test_splits_stand_together_without_val(rows):
    results = {"": {"val": rows, "testA": rows.head(6), "testB": rows.iloc[5:9]}}
    for name, make in TABLES.items():
        table = make(results)
        together = table[table["Split"] == TESTS]
        count = {"lies_on": 10, "lies_on_named": 10, "ordinals": 7}[name]
        assert together.iloc[0]["Expressions"] == count, name
    assert TESTS not in set(lies_on_table({"": {"val": rows, "test": rows}})["Split"])
    joint = {"": {"refcoco_val": rows, "refcoco_testA": rows, "refcocog_umd_test": rows}}
    table = lies_on_table(joint)
    assert line(table, Split=TESTS, Kind="all")["Expressions"] == 24


def test_of_photos_only_the_first_table_is_known(rows):
    photos = rows[["kind", "image", "lies_on"]]
    sizes = {name: len(make({"": {"val": photos}})) for name, make in TABLES.items()}
    assert sizes == {"lies_on": 3, "lies_on_named": 0, "ordinals": 0}


def test_older_rows_and_unknown_values_fall_out(rows):
    old = {"": {"val": make_rows("val", 20)}}
    assert all(make(old).empty for make in TABLES.values())
    rows.loc[[0, 6, 11], "lies_on"] = None
    table = lies_on_table({"": {"val": rows, "testA": old[""]["val"]}})
    assert set(table["Split"]) == {"val"} and line(table, Kind="all")["Expressions"] == 9
    assert line(table, Kind="ordinal")[MEANT] == 0
