"""Answers written as JSONL are read back."""

import json

import numpy as np
import pytest

from dghin.evaluation.predictions import read_predictions
from dghin.evaluation.predictions.write import answer_line, write_answers


def test_written_answers_are_read_back(tmp_path, split, masks):
    path = tmp_path / "new" / "a.jsonl"
    lines = (answer_line(m, e) for m, e in zip(masks, split.expressions, strict=True))
    write_answers(path, lines)
    first = json.loads(path.read_text().splitlines()[0])
    assert set(first) == {"segment_id", "sentence_index", "sent_id", "image", "sentence", "size",
                          "counts"}  # fmt: skip
    found = read_predictions(path, {"val": split})["val"]
    for index, mask in enumerate(masks):
        answer = found.answer(index)
        assert answer.form == "mask" and answer.no_target is None
        assert answer.values.dtype == bool and (answer.values == mask).all()


def test_no_target_is_read_back(tmp_path, split, masks):
    lines = [
        answer_line(mask, expression, no_target=not mask.any())
        for mask, expression in zip(masks, split.expressions, strict=True)
    ]
    write_answers(tmp_path / "a.jsonl", lines)
    found = read_predictions(tmp_path / "a.jsonl", {"val": split})["val"]
    assert found.answer(0).no_target is True and found.answer(1).no_target is False


def test_nothing_is_left_of_a_writing_that_failed(tmp_path, split):
    def lines():
        yield answer_line(split.truth(0), split.expressions[0])
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError):
        write_answers(tmp_path / "a.jsonl", lines())
    assert not list(tmp_path.iterdir())


def test_a_stack_is_no_mask(split):
    with pytest.raises(ValueError, match="shape \\(1, 2, 3\\)"):
        answer_line(np.zeros((1, 2, 3), bool), split.expressions[0])
