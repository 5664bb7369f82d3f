"""Names of the original become ours; what has no place is refused."""

import json

import pytest
import torch
from helpers.tiny import GOLDEN

from data_preprocess.base.errors import UserError
from dghin.model.dghin import DGHIN
from dghin.model.original import convert_state_dict, read_checkpoint
from dghin.run.config import ModelConfig


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


def test_paper_network_has_every_entry_of_the_original():
    with torch.device("meta"):
        own = {k: tuple(v.shape) for k, v in DGHIN(ModelConfig()).state_dict().items()}
    listed = json.loads((GOLDEN / "state_dict.json").read_text())
    assert len(listed) == 948
    converted = {
        ours: tuple(value.shape)
        for ours, value in convert_state_dict(
            {name: torch.empty(shape, device="meta") for name, shape, _ in listed}
        ).items()
    }
    assert converted == own
