"""ReLA's detailed results: scores without masks."""

import json

import pytest

from data_preprocess.base.errors import UserError
from dghin.evaluation.answers import Counts
from dghin.evaluation.predictions import read_predictions


def result(expression, intersection=3, union=9, pred_nt=False, gt_nt=False):
    """An entry with the keys that ReLA's evaluation gives it."""
    info = {"raw": expression.sentence.title(), "sent_id": int(expression.sent_id),
            "ref_id": int(expression.segment_id)}  # fmt: skip
    return {
        "source": "grefcoco", "img_id": int(expression.image_id), "gt_nt": gt_nt,
        "pred_nt": pred_nt, "sent": info["raw"], "sent_info": info, "I": intersection, "U": union,
        "cIoU": intersection / union if union else 1.0,
    }  # fmt: skip


@pytest.fixture
def results(split):
    return [result(e, i, 10 + i) for i, e in enumerate(split.expressions)]


def test_scores_by_expression(tmp_path, split, results):
    results[2] = result(split.expressions[2], 0, 0, pred_nt=True, gt_nt=True)
    path = tmp_path / "grefcoco_unc_val_detailed_results.json"
    path.write_text(json.dumps(results[::-1], indent=4))
    for place in (path, tmp_path):
        found = read_predictions(place, {"val": split})["val"]
        assert (found.form, found.size, found.protocols) == ("counts", None, ("resized",))
        assert found.answer(4) == Counts(4, 14, "resized", False)
        assert found.answer(2) == Counts(0, 0, "resized", True)


@pytest.mark.parametrize("wrong", [(9, 3), (-1, 3), (1.5, 3), (None, 3), (True, 3), (1, 10**9)])
def test_what_are_no_pixels(tmp_path, split, results, wrong):
    results[1]["I"], results[1]["U"] = wrong
    (tmp_path / "a.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match="a.json, entry 1: I .* U .* are no pixels"):
        read_predictions(tmp_path / "a.json", {"val": split})


def test_scores_and_masks_do_not_mix(tmp_path, split, results):
    del results[1]["I"], results[1]["U"]
    results[1]["segmentation"] = {"size": [2, 3], "counts": [6]}
    (tmp_path / "a.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match="14 of the form counts, 1 of the form mask"):
        read_predictions(tmp_path / "a.json", {"val": split})
