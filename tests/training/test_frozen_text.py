"""A frozen text encoder's sentences, looked up, equal those computed."""

import torch

from dghin.data.dataset import open_split
from dghin.run.processes import Place
from dghin.training.frozen_text import encode_once


def test_what_is_looked_up_is_what_is_computed(tiny_model, tiny_config):
    split = open_split(tiny_config, "val")
    word_ids = torch.from_numpy(split.features.word_ids[:5]).long()
    mask = torch.from_numpy(split.features.attention_mask[:5]).long()
    with torch.no_grad():
        computed = tiny_model.encode_text(word_ids, mask)
        encode_once(tiny_model, [split], Place(0, 1, torch.device("cpu")))
        found = tiny_model.encode_text(word_ids, mask)
        assert tiny_model.look_up(torch.full_like(word_ids, 29_999)) is None
    real = mask.bool()
    assert torch.allclose(found[real], computed[real], atol=1e-5)
