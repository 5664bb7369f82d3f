"""Answers: the form by shape and type, the protocols of a form, what cannot be one."""

import numpy as np
import pytest
import torch

from data_preprocess.base.errors import UserError
from dghin.evaluation.answers import PROTOCOLS, Answer, as_answer, check_protocol

SIZE = (6, 8)


@pytest.mark.parametrize("make", [np.asarray, lambda x: torch.from_numpy(np.asarray(x))])
@pytest.mark.parametrize(
    ("values", "form", "protocols"),
    [
        (np.ones(SIZE, bool), "mask", ("strict",)),
        (np.full(SIZE, 255, np.uint8), "mask", ("strict",)),
        (np.ones((4, 4), bool), "small", ("paper", "resized")),
        (np.full((4, 4), 0.5, np.float32), "probability", PROTOCOLS),
        (np.full(SIZE, 0.5, np.float32), "probability", ("strict", "threshold=0.35")),
        (np.zeros((2, 4, 4), np.float32), "logits", PROTOCOLS),
    ],
)
def test_the_form_decides_the_protocols(make, values, form, protocols):
    answer = as_answer(make(values), SIZE)
    assert (answer.form, answer.protocols) == (form, protocols)
    if form in ("mask", "small"):
        assert "bool" in str(answer.values.dtype) and bool(answer.values.all())


def test_a_square_mask_of_a_square_photo_is_at_its_size():
    assert as_answer(np.ones((6, 6), bool), (6, 6)).form == "mask"


def test_what_a_model_says_of_no_target_is_kept():
    given = Answer(np.zeros(SIZE, bool), "mask", True)
    assert as_answer(given, SIZE).no_target is True


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((6, 7), bool), "a mask of 6 × 7, but its photo has 6 × 8"),
        (np.array([[0, 128, 255, 0]], np.uint8), "values 0, 128, 255.*not as JPEG"),
        (np.full((2, 4, 4), np.nan, np.float32), "not finite"),
        (np.full((4, 4), np.inf, np.float32), "not finite"),
        (np.full((4, 4), 3.0, np.float32), "no probabilities .0 to 1.. Apply the sigmoid"),
        (np.full((4, 4), -0.1, np.float32), "no probabilities"),
        (np.zeros((3, 4, 4), np.float32), r"an array of shape \(3, 4, 4\)"),
        (np.zeros((0, 8), bool), "an array of shape"),
    ],
)
def test_what_is_no_answer_is_named(values, message):
    with pytest.raises(UserError, match=f"refcoco val 7/0: .*{message}"):
        as_answer(values, SIZE, "refcoco val 7/0")


def test_a_small_answer_is_square():
    with pytest.raises(UserError, match="no square"):
        as_answer(Answer(np.ones((4, 5), bool), "small"), SIZE)


def test_protocols_have_names():
    assert check_protocol("threshold=0.5") == "threshold=0.5"
    with pytest.raises(UserError, match="Did you mean 'strict'"):
        check_protocol("strikt")
