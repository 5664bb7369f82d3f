"""What a model is asked under a control, and its answers with the same ids."""

import json

import numpy as np
import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.raw.segmentation import run_lengths
from dghin.evaluation.controls import Altered
from dghin.evaluation.predictions import read_predictions
from dghin.evaluation.predictions.write import answer_line, request, write_answers


def test_answers_to_requests_are_read_back(tmp_path, split, masks):
    items = [
        request("shuffled", "val", e, sentence=split.expressions[-1].sentence)
        for e in split.expressions
    ]
    items += [request("blind", "val", e, sentence="") for e in split.expressions]
    write_answers(tmp_path / "requests.jsonl", items)
    asked = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert set(asked[0]) == {"control", "split", "segment_id", "sentence_index", "sent_id", "image",
                             "sentence"}  # fmt: skip
    assert asked[0]["sentence"] == split.expressions[-1].sentence
    assert (asked[-1]["sentence"], asked[-1]["image"]) == ("", split.expressions[-1].image)

    every, count = np.arange(len(split)), len(split)
    asked_under = {
        "shuffled": Altered(every, None, [split.expressions[-1].sentence] * count, {}),
        "blind": Altered(every, None, [""] * count, {}),
    }
    drawn = [*masks, *(~mask for mask in masks)]
    answers = [line | run_lengths(mask) for line, mask in zip(asked, drawn, strict=True)]
    plain = [answer_line(split.truth(i), e) for i, e in enumerate(split.expressions)]
    write_answers(tmp_path / "a.jsonl", [*plain, *answers])
    for control, expected in (
        ("", [split.truth(i) for i in range(len(split))]),
        ("shuffled", masks),
        ("blind", [~mask for mask in masks]),
    ):
        questions = {"val": asked_under[control]} if control else None
        found = read_predictions(
            tmp_path / "a.jsonl", {"val": split}, control=control, questions=questions
        )["val"]
        values = [found.answer(index).values for index in range(len(split))]
        assert all((a == b).all() for a, b in zip(values, expected, strict=True)), control
    with pytest.raises(UserError, match="of the control 'other-image'"):
        read_predictions(tmp_path / "a.jsonl", {"val": split}, control="other-image")
