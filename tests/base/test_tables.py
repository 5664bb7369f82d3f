"""Text tables: what a value looks like, and that every cell stays one."""

import numpy as np
import pandas as pd
import pytest

from data_preprocess.base.tables import cells, markdown_table, numeric, to_markdown


def test_a_markdown_table_is_lined_up():
    text = markdown_table(["Split", "n"], [["val", 1500], ["testA", None]], [False, True])
    assert text == (
        "| Split |     n |\n"
        "| ----- | ----: |\n"
        "| val   | 1,500 |\n"
        "| testA |     – |\n"
    )  # fmt: skip
    frame = pd.DataFrame({"Split": ["val", "testA"], "n": pd.array([1500, None], dtype="Int64")})
    assert to_markdown(frame) == text


def test_cells_of_every_kind():
    frame = pd.DataFrame(
        {
            "float": [1234.567, np.nan],
            "int": [-1, 1_000_000],
            "maybe": pd.array([pd.NA, 7], dtype="Int64"),
            "mixed": pd.Series([0.125, np.int64(1000)], dtype=object),
            "text": ["a", None],
            "kind": pd.Categorical(["b", None]),
            "when": pd.to_datetime(["2026-01-02", None]),
        }
    )
    assert cells(frame) == [
        ["1234.57", "-1", "–", "0.12", "a", "b", "2026-01-02 00:00:00"],
        ["–", "1,000,000", "7", "1,000", "–", "–", "–"],
    ]
    assert numeric(frame) == [True, True, True, False, False, False, False]
    assert cells(frame[:0]) == [] and to_markdown(frame[["int"]][:0]).count("\n") == 2


@pytest.mark.parametrize(
    "text, shown",
    [("a|b", "a\\|b"), ("*a* `b` ~c~", "\\*a\\* \\`b\\` \\~c\\~"), ("a\\", "a\\\\"),
     ("<unk> a < b", "\\<unk> a < b"), ("a line\nand\r\n\nanother", "a line and  another")],
)  # fmt: skip
def test_markdown_cells_stay_cells(text, shown):
    assert markdown_table([text], [], [False]).splitlines()[0] == f"| {shown} |"
