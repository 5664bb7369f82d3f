"""The one evaluation: every expression once, the same digits whatever the batch and the ranks."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from data_preprocess.language.features import adjacency
from dghin.commands.evaluate import main
from dghin.data.dataset import open_split
from dghin.evaluation.controls import CONTROLS
from dghin.evaluation.evaluate import evaluate_run, evaluate_split, evaluate_with_controls
from dghin.evaluation.metrics import PROTOCOLS, SegmentationMetrics, metrics_from_rows
from dghin.evaluation.scoring import image_groups
from dghin.run.config import save_config
from dghin.run.folder import RunFolder
from dghin.run.processes import Place


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "val")


def test_every_expression_is_a_row_in_order(tiny_model, dataset, tiny_config):
    rows = evaluate_split(tiny_model, dataset, tiny_config)
    assert rows["sentence"].tolist() == [e.sentence for e in dataset.expressions]
    assert (rows["area"] > 0).all() and (rows["strict_union"] >= rows["area"]).all()
    assert rows["kind"].isin(["attribute", "place", "relation", "ordinal", "superlative"]).all()


@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (3, 0), (100, 0), (2, 2)])
def test_batch_and_workers_change_no_digit(tiny_model, dataset, tiny_config, batch, workers):
    expected = evaluate_with_controls(tiny_model, dataset, tiny_config, CONTROLS)
    settings = dataclasses.replace(tiny_config.evaluate, batch=batch, workers=workers)
    config = dataclasses.replace(tiny_config, evaluate=settings)
    found = evaluate_with_controls(tiny_model, dataset, config, CONTROLS)
    assert list(found) == ["", *CONTROLS]
    for control, rows in expected.items():
        pd.testing.assert_frame_equal(found[control], rows)


def test_controls_change_no_digit_of_the_plain_rows(tiny_model, dataset, tiny_config):
    alone = evaluate_split(tiny_model, dataset, tiny_config)
    together = evaluate_with_controls(tiny_model, dataset, tiny_config, CONTROLS)
    pd.testing.assert_frame_equal(together[""], alone)
    one = evaluate_with_controls(tiny_model, dataset, tiny_config, ["blind"])
    pd.testing.assert_frame_equal(one["blind"], together["blind"])


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_change_no_digit(tiny_model, tiny_config, world, monkeypatch):
    """Every rank's rows, put together, are the rows of one process: no padding, none twice."""
    dataset = open_split(tiny_config, "train")
    expected = evaluate_split(tiny_model, dataset, tiny_config)
    parts = []
    monkeypatch.setattr(
        "dghin.evaluation.evaluate.gather", lambda own, place: parts.append(own) or parts
    )
    cpu = torch.device("cpu")
    for rank in range(world - 1):
        with pytest.raises(RuntimeError, match="rows for"):  # not all of them yet
            evaluate_split(tiny_model, dataset, tiny_config, place=Place(rank, world, cpu))
    last = Place(world - 1, world, cpu)
    found = evaluate_split(tiny_model, dataset, tiny_config, place=last)
    pd.testing.assert_frame_equal(found, expected)


def test_a_group_is_of_one_image_and_not_too_large(dataset, monkeypatch):
    monkeypatch.setattr("dghin.evaluation.scoring.AT_ONCE", 2)
    groups = image_groups(dataset, len(dataset))
    assert sorted(sum(groups, [])) == list(range(len(dataset)))
    assert max(map(len, groups)) == 2
    assert all(len({dataset.expressions[i].image for i in group}) == 1 for group in groups)


def test_rows_agree_with_the_public_metrics(tiny_model, dataset, tiny_config):
    rows = evaluate_split(tiny_model, dataset, tiny_config)
    for protocol in PROTOCOLS:
        metrics = SegmentationMetrics(protocol)
        for i in range(len(dataset)):
            sample = dataset[i]
            inputs = {k: torch.as_tensor(sample[k])[None].long()
                      for k in ("word_ids", "attention_mask", "pos")}  # fmt: skip
            edges = torch.from_numpy(adjacency(dataset.features.heads[i]))[None]
            with torch.inference_mode():
                out = tiny_model(sample["image"][None], **inputs, adjacency=edges)
            metrics.update(out.mask[0], dataset.truth(i), dataset.expressions[i].length)
        expected, found = metrics.compute(), metrics_from_rows(rows, protocol)
        # one expression a pass instead of all of an image: a tied pixel may fall the other way
        assert found["count"] == expected["count"]
        assert found["oiou"] == pytest.approx(expected["oiou"], rel=1e-3)
        assert found["by_length"] == pytest.approx(expected["by_length"], rel=1e-2)


def test_bfloat16_moves_few_pixels(tiny_model, dataset, tiny_config):
    settings = dataclasses.replace(tiny_config.evaluate, precision="bfloat16")
    half = dataclasses.replace(tiny_config, evaluate=settings)
    full = evaluate_split(tiny_model, dataset, tiny_config)
    rows = evaluate_split(tiny_model, dataset, half)
    assert rows["sentence"].equals(full["sentence"]) and rows["area"].equals(full["area"])
    assert not rows["strict_union"].equals(full["strict_union"])
    moved = (rows["strict_union"] - full["strict_union"]).abs().sum()
    assert moved < 0.05 * (full["height"] * full["width"]).sum()


def test_limit(tiny_model, dataset, tiny_config):
    assert len(evaluate_split(tiny_model, dataset, tiny_config, limit=3)) == 3


def test_a_control_changes_words_only(tiny_model, dataset, tiny_config):
    rows = evaluate_with_controls(tiny_model, dataset, tiny_config, ["shuffled", "blind"])
    for control in ("shuffled", "blind"):
        assert rows[control]["sentence"].tolist() == rows[""]["sentence"].tolist()
        assert rows[control]["area"].tolist() == rows[""]["area"].tolist()
    assert (rows["shuffled"]["read"] != rows["shuffled"]["sentence"]).mean() > 0.8
    assert (rows["blind"]["read"] == "").all()
    with pytest.raises(UserError, match="control 'shuffle'.*Did you mean 'shuffled'"):
        evaluate_with_controls(tiny_model, dataset, tiny_config, ["shuffle"])


def test_without_words_all_expressions_of_an_image_have_one_answer(
    tiny_model, dataset, tiny_config
):
    """Same answer, so the same pixels: intersection + union - area is the mask's size."""
    rows = evaluate_with_controls(tiny_model, dataset, tiny_config, ["blind"])["blind"]
    size = rows.strict_intersection + rows.strict_union - rows.area
    assert (size.groupby(rows.image).nunique() == 1).all()


def test_agreement_is_with_the_plain_answer(tiny_model, dataset, tiny_config, monkeypatch):
    """A control that changes nothing agrees with it in every pixel, and scores the same."""
    from dghin.evaluation import controls

    alter = controls.alter
    monkeypatch.setattr(controls, "alter", lambda data, control, *rest: alter(data, "", *rest))
    rows = evaluate_with_controls(tiny_model, dataset, tiny_config, ["shuffled"])
    same, plain = rows["shuffled"], rows[""]
    assert (same.agreement_intersection == same.agreement_union).mean() > 0.95
    assert np.allclose(same.strict_union, plain.strict_union, rtol=1e-3, atol=3)


def test_rows_say_where_they_come_from(tiny_model, tiny_config, tmp_path, monkeypatch):
    tiny_model.save_pretrained(tmp_path / "train" / "best")
    monkeypatch.setenv("DGHIN_COMMAND", "dghin reproduce run=x")
    evaluate_run(tmp_path, tiny_config, ["testA"])
    origin = pd.read_parquet(RunFolder(tmp_path).rows("testA")).attrs["provenance"]
    weights = tmp_path / "train/best/model.safetensors"
    assert origin["checkpoint"] == sha256_file(weights)
    assert origin["command"] == "dghin reproduce run=x"
    assert origin["data"]["testA"]["language_sha256"]
    assert {"commit", "changed files"} <= set(origin)


def test_a_run_writes_its_rows(tiny_model, tiny_config, tmp_path):
    results = evaluate_run(tmp_path, tiny_config, ["testA"], ["shuffled"], tiny_model)
    assert set(results) == {"", "shuffled"}
    pd.testing.assert_frame_equal(
        pd.read_parquet(RunFolder(tmp_path).rows("testA")), results[""]["testA"]
    )
    assert RunFolder(tmp_path).rows("testA", "shuffled").is_file()


def test_weights_from_elsewhere_by_the_command_line(tiny_model, tiny_config, tmp_path, capsys):
    tiny_model.save_pretrained(tmp_path / "model")
    save_config(tiny_config, tmp_path / "mine.yaml")
    words = [f"reports={tmp_path / 'reports'}", "run=theirs", "split=testA"]
    main([*words, f"config={tmp_path / 'mine.yaml'}", f"model={tmp_path / 'model'}"])
    assert "testA" in capsys.readouterr().out
    folder = tmp_path / "reports/theirs"
    assert {"config.yaml", "metrics.json", "environment.json", "rows", "tables"} <= {
        path.name for path in folder.iterdir()
    }
    with pytest.raises(UserError, match="no such run. Train it first"):
        main([f"reports={tmp_path}", "run=nothing"])
    with pytest.raises(UserError, match="a model of other settings.*width"):
        main([*words, f"model={tmp_path / 'model'}", "model.width=32"])
