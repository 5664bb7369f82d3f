"""Names compared: prefixes come off, and nothing stays random, or is dropped, in silence."""

import pytest
import torch
from torch import nn

from data_preprocess.base.errors import UserError
from dghin.model.weights.names import PREFIXES, load_weights, without_prefix


def model():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


STATE = {name: torch.randn_like(value) for name, value in model().state_dict().items()}


@pytest.mark.parametrize("prefix", ["", *PREFIXES, "module.model.", "module.0.auto_model.",
                                    "_orig_mod.module.", "model.text_encoder.bert."])  # fmt: skip
def test_every_entry_is_the_files(prefix):
    state = {prefix + name: value for name, value in STATE.items()}
    state["decode_head.weight"] = torch.ones(1)  # another network's, beside it
    found = without_prefix(state, STATE)
    if prefix:
        assert found.keys() == STATE.keys()
    own = model()
    load_weights(own, found, "w.pth", may_be_more=("decode_head.",))
    assert all(torch.equal(value, STATE[name]) for name, value in own.state_dict().items())


def test_of_two_networks_the_one_that_fits():
    other = {f"encoder.{name}": torch.zeros(1) for name in ("x", "y")}
    state = other | {f"backbone.{name}": value for name, value in STATE.items()}
    assert without_prefix(state, STATE).keys() == STATE.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None}, r'1 missing, 0 unexpected.*"missing": \["0.weight"\]'),
        ({"x.weight": torch.ones(1)}, r'0 missing, 1 unexpected.*"unexpected": \["x.weight"\]'),
        ({"0.weight": torch.ones(3)}, r"0.weight: \(3,\) there, \(3, 2\) here"),
    ],
)
def test_differences_are_named_and_nothing_is_loaded(change, message):
    own = model()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    state = {k: v for k, v in {**STATE, **change}.items() if v is not None}
    with pytest.raises(UserError, match=f"w.pth: the weights of another model: .*{message}"):
        load_weights(own, state, "w.pth")
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())


def test_what_may_miss_and_what_may_be_more():
    own = model()
    before = own.state_dict()["1.bias"].clone()
    state = {k: v for k, v in STATE.items() if k != "1.bias"} | {"head.weight": torch.ones(1)}
    load_weights(own, state, "w.pth", ("1.bias",), ("head.",))
    assert torch.equal(own.state_dict()["1.bias"], before)
    assert torch.equal(own.state_dict()["0.weight"], STATE["0.weight"])
