"""Digests of notebooks: every part counts."""

import json

from dghin.run.freshness import code_cells, notebook_digest, read_state, set_aside


def notebook(path, *cells):
    kinds = [{"cell_type": "code", "source": [cell]} for cell in cells]
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["#"]}, *kinds]}))
    return path


def test_the_text_of_a_notebook_does_not_count_its_code_does(tmp_path):
    one, other = notebook(tmp_path / "a", "1"), notebook(tmp_path / "b", "2")
    assert code_cells(one) == ["1"]
    first = notebook_digest(one, {}, (), "")
    assert first == notebook_digest(notebook(tmp_path / "c", "1"), {}, (), "")
    assert first != notebook_digest(other, {}, (), "")
    assert first != notebook_digest(one, {"run": "x"}, (), "")
    assert first != notebook_digest(one, {}, (), "before")
    assert first != notebook_digest(one, {}, (), "", {"train.seed": 1})


def test_a_missing_or_damaged_record_is_none(tmp_path):
    assert read_state(tmp_path / "state.json") == {}
    (tmp_path / "state.json").write_text("{")
    assert read_state(tmp_path / "state.json") == {}


def test_what_is_set_aside_is_never_written_over(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "train").mkdir()
        assert set_aside(tmp_path / "train").name == f"train-before-{number}"
