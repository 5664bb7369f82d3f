"""What a run derives from its config and the hardware at hand."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data_preprocess.base.errors import UserError
from dghin.commands.train import main
from dghin.run.config import load_config
from dghin.training.recipe import derive, differences, made_from, share
from dghin.training.schedule import learning_rates

EXPRESSIONS = 120_624  # RefCOCO's train split


def config_on(tmp_path, name="refcoco", *words, expressions=EXPRESSIONS):
    """A config whose prepared data is a manifest only."""
    config = load_config(name, [f"data.prepared={tmp_path}", *words])
    folder = tmp_path / "anns" / config.data.dataset
    folder.mkdir(parents=True, exist_ok=True)
    names = {config.data.train_split, config.data.val_split, *config.data.test_splits} - {""}
    splits = {split: {"expressions": expressions, "images": 1, "objects": 1} for split in names}
    values = {"splits": splits, "dataset": config.data.dataset, "masks": {"sha256": ""}}
    (folder / "manifest.json").write_text(json.dumps(values))
    return config


@pytest.mark.parametrize(
    ("batch", "most", "processes", "piece", "pieces"),
    [
        (24, 6, 4, 6, 1), (24, 6, 1, 6, 4), (24, 6, 2, 6, 2), (24, 6, 3, 4, 2), (24, 6, 8, 3, 1),
        (24, 5, 2, 4, 3), (24, 100, 1, 24, 1), (7, 3, 1, 1, 7),
    ],
)  # fmt: skip
def test_accumulation_keeps_the_batch(batch, most, processes, piece, pieces):
    assert share(batch, most, processes) == (piece, pieces)
    assert piece * pieces * processes == batch


def test_a_batch_that_cannot_be_shared_names_the_numbers_that_fit():
    with pytest.raises(UserError, match=r"24: not divisible among 5.*1, 2, 3, 4, 6, 8, 12, 24"):
        share(24, 6, 5)


@pytest.mark.parametrize("name", ["refcoco", "refcoco+", "refcocog_umd", "refcocog_google"])
@pytest.mark.parametrize("processes", [1, 2, 4, 8])
def test_the_papers_run_on_any_number_of_processes(tmp_path, name, processes):
    config = config_on(tmp_path, name)
    recipe = derive(config, processes)
    assert (recipe.batch, recipe.iterations, recipe.warmup) == (24, 106_666, 13_333)
    assert recipe.validate_every == 13_333
    np.testing.assert_array_equal(recipe.rates, learning_rates(EXPRESSIONS))


def test_another_schedule_is_one_key_and_as_long(tmp_path):
    recipe = derive(config_on(tmp_path, "refcoco", "train.schedule=poly"), 4)
    assert recipe.iterations == 106_666
    later = recipe.rates[recipe.warmup :]
    assert (np.diff(later) < 0).all()  # a step every iteration


def test_another_batch_changes_the_iterations_as_the_original_does(tmp_path):
    config = config_on(tmp_path, "refcoco", "train.batch=0")
    assert derive(config, 8).batch == 48 and derive(config, 8).iterations == 53_333
    np.testing.assert_array_equal(derive(config, 8).rates, learning_rates(EXPRESSIONS, 6, 8))


def test_real_steps_are_taken_as_they_are(tmp_path):
    words = ["train.iterations_of=0", "train.iterations=50", "train.warmup=5"]
    recipe = derive(config_on(tmp_path, "refcoco", *words, "train.validate_every=10"), 2)
    assert (recipe.iterations, recipe.warmup, recipe.validate_every) == (50, 5, 10)


def test_batch_norms_count_over_all_gpus_but_one_cpu_process(tmp_path, monkeypatch):
    """On one large card over the paper's 24, too: in one piece, since it fits."""
    config, cuda = config_on(tmp_path), torch.device("cuda")
    card = SimpleNamespace(name="a card", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    assert derive(config, 4, cuda).norm_batch == 24
    assert derive(config, 1, cuda).norm_batch == 24
    small = derive(config, 1, cuda, fits=lambda piece: piece <= 6)
    assert (small.piece, small.accumulation, small.norm_batch) == (6, 4, 6)
    again = derive(config, 1, cuda, {"batch_per_process": 12})
    assert (again.piece, again.accumulation) == (12, 2)
    assert derive(config, 4).norm_batch == derive(config, 1).norm_batch == 6


def test_the_table_shows_what_was_derived(tmp_path):
    table = derive(config_on(tmp_path), 2).table().set_index("Setting")
    assert table.loc["iterations", "Configured"] == "320,000 of 8 expressions"
    assert table.loc["iterations", "Here"] == "106,666"
    assert table.loc["expressions a step", "Here"] == "24 = 6 x 2 accumulated x 2 processes"
    assert table.loc["learning rate", "Here"].startswith("3e-05 to 3")
    assert {"warm-up", "epochs", "precision", "processes"} <= set(table.index)


def test_compiling_and_checkpointing_are_not_mixed(tmp_path):
    words = ["train.compile=true", "train.checkpoint_activations=true"]
    with pytest.raises(UserError, match="train.compile=true, train.checkpoint.*Take one"):
        derive(config_on(tmp_path, "refcoco", *words), 1)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.batch=-1", "train.batch=-1"),
        ("train.batch_per_process=-1", "train.batch_per_process=-1"),
        ("train.iterations=0", "train.iterations=0"),
        ("train.save_minutes=0", "train.save_minutes=0, train.save_every=0: one of them"),
        ("train.save_every=-1", "train.save_every=-1: one of them must be positive, none"),
        ("data.train_split=trian", "split of refcoco: 'trian'.*Did you mean 'train'"),
        ("train.batch=200000", "make no batch of 200000"),
    ],
)
def test_what_cannot_run_is_refused(tmp_path, word, message):
    config = config_on(tmp_path)
    key, _, value = word.partition("=")
    part, name = key.split(".")
    settings = getattr(config, part)
    value = type(getattr(settings, name))(value)
    config = dataclasses.replace(config, **{part: dataclasses.replace(settings, **{name: value})})
    with pytest.raises(UserError, match=message):
        derive(config, 1)


def test_dry_run_prints_the_table_and_does_nothing(tmp_path, capsys, monkeypatch):
    config_on(tmp_path)
    monkeypatch.chdir(tmp_path)
    main(["config=refcoco", "run=mine", f"data.prepared={tmp_path}", "--dry-run"])
    shown = capsys.readouterr().out
    assert "6 x 4 accumulated x 1 process " in shown and "106,666" in shown
    assert not (tmp_path / "reports").exists()


def test_what_a_run_starts_from_and_mirrors_is_in_the_table(tmp_path):
    words = ["weights.network=reports/demo", "train.flip=0.5"]
    table = derive(config_on(tmp_path, "refcoco", *words), 4).text()
    assert "starts from" in table and "reports/demo" in table and "photos mirrored" in table
    plain = derive(config_on(tmp_path), 4).text()
    assert "starts from" not in plain and "mirrored" not in plain


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.flip=1.5", r"train.flip=1.5: a chance. Give a number from 0 to 1"),
        ("train.flip=-0.1", r"train.flip=-0.1: a chance"),
        ("train.flip=.nan", r"train.flip=nan: expected a finite number"),
        ("train.referent_weight=0", r"train.referent_weight=0: give a positive number"),
        ("train.referent_weight=.inf", r"train.referent_weight=inf: expected a finite number"),
    ],
)
def test_what_is_no_chance_and_no_weight_is_refused(tmp_path, word, message):
    with pytest.raises(UserError, match=message):
        derive(config_on(tmp_path, "refcoco", word), 4)


def test_a_checkpoint_of_an_older_version_had_the_defaults(tmp_path):
    """It does not name the newer settings: they had no other effect then than today's defaults."""
    here = made_from(config_on(tmp_path), derive(config_on(tmp_path), 4))
    there = {k: v for k, v in here.items() if k not in ("train.flip", "weights.network")}
    assert differences(there, here) == {}
    other = config_on(tmp_path, "refcoco", "train.flip=0.5")
    assert differences(there, made_from(other, derive(other, 4))) == {"train.flip": (0.0, 0.5)}


def test_a_checkpoint_of_the_drawn_scenes_may_call_them_by_their_layout(tmp_path):
    photos, drawn = (
        made_from(config, derive(config, 4))
        for config in (config_on(tmp_path), config_on(tmp_path, "demo"))
    )
    older = drawn | {"data.dataset": "refcoco"}
    assert drawn["data.dataset"] == "shapes" and differences(older, drawn) == {}
    assert differences(drawn, photos)["data.dataset"] == ("shapes", "refcoco")


def test_the_weights_that_a_run_starts_from_are_part_of_what_it_is_made_from(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    config = config_on(tmp_path, "refcoco", f"weights.network={tmp_path}")
    one = made_from(config, derive(config, 4))
    (tmp_path / "model.safetensors").write_bytes(b"two")
    two = made_from(config, derive(config, 4))
    assert list(differences(one, two)) == ["start"]
    (tmp_path / "model.safetensors").unlink()  # going on does not need them
    assert differences(one, made_from(config, derive(config, 4))) == {}
