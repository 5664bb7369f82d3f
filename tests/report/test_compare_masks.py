"""Masks side by side: chosen by rule from the rows, drawn from the stored answers."""

import dataclasses
import shutil

import pandas as pd
import pytest
import torch

from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.metrics import expression_iou
from dghin.model.dghin import DGHIN
from dghin.report.compare import compare_runs
from dghin.report.compare_masks import SHOWN, choices, compared_masks, places
from dghin.report.figures.masks import mask_comparison_figure
from dghin.report.run_report import verify_report
from dghin.report.tables.compare import read_run
from dghin.run.config import save_config
from dghin.run.folder import RunFolder


@pytest.fixture(scope="module")
def reports(shapes, tmp_path_factory):
    """Two runs of random weights on the tiny data set, with their rows."""
    from helpers.tiny import TINY_MODEL

    from dghin.run.config import load_config

    folder = tmp_path_factory.mktemp("project") / "reports"
    words = [*TINY_MODEL, f"data.root={shapes}", "data.shapes=30", "evaluate.workers=0"]
    config = load_config("demo", [*words, "train.threads=1"])
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        DGHIN(config.model).save_pretrained(RunFolder(folder / name).best)
        save_config(config, folder / name / "config.yaml")
        evaluate_run(folder / name, config)
    return folder


@pytest.fixture
def runs(reports):
    return [read_run(reports / name, name) for name in ("one", "two")]


def iou_of(run, split, key):
    row = run.splits[split].iloc[places(run.splits[split])[key]]
    return float(expression_iou(row["strict_intersection"], row["strict_union"]))


def test_those_furthest_apart_and_random_ones_each_of_another_image(runs):
    chosen = choices(runs, "testA", seed=0)
    rows = runs[0].splits["testA"]
    images = [
        rows["image"].iloc[places(rows)[key]] for key in (*chosen["apart"], *chosen["random"])
    ]
    assert len(set(images)) == len(images)
    gaps = {
        key: abs(iou_of(runs[0], "testA", key) - iou_of(runs[1], "testA", key))
        for key in places(rows)
    }
    if chosen["apart"]:
        assert gaps[chosen["apart"][0]] == max(gaps.values())
    assert choices(runs, "testA", seed=0) == chosen
    assert max(map(len, chosen.values())) <= SHOWN


def test_masks_are_those_that_the_runs_were_scored_by(runs):
    masks = compared_masks(runs)
    chosen = choices(runs, "testA", seed=0)
    assert set(masks) == {choice for choice, keys in chosen.items() if keys}
    for choice, by_run in masks.items():
        for run in runs:
            expected = [iou_of(run, "testA", key) for key in chosen[choice]]
            found = [sample.iou for sample in by_run[run.name]]
            assert found == pytest.approx(expected, abs=2e-3)
        one, two = by_run.values()
        assert [s.expression for s in one] == [s.expression for s in two]
        figure = mask_comparison_figure(by_run, "title")
        assert len(figure.axes) == 4 * len(one)


def test_the_page_shows_them_without_weights_and_is_made_without_answers_too(
    reports, tmp_path, caplog
):
    caplog.set_level("INFO")
    copy = shutil.copytree(reports, tmp_path / "reports")
    page = compare_runs(["one", "two"], copy)
    assert "Masks side by side" in page.read_text()
    assert list(page.parent.glob("figures/masks_*.pdf"))  # of so few images, of one choice alone
    assert "verified: " in verify_report(page.parent)
    shutil.rmtree(RunFolder(copy / "one").best)  # no model is asked again
    assert "Masks side by side" in compare_runs(["one", "two"], copy).read_text()
    RunFolder(copy / "two").answers("testA").unlink()
    page = compare_runs(["one", "two"], copy)
    assert "Masks side by side" not in page.read_text()
    assert not list(page.parent.glob("figures/masks_*"))
    assert "no masks side by side: " in caplog.text and "two" in caplog.text


def test_stored_answers_that_cannot_be_read_are_named(reports, tmp_path, caplog):
    caplog.set_level("INFO")
    copy = shutil.copytree(reports, tmp_path / "reports")
    answers = RunFolder(copy / "two").answers("testA")
    answers.write_text(answers.read_text().replace('{"segment_id"', "{segment_id"))
    page = compare_runs(["one", "two"], copy)
    assert "Masks side by side" not in page.read_text()
    assert f"no masks side by side: {answers}:" in caplog.text
    assert "not readable as JSON" in caplog.text


@pytest.mark.parametrize("before", [1, 1000])
def test_data_of_other_places_than_the_rows_show_nothing(runs, caplog, before):
    """A row's number would find another expression, or none at all."""
    caplog.set_level("INFO")
    rows = runs[1].splits["testA"]
    gone = pd.concat([rows.iloc[:1].assign(segment_id="gone")] * before)
    moved = pd.concat([gone, rows], ignore_index=True)
    assert compared_masks([runs[0], dataclasses.replace(runs[1], splits={"testA": moved})]) == {}
    assert "is not at this place of the prepared data. Score the run anew" in caplog.text


def test_runs_without_a_common_expression_show_nothing(runs, caplog):
    caplog.set_level("INFO")
    rows = runs[1].splits["testA"].assign(segment_id="other")
    other = dataclasses.replace(runs[1], splits={"testA": rows})
    assert compared_masks([runs[0], other]) == {}
    assert "share no expression of testA" in caplog.text
    assert compared_masks([runs[0], dataclasses.replace(other, splits={"no": rows})]) == {}
