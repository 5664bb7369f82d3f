"""Rows know commit, command, weights and data."""

from data_preprocess.base.files import sha256_file
from dghin.evaluation.provenance import checkpoint, provenance
from dghin.run.folder import RunFolder


def test_what_rows_come_from(tiny_config, tmp_path):
    weights = RunFolder(tmp_path).best / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    origin = provenance(tiny_config, checkpoint(tmp_path), {"threads": 1})
    assert origin["checkpoint"] == sha256_file(weights) == checkpoint(tmp_path)
    assert {"commit", "changed files", "command", "data", "threads"} <= origin.keys()
    assert origin["data"]["dataset"] == "refcoco"
    weights.unlink()
    assert checkpoint(tmp_path) is None
