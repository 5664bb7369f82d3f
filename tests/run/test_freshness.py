"""Digests of notebooks: every part counts."""

import json
import logging
from dataclasses import replace

from dghin.run.freshness import (
    code_cells,
    notebook_digest,
    read_state,
    set_aside,
    set_stale_training_aside,
    training_digest,
)


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


def test_a_digest_depends_on_all_its_parts(tmp_path):
    path = notebook(tmp_path / "one.ipynb", "1")
    parts = [
        ({}, (), ""),
        ({"a": 1}, (), ""),
        ({}, ("dghin.training.losses",), ""),
        ({}, (), "before"),
    ]
    assert len({notebook_digest(path, *part) for part in parts}) == 4


def test_a_training_that_still_holds_is_kept_another_set_aside(tmp_path, tiny_config, caplog):
    caplog.set_level(logging.INFO)
    weights = tmp_path / "train" / "best" / "model.safetensors"

    def train(config, force=False):
        set_stale_training_aside(tmp_path, config, force)
        kept = weights.exists()
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.touch()
        return kept

    assert not train(tiny_config)
    assert train(tiny_config)
    scored_otherwise = replace(tiny_config, evaluate=replace(tiny_config.evaluate, expressions=3))
    assert train(scored_otherwise)
    longer = replace(tiny_config, train=replace(tiny_config.train, iterations=5))
    assert not train(longer)
    assert not train(longer, force=True)
    aside = [p.name for p in sorted(tmp_path.glob("train-before-*"))]
    assert aside == ["train-before-1", "train-before-2"]
    assert "kept as train-before-1" in caplog.text
    told = replace(tiny_config, train=replace(tiny_config.train, iterations=9, resume_changed=True))
    assert train(told), "the trainer goes on under other settings"
    (tmp_path / "train" / "made_from.json").unlink()
    assert train(tiny_config), "a training started by hand is kept"


def test_a_training_depends_on_the_weights_that_it_starts_from(tmp_path, tiny_config):
    weights = replace(tiny_config.weights, network=str(tmp_path))
    config = replace(tiny_config, weights=weights)
    digests = [training_digest(config, 1)]
    for content in (b"one", b"two"):
        (tmp_path / "model.safetensors").write_bytes(content)
        digests.append(training_digest(config, 1))
    assert len(set(digests)) == 3
