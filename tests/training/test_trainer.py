"""The trainer: it learns, shares out and adds up work, passes over what is not finite."""

import dataclasses
import functools
import json
import logging
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.killing import ended, start
from helpers.spoiling import spoiled, train_together
from safetensors.torch import load_file

import dghin.training.step
import dghin.training.trainer
from data_preprocess.base.errors import UserError
from dghin.data.batches import TrainingBatches
from dghin.data.dataset import open_split
from dghin.evaluation.evaluate import evaluate_run
from dghin.model.dghin import DGHIN
from dghin.report.figures.curves import learning_curves, read_log, save_figure
from dghin.report.run_report import training_facts
from dghin.run.config import save_config
from dghin.run.processes import Place
from dghin.run.stopping import only_one
from dghin.training.losses import segmentation_loss
from dghin.training.trainer import Trainer, train

ALONE = Place(0, 1, torch.device("cpu"))


def lines(folder, kind=""):
    found = [json.loads(x) for x in (folder / "train/log.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"].startswith(kind)]


def with_train(config, **values):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **values))


def checkpoint(folder, iteration):
    return torch.load(folder / f"train/checkpoint-{iteration:07d}.pt", weights_only=True)


def assert_same(one, other):
    """Two nested states of tensors and numbers."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.slow
def test_the_loss_of_one_batch_falls(tiny_config, tmp_path):
    config = with_train(tiny_config, iterations=40)
    trainer = Trainer(config, tmp_path, ALONE)
    trainer.stepper.training_mode()
    batches = next(trainer.steps())
    losses = [float(trainer.stepper.step(batches, 1e-2).losses["total"]) for _ in range(40)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_run_leaves_weights_checkpoints_and_a_log(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    kinds = [line["kind"] for line in lines(tmp_path)]
    assert kinds == ["start", "train", "train", "val", "train", "train", "val"]
    assert [p.stem for p in sorted((tmp_path / "train").glob("*.pt"))] == [
        "checkpoint-0000002",
        "checkpoint-0000004",
    ]
    best = max(lines(tmp_path, "val"), key=lambda x: x["oiou"])
    assert checkpoint(tmp_path, 4)["best"]["score"] == best["oiou"]
    assert DGHIN.from_pretrained(tmp_path / "train/best").config == tiny_config.model


def test_the_recipe_is_shown_before_the_first_step(tiny_config, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(tiny_config, tmp_path)
    assert 0 < caplog.text.index("expressions a step") < caplog.text.index("iteration 1/4")


def test_settings_without_effect_do_not_hinder_resuming(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    trainer = Trainer(with_train(tiny_config, workers=1, log_every=7), tmp_path, ALONE)
    assert trainer.progress.iteration == 4


def test_a_refused_command_leaves_the_records_alone(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    before = (tmp_path / "config.yaml").read_text()
    with pytest.raises(UserError, match=r"another configuration.*train.learning_rate"):
        train(with_train(tiny_config, learning_rate=1.0), tmp_path)
    assert (tmp_path / "config.yaml").read_text() == before


def test_a_second_trainer_in_the_same_folder_is_refused(tiny_config, tmp_path, monkeypatch):
    """It would write over the checkpoints of the first."""
    monkeypatch.setattr(
        "dghin.training.trainer.only_one", functools.partial(only_one, patience=0.1)
    )
    log = tmp_path / "train/log.jsonl"
    with ended(start(with_train(tiny_config, iterations=10_000), tmp_path)):
        while not log.exists():
            time.sleep(0.1)
        with pytest.raises(UserError, match=r"another training writes here \(.*process"):
            train(tiny_config, tmp_path)


def test_gradients_of_pieces_add_up_to_their_mean(tiny_config, tmp_path, monkeypatch):
    model = dataclasses.replace(tiny_config.model, text_dropout=0.0)
    config = dataclasses.replace(tiny_config, model=model)
    config = with_train(config, batch=12, batch_per_process=3, clip_gradient=0.0)
    trainer = Trainer(config, tmp_path, ALONE)
    trainer.model.double()
    trainer.stepper.training_mode()
    pieces = next(trainer.steps())
    assert [len(piece["index"]) for piece in pieces] == [3, 3, 3, 3]
    parameters = trainer.stepper.trained
    expected = [torch.zeros_like(p) for p in parameters]
    for piece in pieces:
        out = trainer.model(**dghin.training.step.model_inputs(piece))
        found = torch.autograd.grad(segmentation_loss(out, piece["mask"])["total"], parameters)
        expected = [total + part / 4 for total, part in zip(expected, found, strict=True)]
    monkeypatch.setattr(trainer.stepper.optimizer, "step", lambda: None)
    monkeypatch.setattr(trainer.stepper.optimizer, "zero_grad", lambda **_: None)
    step = trainer.stepper.step(pieces, 1e-3)
    for parameter, value in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, value)
    norm = torch.stack([value.norm() for value in expected]).norm()
    assert step.gradient_norm == pytest.approx(float(norm))


def test_gradients_are_clipped_to_the_norm(tiny_config, tmp_path, monkeypatch):
    trainer = Trainer(with_train(tiny_config, clip_gradient=0.01), tmp_path, ALONE)
    norms = []

    def note():
        gradients = [p.grad for p in trainer.stepper.trained]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))

    monkeypatch.setattr(trainer.stepper.optimizer, "step", note)
    step = trainer.stepper.step(next(trainer.steps()), 1e-3)
    assert step.gradient_norm > 0.1 and norms == [pytest.approx(0.01, rel=1e-3)]


def test_a_step_is_the_same_on_any_number_of_processes(tiny_config, tmp_path):
    """Without dropout, which differs by process."""
    model = dataclasses.replace(tiny_config.model, text_dropout=0.0)
    config = dataclasses.replace(tiny_config, model=model)
    config = with_train(config, batch=12, batch_per_process=3, iterations=1, validate_every=1)
    first = []
    for world in (1, 2):
        assert train_together(config, tmp_path / f"{world}", world) == [0] * world
        first.append(lines(tmp_path / f"{world}", "train")[0])
    for name in ("loss", "seg", "gradient_norm"):
        assert first[0][name] == pytest.approx(first[1][name], rel=1e-4)


def test_a_loss_that_is_not_finite_is_passed_over_by_all(tiny_config, tmp_path):
    """Two processes: weights, optimizer and batch norms are as before that step."""
    config = with_train(tiny_config, batch=12, batch_per_process=3, validate_every=4, save_every=1)
    config = with_train(config, keep_checkpoints=9, text_learning_rate_scale=0.0)
    assert train_together(config, tmp_path / "run", 2, rank=1, call=3) == [0, 0]
    before, after, later = (checkpoint(tmp_path / "run", i) for i in (1, 2, 3))
    assert_same(before["model"], after["model"])
    assert_same(before["optimizer"]["state"], after["optimizer"]["state"])
    statistics = [name for name in before["model"] if name.endswith("num_batches_tracked")]
    assert statistics and before["skipped"] == 0 and after["skipped"] == later["skipped"] == 1
    assert any(not torch.equal(v, later["model"][k]) for k, v in after["model"].items())
    (skipped,) = lines(tmp_path / "run", "skipped")
    assert skipped["iteration"] == 2 and skipped["count"] == 1
    assert len(skipped["samples"]) == 3  # the piece of the other process
    train_set = open_split(config, "train")
    images = [expression.image for expression in train_set.expressions]
    pieces = list(TrainingBatches(images, 3, 1, 2, config.train.seed, 3, 0, 2, 2))
    assert skipped["samples"] == [train_set.name(index) for index in pieces[3]]
    assert [line["iteration"] for line in lines(tmp_path / "run", "train")] == [1, 2, 3, 4]
    assert "loss" not in lines(tmp_path / "run", "train")[1]


def test_a_gradient_that_is_not_finite_is_passed_over_too(tiny_config, tmp_path):
    trainer = Trainer(tiny_config, tmp_path, ALONE)
    trainer.stepper.trained[-1].register_hook(lambda gradient: gradient / 0)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    (batch,) = batches = next(trainer.steps())
    step = trainer.stepper.step(batches, 1e-3)
    assert step.skipped == batch["index"].tolist() and step.losses["total"].isfinite()
    assert_same(before, dict(trainer.model.state_dict()))


def test_too_many_such_losses_end_the_run_with_the_samples(tiny_config, tmp_path, monkeypatch):
    bad = spoiled(segmentation_loss, {0, 2})
    monkeypatch.setattr("dghin.training.step.segmentation_loss", bad)
    config = with_train(tiny_config, skip_limit=2, clip_gradient=1.0)
    with pytest.raises(UserError, match=r"2 steps with a loss.*iteration 3 on: shapes train") as e:
        train(config, tmp_path)
    first, second = lines(tmp_path, "skipped")
    assert len(second["samples"]) == 6 and all(name in str(e.value) for name in second["samples"])
    assert first["count"] == 1 and second["count"] == 2


@pytest.mark.slow
def test_float16_scales_less_after_an_overflow_and_goes_on_after_a_stop(tiny_config, tmp_path):
    config = with_train(tiny_config, precision="float16", save_every=1, keep_checkpoints=9)
    trainer = Trainer(config, tmp_path, ALONE)
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.stepper.scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
    step = trainer.stepper.step(next(trainer.steps()), 1e-3)
    assert not step.skipped and trainer.stepper.scaler.get_scale() == pytest.approx(5e37)
    assert_same(before, dict(trainer.model.named_parameters()))
    trainer.save()
    again = Trainer(config, tmp_path, ALONE)
    assert again.stepper.scaler.state_dict() == trainer.stepper.scaler.state_dict()
    again.run()
    scores = lines(tmp_path, "train")
    assert len(scores) == 4 and all(x["loss"] > 0 for x in scores)


def test_float16_without_any_finite_gradient_is_noticed(tiny_config, tmp_path):
    config = with_train(tiny_config, precision="float16")
    trainer = Trainer(config, tmp_path, ALONE)
    trainer.stepper.trained[-1].register_hook(lambda gradient: gradient / 0)
    trainer.stepper.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    batches = next(trainer.steps())
    skipped = [bool(trainer.stepper.step(batches, 1e-3).skipped) for _ in range(4)]
    assert skipped == [False, False, True, True]


def test_referit_has_no_val_and_keeps_the_last_weights(tiny_config, shapes, tmp_path):
    """The embedded set's ReferIt form, with the paper's splits: all of trainval is trained on."""
    from data_preprocess.prepared.one_dataset import PrepareSettings
    from data_preprocess.prepared.prepare import prepare

    data = dataclasses.replace(
        tiny_config.data,
        prepared=str(tmp_path / "prepared"),
        dataset="referit",
        train_split="trainval",
        val_split="",
        test_splits=("test",),
    )
    settings = {"tokenizer": data.tokenizer, "parser": data.parser, "output": data.prepared}
    prepare(PrepareSettings(dataset="referit", data=str(shapes), **settings))
    config = dataclasses.replace(tiny_config, data=data)
    train(config, tmp_path / "run")
    assert not lines(tmp_path / "run", "val")
    kept = load_file(tmp_path / "run/train/best/model.safetensors")
    newest = checkpoint(tmp_path / "run", 4)["model"]
    assert all(torch.equal(value, kept[name]) for name, value in newest.items())
    results = evaluate_run(tmp_path / "run", config)
    assert set(results[""]) == {"test"} and results[""]["test"]["kind"].ne("").all()


def test_command_line_names_the_nearest_key(tiny_config, tmp_path):
    save_config(tiny_config, tmp_path / "config.yaml")
    words = [f"config={tmp_path / 'config.yaml'}", "train.iteratons=3"]
    done = subprocess.run(
        [sys.executable, "-m", "dghin", "train", *words], capture_output=True, text=True
    )
    assert done.returncode == 2 and "Did you mean 'train.iterations'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_all_empty_network_is_not_kept_for_its_no_target_answers(
    tiny_config, tmp_path, monkeypatch, caplog
):
    """Of gRefCOCO: of the two validations the first one answers nothing at all."""
    area = np.array([0, 0, 0, 1000])
    frames = [
        pd.DataFrame({"strict_intersection": marked, "strict_union": area, "area": area,
                      "length": 3, "targets": [0, 0, 0, 1]})
        for marked in ([0, 0, 0, 0], [0, 0, 0, 100])
    ]  # fmt: skip
    monkeypatch.setattr(dghin.training.trainer, "evaluate_split", lambda *_: frames.pop(0))
    caplog.set_level("INFO")
    config = with_train(tiny_config, iterations=2, validate_every=1)
    train(config, tmp_path)
    first, second = lines(tmp_path, "val")
    assert first["score"] == 0 < second["score"] and first["giou"] == 0.75
    assert "mean IoU" not in caplog.text and "gIoU 0.7500" in caplog.text
    assert "every answer to one with a target is empty" in caplog.text
    facts = training_facts(tmp_path / "train/log.jsonl")
    assert facts["weights kept"].startswith("of iteration 2: harmonic mean of gIoU and cIoU")
    save_figure(learning_curves(read_log(tmp_path / "train/log.jsonl")), tmp_path, "curves")


def test_mirrored_photos_are_trained_on_and_their_sentences_looked_up(tiny_config, tmp_path):
    config = with_train(tiny_config, flip=1.0, text_learning_rate_scale=0.0)
    trainer = Trainer(config, tmp_path, ALONE)
    (batch,) = next(trainer.steps())
    count, possible = len(trainer.train_set), trainer.train_set.possible
    taken = batch["index"].numpy()
    assert (taken >= count).tolist() == possible[taken % count].tolist()
    assert (taken >= count).any()
    assert trainer.model.look_up(batch["word_ids"]) is not None
    assert trainer.train_set.name(int(taken.max())).endswith(" mirrored")


def test_the_loss_weighs_referents_as_the_settings_say(tiny_config, tmp_path):
    losses = []
    for weight in (1.1, 6.0):
        config = with_train(tiny_config, referent_weight=weight)
        trainer = Trainer(config, tmp_path / str(weight), ALONE)
        trainer.stepper.training_mode()
        losses.append(float(trainer.stepper.step(next(trainer.steps()), 0.0).losses["seg"]))
    assert losses[0] != losses[1]


def test_validation_changes_no_weight(tiny_config, tmp_path):
    """Without a val split, the last weights are the same ones, and kept as the best."""
    train(tiny_config, tmp_path / "with")
    data = dataclasses.replace(tiny_config.data, val_split="")
    train(dataclasses.replace(tiny_config, data=data), tmp_path / "without")
    one, other = (checkpoint(tmp_path / name, 4)["model"] for name in ("with", "without"))
    assert_same(one, other)
    kept = load_file(tmp_path / "without/train/best/model.safetensors")
    assert_same(dict(sorted(kept.items())), dict(sorted(other.items())))
