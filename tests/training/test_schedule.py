"""The learning rates the original drives, recorded."""

import json

import numpy as np
import pytest
from helpers.tiny import GOLDEN

from data_preprocess.base.errors import UserError
from dghin.training.schedule import learning_rates, polynomial_learning_rates

RECORDS = json.loads((GOLDEN / "learning_rate.json").read_text())


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: str(r["train_expressions"]))
def test_recorded_learning_rates(record):
    rates = learning_rates(
        record["train_expressions"],
        record["batch_per_gpu"],
        record["gpus"],
        record["iterations_argument"],
        record["warmup_argument"],
    )
    assert len(rates) == record["total"]
    assert np.abs(rates[record["iterations"]] - record["lr"]).max() < 1e-12


def test_defaults_are_the_papers():
    rates = learning_rates(120_624)
    assert len(rates) == 106_666
    assert rates.max() == pytest.approx(3e-5) and rates[-1] == pytest.approx(3e-7)


def test_too_few_expressions_for_a_batch():
    with pytest.raises(UserError, match="10 training expressions.*train.batch"):
        learning_rates(10)


def test_polynomial_steps_every_iteration():
    rates = polynomial_learning_rates(100, warm=10, peak=1.0, final=0.0, power=0.9)
    assert rates[9] == pytest.approx(1.0) and rates[10] == pytest.approx(1.0)
    assert (np.diff(rates[10:]) < 0).all() and (np.diff(rates[:10]) > 0).all()
    assert rates[55] == pytest.approx(0.5**0.9)
