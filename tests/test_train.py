"""The trainer: it learns, resumes exactly, shares out work, refuses what does not fit."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from data_preprocess.common import UserError
from dghin.config import load_config, save_config
from dghin.distributed import Place
from dghin.evaluate import evaluate_run
from dghin.launch import launch_training, stream, training_command
from dghin.metrics import metrics_from_rows
from dghin.model import DGHIN
from dghin.train import Trainer, parameter_groups, train

ALONE = Place(0, 1, torch.device("cpu"))


def lines(folder):
    return [json.loads(x) for x in (folder / "train/log.jsonl").read_text().splitlines()]


def with_train(config, **values):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **values))


def test_the_loss_of_one_batch_falls(tiny_config, tmp_path):
    config = with_train(tiny_config, iterations=40, learning_rate=1e-2)
    trainer = Trainer(config, tmp_path / "train", ALONE)
    batch = next(iter(trainer.loader()))
    losses = [float(trainer.step(batch)["total"]) for _ in range(40)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_run_leaves_weights_checkpoints_and_a_log(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    kinds = [line["kind"] for line in lines(tmp_path)]
    assert kinds == ["start", "train", "train", "val", "train", "train", "val"]
    assert [p.stem for p in sorted((tmp_path / "train").glob("*.pt"))] == [
        "checkpoint-0000002",
        "checkpoint-0000004",
    ]
    best = max((x for x in lines(tmp_path) if x["kind"] == "val"), key=lambda x: x["oiou"])
    newest = torch.load(tmp_path / "train/checkpoint-0000004.pt", weights_only=True)
    assert newest["best"]["score"] == best["oiou"]
    assert DGHIN.from_pretrained(tmp_path / "train/best").config == tiny_config.model


class Killed(Exception):
    """Raised in a test in place of a kill."""


def killed_after_saving(trainer, iteration, monkeypatch):
    """Run a trainer that ends right after it has written the checkpoint of this iteration."""
    save = trainer.save

    def save_and_die():
        save()
        if trainer.iteration == iteration:
            raise Killed

    monkeypatch.setattr(trainer, "save", save_and_die)
    with pytest.raises(Killed):
        trainer.run()


@pytest.mark.parametrize("workers", [0, 1])
def test_killed_and_resumed_is_as_never_stopped(tiny_config, tmp_path, monkeypatch, workers):
    """With dropout, validation and loader processes, to the last bit."""
    config = with_train(tiny_config, iterations=6, workers=workers)
    whole = Trainer(config, tmp_path / "whole", ALONE)
    whole.run()
    killed_after_saving(Trainer(config, tmp_path / "parts", ALONE), 2, monkeypatch)
    second = Trainer(config, tmp_path / "parts", ALONE)
    assert second.iteration == 2
    second.run()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    kept = [load_file(tmp_path / n / "best/model.safetensors") for n in ("whole", "parts")]
    assert all(torch.equal(value, kept[1][name]) for name, value in kept[0].items())
    assert second.best == whole.best


def test_settings_without_effect_do_not_hinder_resuming(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    trainer = Trainer(with_train(tiny_config, workers=1, log_every=7), tmp_path / "train", ALONE)
    assert trainer.iteration == 4


def test_another_number_of_processes_does_not_resume(tiny_config, tmp_path):
    trainer = Trainer(tiny_config, tmp_path / "train", ALONE)
    trainer.made_from = trainer.made_from | {"processes": 2}
    trainer.save()
    with pytest.raises(UserError, match=r"'processes': \(2, 1\)"):
        Trainer(tiny_config, tmp_path / "train", ALONE)


def test_a_refused_command_leaves_the_records_alone(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    before = (tmp_path / "config.yaml").read_text()
    with pytest.raises(UserError, match="another configuration"):
        train(with_train(tiny_config, learning_rate=1.0), tmp_path)
    assert (tmp_path / "config.yaml").read_text() == before


def test_a_half_written_line_of_the_log_does_no_harm(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    log = tmp_path / "train/log.jsonl"
    log.write_text(log.read_text() + '{"kind": "tra')
    train(tiny_config, tmp_path)
    assert lines(tmp_path)[-1]["kind"] == "start"


def test_referit_has_no_val_and_keeps_the_last_weights(tiny_config, shapes, tmp_path):
    """The embedded set's ReferIt form, with the paper's splits: all of trainval is trained on."""
    from data_preprocess.prepare import PrepareSettings, prepare

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
    assert not [line for line in lines(tmp_path / "run") if line["kind"] == "val"]
    newest = torch.load(tmp_path / "run/train/checkpoint-0000004.pt", weights_only=True)
    kept = load_file(tmp_path / "run/train/best/model.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in newest["model"].items())
    results = evaluate_run(tmp_path / "run", config)
    assert set(results[""]) == {"test"} and results[""]["test"]["kind"].ne("").all()


def test_another_configuration_does_not_resume(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    with pytest.raises(UserError, match=r"train.learning_rate.*another|another.*learning_rate"):
        Trainer(with_train(tiny_config, learning_rate=1.0), tmp_path / "train", ALONE)


def test_a_frozen_part_gets_no_gradient(tiny_config):
    config = with_train(tiny_config, text_learning_rate_scale=0.0)
    model = DGHIN(config.model)
    groups = parameter_groups(model, config.train)
    trained = {id(p) for group in groups for p in group["params"]}
    assert not any(id(p) in trained or p.requires_grad for p in model.text_encoder.parameters())
    assert len(trained) + len(list(model.text_encoder.parameters())) == len(
        list(model.parameters())
    )


def test_frozen_sentences_are_looked_up_and_the_same(tiny_config, tmp_path):
    config = with_train(tiny_config, text_learning_rate_scale=0.0)
    trainer = Trainer(config, tmp_path / "train", ALONE)
    batch = next(iter(trainer.loader()))
    encoder = trainer.model.text_encoder
    words = {"input_ids": batch["word_ids"], "attention_mask": batch["attention_mask"]}
    found, computed = encoder(**words), encoder.forward.forward(**words)
    torch.testing.assert_close(found.last_hidden_state, computed.last_hidden_state)
    other = words["input_ids"].clone()
    other[0, 1] = 99  # a sentence that is not in the data
    assert encoder(other, words["attention_mask"]).last_hidden_state.shape == (6, 17, 32)


def test_bfloat16_is_near_float32(tiny_config, tmp_path):
    losses = {}
    for precision in ("float32", "bfloat16"):
        config = with_train(tiny_config, precision=precision)
        trainer = Trainer(config, tmp_path / precision, ALONE)
        losses[precision] = float(trainer.step(next(iter(trainer.loader())))["total"])
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.03)


def test_two_processes_train_one_model(tiny_config, tmp_path, capfd):
    """Through torchrun: every expression of val counted once, the same weights on both ranks."""
    config = with_train(tiny_config, batch_per_process=3, iterations=2)
    launch_training(config, tmp_path / "two", processes=2)
    log = lines(tmp_path / "two")
    assert log[0]["world"] == 2
    listed = json.loads((tiny_config.data.prepared_root / "anns/refcoco/val.json").read_text())
    assert log[-1]["count"] == sum(len(entry["sentences"]) for entry in listed)
    rows = evaluate_run(tmp_path / "two", config, ["val"])[""]["val"]
    assert metrics_from_rows(rows, "strict")["oiou"] == log[-1]["oiou"]  # the weights that are kept
    assert "iteration 2/2" in capfd.readouterr().out
    assert "iteration 2/2" in (tmp_path / "two/train/train.log").read_text()
    assert load_file(tmp_path / "two/train/best/model.safetensors")


def test_a_failing_child_fails_the_launch_with_its_last_words(tiny_config, tmp_path):
    config = dataclasses.replace(
        tiny_config, data=dataclasses.replace(tiny_config.data, train_split="trian")
    )
    with pytest.raises(RuntimeError, match="exit status.*(?s:.*)split of refcoco: 'trian'"):
        launch_training(config, tmp_path / "run", processes=1)


def test_stream_keeps_the_tail_and_the_log(tmp_path):
    code, tail = stream(
        [sys.executable, "-c", "print('\\n'.join(map(str, range(99)))); raise SystemExit(3)"],
        tmp_path / "log",
    )
    assert code == 3 and tail[-1] == "98" and len(tail) == 30
    assert (tmp_path / "log").read_text().startswith("0\n1\n")


def test_command_is_torchruns(tmp_path):
    command = training_command(tmp_path / "config.yaml", "mine", tmp_path, 4)
    assert command[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4"]
    assert command[5:7] == ["-m", "dghin.train"]


def test_command_line_names_the_nearest_key(tiny_config, tmp_path):
    save_config(tiny_config, tmp_path / "config.yaml")
    words = [f"config={tmp_path / 'config.yaml'}", "train.iteratons=3"]
    done = subprocess.run(
        [sys.executable, "-m", "dghin.train", *words], capture_output=True, text=True
    )
    assert done.returncode == 2 and "Did you mean 'train.iterations'" in done.stderr
    assert "Traceback" not in done.stderr


def test_paper_schedule_follows_the_processes(tiny_config):
    from dghin.train import run_learning_rates, run_steps

    settings = load_config("refcoco").train
    assert len(run_learning_rates(settings, 120_624, 4)) == 106_666
    assert run_steps(settings, settings.validate_every, 4) == 13_333
    assert len(run_learning_rates(settings, 120_624, 8)) == 53_333
