"""Names of the original become ours; what has no place is refused."""

import json

import pytest
import torch
from helpers.tiny import GOLDEN

from data_preprocess.base.errors import UserError
from dghin.model.dghin import DGHIN
from dghin.model.original import convert_state_dict, read_checkpoint
from dghin.run.config import ModelConfig


def test_every_name_of_the_original_has_its_place():
    recorded = json.loads((GOLDEN / "state_dict.json").read_text())
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape, _ in recorded}
        ours = DGHIN(ModelConfig()).state_dict()
    found = convert_state_dict(state)
    assert found.keys() == ours.keys()
    assert all(found[name].shape == ours[name].shape for name in ours)


def test_a_name_without_a_place_is_refused():
    with pytest.raises(UserError, match="decoder.unheard_of.weight"):
        convert_state_dict({"decoder.unheard_of.weight": torch.zeros(1)})


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    path = tmp_path / "model.pth"
    with pytest.raises(UserError, match="model.pth"):
        read_checkpoint(path)
    path.write_text("<html>")
    with pytest.raises(UserError, match="model.pth"):
        read_checkpoint(path)
