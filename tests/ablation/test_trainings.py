"""Ablation: every variant is one key, and changes what it says; what is there is kept."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.ablation_folders import (
    SCORES,
    manifest_of,
    origin_of,
    scored_rows,
    write_ablation,
    write_member,
)
from scipy import stats

from data_preprocess.base.errors import UserError
from data_preprocess.base.settings import flatten, to_mapping
from dghin.ablation import trainings as ablation
from dghin.ablation.table import (
    ablation_table,
    against_full,
    judged_splits,
    minutes,
    parameters,
    scores,
)
from dghin.ablation.trainings import (
    FULL,
    VARIANTS,
    Member,
    is_scored,
    member_config,
    members,
    missing_members,
    own_cards,
    read_members,
    run_ablation,
)
from dghin.ablation.verdict import CHANGES
from dghin.evaluation.provenance import checkpoint
from dghin.model.dghin import DGHIN
from dghin.model.hub import WEIGHTS
from dghin.run.config import load_config, save_config
from dghin.run.folder import Run, RunFolder

GONE = {  # variant → the parts of the network that it has no longer
    "text graph off": ("levels.0.text_graph.", "levels.1.text_graph.", "levels.2.text_graph."),
    "visual graph off": tuple(f"levels.{i}.visual_graph." for i in range(3)),
    "entity level only": tuple(
        f"levels.{i}.{part}."
        for i in range(3)
        for part in ("text_graph", "visual_graph", "graph_attention")
    ),
    "graph level only": tuple(f"levels.{i}.entity_attention." for i in range(3)),
    "part of speech off": ("embedding.pos.",),
    "auxiliary losses off": ("auxiliary_heads.",),
}
WITHOUT = [name for name in VARIANTS if name not in (FULL, *CHANGES)]


def of_variant(config, variant, seed=0):
    (member,) = members(config.data.prepared_root, [seed], [variant])
    return member_config(config, member)


def state(config):
    """Shapes of the network's weights by name, without its encoders."""
    with torch.device("meta"):
        weights = DGHIN(config.model).state_dict()
    encoders = ("visual_encoder.", "text_encoder.")
    return {k: tuple(v.shape) for k, v in weights.items() if not k.startswith(encoders)}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_one_key(tiny_config, variant):
    before = flatten(to_mapping(tiny_config))
    after = flatten(to_mapping(of_variant(tiny_config, variant, seed=7)))
    changed = {key for key in before if before[key] != after[key]}
    key = VARIANTS[variant].partition("=")[0]
    assert changed == {"train.seed", key} - {""}
    assert after["train.seed"] == 7


def test_full_is_the_network_as_it_is(tiny_config):
    assert of_variant(tiny_config, FULL) == tiny_config
    assert state(of_variant(tiny_config, FULL, seed=3)) == state(tiny_config)


@pytest.mark.parametrize("variant", WITHOUT)
def test_what_a_variant_leaves_out_is_gone_and_the_rest_as_it_was(tiny_config, variant):
    full, without = state(tiny_config), state(of_variant(tiny_config, variant))
    assert set(full) - set(without) == {k for k in full if k.startswith(GONE[variant])}
    assert set(without) <= set(full)
    reshaped = {k for k in without if without[k] != full[k]}
    one_level = variant in ("entity level only", "graph level only")
    assert reshaped == ({f"levels.{i}.merge.0.weight" for i in range(3)} if one_level else set())
    assert parameters(of_variant(tiny_config, variant)) < parameters(tiny_config)


@pytest.mark.parametrize("variant", CHANGES)
def test_a_changed_scale_leaves_nothing_out(tiny_config, variant):
    config = of_variant(tiny_config, variant)
    assert state(config) == state(tiny_config)
    with torch.device("meta"):
        levels = DGHIN(config.model).levels
    assert {level.visual_graph.scale for level in levels} == {variant.split()[-1]}


def test_parameters_are_those_outside_the_encoders(tiny_config):
    model = DGHIN(tiny_config.model)
    inside = [*model.visual_encoder.parameters(), *model.text_encoder.parameters()]
    every = sum(p.numel() for p in model.parameters())
    assert parameters(tiny_config) == every - sum(p.numel() for p in inside)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_draws_a_mask_and_learns(tiny_config, variant):
    config = of_variant(tiny_config, variant).model
    torch.manual_seed(0)
    model = DGHIN(config).train()
    image = 255 * torch.rand(2, 3, config.image_size, config.image_size)
    ids = torch.randint(1, 100, (2, config.words))
    parse = torch.zeros(2, config.words, config.words)
    parse[:, 2, 1] = 1
    out = model(image, ids, torch.ones_like(ids), torch.randint(0, 7, ids.shape), parse)
    assert out.mask.shape == (2, 2, config.image_size, config.image_size)
    assert len(out.scales) == (0 if variant == "auxiliary losses off" else 4)
    sum(map(torch.sum, (out.mask, *out.scales))).backward()
    own = {k: p for k, p in model.named_parameters() if k.startswith(("levels.", "embedding."))}
    assert own and all(p.grad is not None for p in own.values()), "a part that nothing uses"


def test_members_stand_seed_by_seed(tmp_path):
    found = members(tmp_path, [0, 2], [FULL, "text graph off"])
    assert [member.folder.relative_to(tmp_path).as_posix() for member in found] == [
        "runs/full-seed0", "runs/text-graph-off-seed0",
        "runs/full-seed2", "runs/text-graph-off-seed2",
    ]  # fmt: skip
    assert len(members(tmp_path, range(3))) == 3 * len(VARIANTS)
    with pytest.raises(UserError, match="unknown variant 'text graph'.*Did you mean 'text graph"):
        members(tmp_path, [0], ["text graph"])


def test_what_is_there_and_what_is_missing(tmp_path):
    write_ablation(tmp_path, {"visual graph off": (0.5, 0.6), FULL: (0.6, 0.7)})
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "full-seed-old").mkdir()
    found = read_members(tmp_path)
    assert [(member.variant, member.seed) for member in found] == [
        (FULL, 0), (FULL, 1), ("visual graph off", 0), ("visual graph off", 1)
    ]  # fmt: skip
    assert missing_members(tmp_path) == []
    (found[1].folder / "rows" / "testB.parquet").unlink()
    (found[2].folder / "config.yaml").unlink()
    write_member(Member(FULL, 10, tmp_path / "runs" / "full-seed10"), 0.6)
    assert [m.seed for m in read_members(tmp_path) if m.variant == FULL] == [0, 10]
    assert [(m.variant, m.seed) for m in missing_members(tmp_path)] == [
        ("visual graph off", 0), (FULL, 1), ("visual graph off", 10)
    ]  # fmt: skip
    with pytest.raises(UserError, match="no training of an ablation.*make reproduce RUN=nothing"):
        read_members(tmp_path / "nothing")


@pytest.fixture
def as_then(monkeypatch):
    """Commit and data are those that the rows of `write_ablation` are of."""
    monkeypatch.setattr(ablation, "provenance", origin_of)
    monkeypatch.setattr(ablation, "run_manifest", manifest_of)


def test_rows_of_other_weights_data_or_counts_are_scored_anew(as_then, tmp_path, monkeypatch):
    (member,) = members(write_ablation(tmp_path, {FULL: (0.6,)}), [0], [FULL])
    config = member.config
    assert is_scored(member.folder, config)
    weights = RunFolder(member.folder).best / WEIGHTS
    before = weights.read_bytes()
    weights.write_bytes(b"trained anew")
    assert not is_scored(member.folder, config)
    weights.write_bytes(before)
    assert is_scored(member.folder, config)
    for key in ("data", "commit"):
        now = origin_of(config, checkpoint(member.folder)) | {key: "another"}
        monkeypatch.setattr(ablation, "provenance", lambda *_, now=now: now)
        assert not is_scored(member.folder, config), key
    monkeypatch.setattr(ablation, "provenance", origin_of)
    few = dataclasses.replace(config, evaluate=dataclasses.replace(config.evaluate, expressions=5))
    assert not is_scored(member.folder, few) and is_scored(member.folder, config)
    path = member.folder / "rows" / "testA.parquet"
    rows = pd.read_parquet(path)
    rows.attrs = {}
    rows.to_parquet(path)
    assert not is_scored(member.folder, config), "rows that do not say what they are of"
    path.unlink()
    assert not is_scored(member.folder, config)


@pytest.fixture
def asked(monkeypatch, as_then):
    """`run_ablation` without training: notes what it would start; "training" writes weights."""
    calls = []

    def launch(config, folder, processes, variables):
        calls.append(("train", folder.name, config.train.seed, processes))
        RunFolder(folder).best.mkdir(parents=True, exist_ok=True)
        (RunFolder(folder).best / WEIGHTS).write_bytes(repr(config.model).encode())
        save_config(config, folder / "config.yaml")

    def evaluate(folder, config):
        calls.append(("evaluate", folder.name, config.train.seed))
        (folder / "rows").mkdir(exist_ok=True)
        for split in ("val", "testA", "testB"):
            rows = scored_rows(split, 0.5)
            rows.attrs["provenance"] = origin_of(config, checkpoint(folder))
            rows.to_parquet(folder / "rows" / f"{split}.parquet")

    def aside(folder, config, force, processes):
        calls.append(("aside", folder.name, force, processes))

    monkeypatch.setattr(ablation, "launch_training", launch)
    monkeypatch.setattr(ablation, "evaluate_run", evaluate)
    monkeypatch.setattr(ablation, "set_stale_training_aside", aside)
    return calls


def test_each_is_trained_and_scored_in_turn_and_once(asked, tmp_path):
    this = Run("ablation", load_config("ablation"), tmp_path / "ablation")
    variants = [FULL, "part of speech off"]
    found = run_ablation(this, [0, 1], variants, processes=2, jobs=1)
    names = [member.folder.name for member in found]
    assert names == [
        "full-seed0", "part-of-speech-off-seed0", "full-seed1", "part-of-speech-off-seed1"
    ]  # fmt: skip
    expected = []
    for member in found:
        name, seed = member.folder.name, member.seed
        expected += [("aside", name, False, 2), ("train", name, seed, 2), ("evaluate", name, seed)]
    assert asked == expected
    asked.clear()
    run_ablation(
        this, [0, 1], variants, processes=2, jobs=1
    )  # the trainer itself sees that it is done
    assert {call[0] for call in asked} == {"aside", "train"}, "scored again for nothing"
    assert read_members(this.folder) == sorted(found, key=lambda m: variants.index(m.variant))


@pytest.mark.slow
def test_several_at_a_time_are_the_same_trainings(tiny_config, tmp_path, capfd):
    """Two processes that train beside each other, for real; of their bars, none is shown."""
    train = dataclasses.replace(tiny_config.train, processes=1, iterations=2, validate_every=2)
    evaluate = dataclasses.replace(tiny_config.evaluate, expressions=6)
    config = dataclasses.replace(tiny_config, train=train, evaluate=evaluate)
    this = Run("ablation", config, tmp_path / "ablation")
    found = run_ablation(this, [0], [FULL, "entity level only"], jobs=2)
    assert read_members(this.folder) == found
    shown = capfd.readouterr().err
    assert "training/s" in shown and "image/s" not in shown
    config = json.loads((RunFolder(found[1].folder).best / "config.json").read_text())
    assert config["interaction"] == "entity" and config["text_graph"]


def test_jobs_have_their_own_of_the_visible_gpus():
    assert [own_cards(job, 2, 4) for job in (0, 1)] == ["0,1", "2,3"]
    assert [own_cards(job, 1, 2, "5,7") for job in (0, 1)] == ["5", "7"]


@pytest.mark.slow
def test_after_a_failure_no_other_training_starts(tmp_path):
    """Two at a time; the first cannot be trained, and the rest is left alone."""
    config = load_config("ablation", [f"data.root={tmp_path / 'nothing'}"])
    this = Run("ablation", config, tmp_path / "ablation")
    with pytest.raises(UserError):
        run_ablation(this, [0, 1], jobs=2)
    assert len(list((tmp_path / "ablation").glob("runs/*"))) <= 3, "of 14"


def test_trainings_set_aside_do_not_count(tmp_path):
    """Their rows are still there when the new training is interrupted."""
    found = read_members(write_ablation(tmp_path, {FULL: (0.6, 0.7)}))
    (RunFolder(found[0].folder).best / WEIGHTS).write_bytes(b"of a new training")
    assert read_members(tmp_path) == found[1:]


def test_seeds_are_asked_for_once(tmp_path):
    this = Run("ablation", load_config("ablation"), tmp_path)
    for seeds in ([], [0, 0]):
        with pytest.raises(UserError, match="give at least one, and none twice"):
            run_ablation(this, seeds)


def test_scores_are_those_of_the_rows(tmp_path):
    found = read_members(write_ablation(tmp_path))
    frame = scores(found)
    assert list(frame.columns) == [
        "Variant", "Seed", "Split", "Protocol", "Expressions", "oIoU",
    ]  # fmt: skip
    assert len(frame) == 27 and set(frame.Expressions) == {20}
    for variant, values in SCORES.items():
        for seed, value in enumerate(values):
            own = frame[(frame.Variant == variant) & (frame.Seed == seed)]
            assert list(own.Split) == ["val", "testA", "testB"]
            assert list(own.oIoU) == pytest.approx([100 * value] * 3)


def test_against_full_by_hand():
    variant, full = np.array([50.0, 52.0, 51.0]), np.array([60.0, 63.0, 61.5, 59.5])
    difference, low, high, p = against_full(variant, full)
    assert difference == pytest.approx(-10)
    va, vb = variant.var(ddof=1) / 3, full.var(ddof=1) / 4
    error, freedom = math.sqrt(va + vb), (va + vb) ** 2 / (va**2 / 2 + vb**2 / 3)
    reach = stats.t.ppf(0.975, freedom) * error
    assert (low, high) == pytest.approx((-10 - reach, -10 + reach))
    assert p == pytest.approx(2 * stats.t.sf(10 / error, freedom))


def test_one_seed_says_nothing_of_chance():
    difference, *rest = against_full(np.array([50.0]), np.array([60.0, 61.0]))
    assert difference == pytest.approx(-10.5) and all(map(math.isnan, rest))
    assert all(map(math.isnan, against_full(np.array([50.0, 51.0]), np.array([60.0]))[1:]))


def test_the_table_holds_means_and_differences_of_the_test_splits(tmp_path):
    found = read_members(write_ablation(tmp_path))
    for member in found:  # a split that picked the weights does not judge them
        scored_rows("val", 0.1).to_parquet(member.folder / "rows" / "val.parquet")
    assert judged_splits(found) == ["testA", "testB"]
    frame = ablation_table(found)
    assert list(frame.Variant) == list(SCORES) and list(frame.Seeds) == [3, 3, 3]
    assert list(frame.Key) == ["–", "model.text_graph=false", "model.visual_graph=false"]
    assert list(frame.testA) == pytest.approx([61, 51, 61])
    assert list(frame["testA, sd"]) == pytest.approx([1, 1, 1])
    assert list(frame.val) == pytest.approx([10, 10, 10])
    full = np.array([60.0, 61, 62])
    assert frame.loc[0, ["To full", "To full, low", "To full, high", "p"]].isna().all()
    for line, values in ((1, [50.0, 51, 52]), (2, [60.0, 62, 61])):
        row = frame.loc[line, ["To full", "To full, low", "To full, high", "p"]]
        assert list(row) == pytest.approx(against_full(np.array(values), full))
    assert frame.Parameters[0] == parameters(found[0].config) > frame.Parameters[1]
    assert list(frame.Minutes) == pytest.approx([48 * 75 / 16 / 60] * 3)


def test_a_table_without_the_full_network_or_a_second_seed(tmp_path):
    frame = ablation_table(read_members(write_ablation(tmp_path, {"text graph off": (0.5, 0.6)})))
    assert frame["To full"].isna().all() and list(frame.testA) == pytest.approx([55])
    frame = ablation_table(read_members(write_ablation(tmp_path, {FULL: (0.6,)})))
    line = frame[frame.Variant == "text graph off"].iloc[0]
    assert line["To full"] == pytest.approx(-5) and math.isnan(line.p)


def test_a_data_set_without_test_split_is_judged_by_all(tmp_path):
    (member,) = members(tmp_path, [0], [FULL])
    config = load_config("demo", ["data.test_splits=[]"])
    write_member(member, 0.5, config)
    assert judged_splits([member]) == ["val"]


def test_minutes_without_a_log_are_not_known(tmp_path):
    (member,) = read_members(write_ablation(tmp_path, {FULL: (0.6,)}))
    log = member.folder / "train" / "log.jsonl"
    log.write_text('{"kind": "start", "iteration": 0}\n')
    assert math.isnan(minutes(member))
    log.unlink()
    assert math.isnan(minutes(member))
