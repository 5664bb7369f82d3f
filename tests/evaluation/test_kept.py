"""Kept answers: an interrupted evaluation goes on, and what is stored is what was scored."""

import json

import numpy as np
import pandas as pd
import pytest

from data_preprocess.base.errors import UserError
from dghin.data.split import open_split
from dghin.evaluation.evaluate import evaluate_run, evaluate_with_controls
from dghin.evaluation.kept import Kept, stored_samples
from dghin.evaluation.predictions import read_predictions
from dghin.evaluation.segmenters.answerers import Outside
from dghin.run.folder import RunFolder
from dghin.run.processes import Place


class Counting:
    """Marks a block that its words decide, and counts what it was asked; may break off."""

    digest = "weights 1"

    def __init__(self, breaks_after=10**9):
        self.asked, self.breaks_after = [], breaks_after

    def look(self, photo):
        return np.asarray(photo).shape[:2]

    def answer(self, seen, expressions):
        if len(self.asked) >= self.breaks_after:
            raise KeyboardInterrupt
        self.asked += list(expressions)
        masks = []
        for text in expressions:
            mask = np.zeros(seen, bool)
            mask[: 1 + len(text) % seen[0], : 1 + len(text) % seen[1]] = True
            masks.append(mask)
        return masks


def score(folder, config, model, **words):
    return evaluate_run(folder, config, ["val", "testA"], ["shuffled"], Outside(model), **words)


def test_it_goes_on_where_it_was(tmp_path, tiny_config):
    whole = Counting()
    expected = score(tmp_path / "whole", tiny_config, whole)
    stopped = Counting(breaks_after=len(whole.asked) // 2)
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "run", tiny_config, stopped)
    assert not RunFolder(tmp_path / "run").rows("testA").is_file()
    rest = Counting()
    found = score(tmp_path / "run", tiny_config, rest)
    assert 0 < len(rest.asked) < len(whole.asked)
    for control, splits in expected.items():
        for split, rows in splits.items():
            pd.testing.assert_frame_equal(found[control][split], rows)
            one, other = (RunFolder(tmp_path / name).answers(split, control)
                          for name in ("whole", "run"))  # fmt: skip
            assert one.read_bytes() == other.read_bytes()
    assert not RunFolder(tmp_path / "run").kept_answers.exists()


@pytest.mark.parametrize("change", ["weights", "options"])
def test_another_model_starts_anew(tmp_path, tiny_config, change):
    stopped, rest = Counting(breaks_after=12), Counting()
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path, tiny_config, stopped)
    options = {"size": 3} if change == "options" else {}
    if change == "weights":
        rest.digest = "weights 2"
    evaluate_run(tmp_path, tiny_config, ["val"], ["shuffled"], Outside(rest, "x", options))
    whole = Counting()
    evaluate_run(tmp_path / "b", tiny_config, ["val"], ["shuffled"], Outside(whole))
    assert len(rest.asked) == len(whole.asked)


def test_each_is_answered_once_on_several_ranks(tmp_path, tiny_config, monkeypatch):
    split = open_split(tiny_config, "train")
    parts, models = [], [Counting(), Counting()]
    monkeypatch.setattr(
        "dghin.evaluation.evaluate.gather", lambda own, place: parts.append(own) or parts
    )
    for rank, model in enumerate(models):
        words = {"place": Place(rank, 2, None), "folder": tmp_path, "identity": "same"}
        if rank == 0:
            with pytest.raises(RuntimeError, match="rows for"):  # not all of them yet
                evaluate_with_controls(Outside(model), split, tiny_config, (), **words)
        else:
            rows = evaluate_with_controls(Outside(model), split, tiny_config, (), **words)[""]
    assert len(rows) == len(split)
    pairs = {(one.image, one.sentence) for one in split.expressions}  # the same words: asked once
    assert sum(len(model.asked) for model in models) == len(pairs)


def test_a_line_that_was_cut_off_or_of_others_is_passed_over(tmp_path):
    kept = Kept(tmp_path, "val", "a digest")
    kept.add("", [0, 1], [])
    kept.path.write_text(kept.path.read_text() + '{"digest": "a digest", "contr')
    again = Kept(tmp_path, "val", "a digest")
    assert again.get("", [0, 1]) == [] and again.get("", [2]) is None
    again.add("", [2], [])
    assert Kept(tmp_path, "val", "a digest").get("", [2]) == []
    assert Kept(tmp_path, "val", "another").known == {}


def test_stored_answers_are_predictions_that_score_the_same(tmp_path, tiny_config, tiny_model):
    rows = evaluate_run(tmp_path, tiny_config, ["val"], model=tiny_model)[""]["val"]
    split = open_split(tiny_config, "val")
    found = read_predictions(RunFolder(tmp_path).answers("val"), {"val": split})["val"]
    samples = stored_samples(tmp_path, split, [0, 3])
    for index, sample in zip([0, 3], samples, strict=True):
        assert (found.answer(index).values == sample.prediction).all()
        area = (
            rows["strict_union"][index] + rows["strict_intersection"][index] - rows["area"][index]
        )
        assert sample.prediction.sum() == area
    assert json.loads(RunFolder(tmp_path).answers("val").read_text().splitlines()[0])["sent_id"]


def test_nothing_stored_is_said(tmp_path, tiny_config):
    with pytest.raises(UserError, match="no stored answers. Score the run again"):
        stored_samples(tmp_path, open_split(tiny_config, "val"), [0])
