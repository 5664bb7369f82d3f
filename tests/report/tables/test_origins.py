"""Where numbers come from: what files say of it, and what to know before one trusts them."""

from dataclasses import replace

import pytest

from dghin.report.tables.origins import (
    Origin,
    environment_table,
    origin_facts,
    origin_warnings,
    read_origin,
)
from dghin.run.environment import read_environment

SCORED = {"commit": "c" * 40, "changed files": 0, "checkpoint": "w" * 64, "data": {"masks": "m"}}
CODE = {"commit": "c" * 40, "changed files": 0}
ONE = Origin("one", {"val": SCORED, "testA": SCORED}, {"train": {"code": CODE}}, "w" * 64)


def altered(origin=ONE, code=CODE, weights="w" * 64, **values):
    """The origin with other values in the rows of one split; no values: a split without any."""
    rows = {**origin.rows, "testA": values and SCORED | values}
    return replace(origin, rows=rows, environment={"train": {"code": code}}, weights=weights)


def test_environments_side_by_side():
    stages = {"train": {"a": {"b": 1, "c": []}}, "evaluate": {"a": {"b": 1, "c": ["x", "y"]}}}
    table = environment_table([replace(ONE, environment=stages)]).set_index("What")
    assert list(table.loc["a: b"]) == ["1", "same"]
    assert list(table.loc["a: c"]) == ["none", "x, y"]
    assert environment_table([]).empty


def test_environments_of_several_runs_stand_in_one_cell():
    versions = [{"train": {"torch": version, "time": version}} for version in ("2.8", "2.9", "2.8")]
    origins = [replace(ONE, environment=stages) for stages in versions]
    table = environment_table(origins, without=["time"])
    assert table.to_numpy().tolist() == [["torch", "2.8 | 2.9"]]


def test_facts_of_rows_that_differ_name_their_files():
    facts = origin_facts(altered(commit="d" * 40))
    assert facts["commit"] == f"{'c' * 40} (val) | {'d' * 40} (testA)"
    assert facts["checkpoint"] == facts["weights in this folder"] == "w" * 64
    assert origin_facts(replace(ONE, weights=None))["weights in this folder"] == "none"
    assert origin_facts(Origin("bare", {"val": {}}, {}, "w" * 64)) == {}


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (ONE, []),
        (altered(), ["Some rows do not say what they were made with: score them anew."]),
        (
            altered(**{"changed files": 2}),
            ["The code that scored had changed files (2): the commit alone does not say what ran."],
        ),
        (
            altered(code=CODE | {"changed files": 1}, note=""),
            ["The code that trained had changed files (1): the commit alone does not say what "
             "ran."],
        ),
        (
            altered(code=CODE | {"commit": None}, note=""),
            ["The code that trained was no git checkout: its commit is not known."],
        ),
        (
            altered(commit=None),
            ["The code that scored was no git checkout: its commit is not known.",
             "The rows come from different commits: score all splits anew."],
        ),
        (
            altered(data={"masks": "n"}),
            ["The rows come from different data: score all splits anew."],
        ),
        (
            altered(checkpoint="v" * 64),
            ["The rows come from different weights: score all splits anew.",
             "The weights in this run's folder are not those that were scored."],
        ),
    ],
)  # fmt: skip
def test_what_to_know_of_one_run(origin, expected):
    assert origin_warnings([origin]) == expected


def test_what_to_know_of_several_runs():
    two = replace(ONE, name="two")
    assert origin_warnings([ONE, two]) == []
    dirty = {"changed files": 1}
    shared = [altered(ONE, **dirty), altered(two, **dirty)]
    sentence = "the code that scored had changed files (1): the commit alone does not say what ran."
    assert origin_warnings(shared, "trainings") == [f"All trainings: {sentence}"]
    three = replace(ONE, name="three")
    assert origin_warnings([*shared, three]) == [f"one, two: {sentence}"]
    other = SCORED | {"commit": "d" * 40, "data": {}}
    moved = Origin("moved", {"val": other}, {"train": {"code": other}}, None)
    assert origin_warnings([ONE, moved], "runs") == [
        "The runs were trained by different commits of the code.",
        "The runs were scored by different commits of the code.",
        "The runs were scored on data of different digests.",
    ]


def test_a_folder_with_nothing_in_it(tmp_path):
    origin = read_origin(tmp_path, "bare")
    assert origin == Origin("bare", {}, read_environment(tmp_path), None)
    assert origin_warnings([origin]) == []
