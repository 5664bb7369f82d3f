"""Rows know commit, command, weights and data."""

import pandas as pd
import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from dghin.evaluation.provenance import (
    check_same_run,
    checkpoint,
    provenance,
    read_rows,
    rows_digest,
)
from dghin.run.config import load_config, save_config
from dghin.run.folder import RunFolder


def test_what_rows_come_from(tiny_config, tmp_path):
    weights = RunFolder(tmp_path).best / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    origin = provenance(tiny_config, checkpoint(tmp_path), {"threads": 1})
    assert origin["checkpoint"] == sha256_file(weights) == checkpoint(tmp_path)
    assert {"commit", "changed files", "command", "data", "threads"} <= origin.keys()
    assert origin["data"]["dataset"] == "shapes"
    weights.unlink()
    assert checkpoint(tmp_path) is None


def test_rows_and_their_provenance(tmp_path):
    rows = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    rows.attrs["provenance"] = {"commit": "c"}
    rows.to_parquet(tmp_path / "val.parquet")
    pd.testing.assert_frame_equal(read_rows(tmp_path / "val.parquet"), rows)
    assert read_rows(tmp_path / "val.parquet", []).attrs["provenance"] == {"commit": "c"}


def test_a_run_is_of_one_data_set(tmp_path):
    """Rows of another one, or of a training on another one, are not mixed in."""
    run = RunFolder(tmp_path)
    run.all_rows.mkdir()
    rows = pd.DataFrame({"a": [1]})
    rows.attrs["provenance"] = {"data": {"dataset": "refcoco"}}
    rows.to_parquet(run.rows("val"))
    check_same_run(tmp_path, {}, "refcoco")
    check_same_run(tmp_path, {}, "shapes")  # how drawn scenes were once called
    with pytest.raises(UserError, match=r"val.parquet: of the data set refcoco, and not refcoco.:"):
        check_same_run(tmp_path, {}, "refcoco+")
    run.rows("val").unlink()
    check_same_run(tmp_path, {}, "refcoco+")
    save_config(load_config("refcoco"), run.config)
    check_same_run(tmp_path, {}, "refcoco+")  # no training: settings of what was scored
    run.best.mkdir(parents=True)
    with pytest.raises(UserError, match=rf"config.yaml: of the .*run=NAME, with model={run.best}"):
        check_same_run(tmp_path, {}, "refcoco+")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (b"<html>", "a web page"),
        (b"PAR1 cut", "not readable as rows"),
    ],
)
def test_damaged_rows_are_named(tmp_path, content, message):
    (tmp_path / "val.parquet").write_bytes(content)
    with pytest.raises(UserError, match=f"val.parquet: not readable.*{message}|{message}"):
        read_rows(tmp_path / "val.parquet")


def test_rows_that_were_cut_off(tmp_path):
    pd.DataFrame({"a": range(1000)}).to_parquet(tmp_path / "val.parquet")
    content = (tmp_path / "val.parquet").read_bytes()
    (tmp_path / "val.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="val.parquet: not readable as rows.*score the split anew"):
        read_rows(tmp_path / "val.parquet")


def test_a_digest_is_of_what_rows_say(tmp_path):
    """Not of when, where and by which command they were written, nor of how the file is packed."""
    path = tmp_path / "val.parquet"
    rows = pd.DataFrame({"a": [1, 2], "score": [0.1, 1 / 3], "sentence": ["x", 'it\'s, "y"']})

    def digest(rows, compression="snappy", **origin):
        rows.attrs["provenance"] = {"commit": "c", "checkpoint": "w", "data": {"val": "d"}} | origin
        rows.to_parquet(path, compression=compression)
        return rows_digest(path)

    first = digest(rows)
    same = {"commit": "d", "changed files": 3, "command": "papermill", "threads": 2}
    assert digest(rows, "gzip", **same) == first
    others = [
        digest(rows, checkpoint="v"),
        digest(rows, data={"val": "e"}),
        digest(rows, **{"answered by": "LAVT"}),
        digest(rows.assign(score=[0.1, 0.3333333333333334])),
        digest(rows.rename(columns={"a": "b"})),
        digest(rows[::-1]),
    ]
    assert len({first, *others}) == 7
    path.write_bytes(b"no rows")
    assert rows_digest(path) == sha256_file(path)
