"""A frozen text encoder's sentences, looked up, equal those computed."""

from dataclasses import replace

import pytest
import torch

from dghin.data.batches import language_batch
from dghin.data.dataset import open_split
from dghin.model.dghin import DGHIN
from dghin.run.processes import Place
from dghin.training.frozen_text import encode_once
from dghin.training.trainer import Trainer

ALONE = Place(0, 1, torch.device("cpu"))


def test_frozen_sentences_are_looked_up_and_the_same(tiny_config, tmp_path, monkeypatch):
    config = replace(tiny_config, train=replace(tiny_config.train, text_learning_rate_scale=0.0))
    trainer = Trainer(config, tmp_path, ALONE)
    (batch,) = next(trainer.steps())
    model, words = trainer.model, (batch["word_ids"], batch["attention_mask"])
    computed = model.text_encoder(*words).last_hidden_state
    monkeypatch.setattr(model.text_encoder, "forward", lambda **_: pytest.fail("computed"))
    torch.testing.assert_close(model.encode_text(*words), computed)
    monkeypatch.undo()
    words[0][0, 1] = 99  # a sentence that is not in the data
    computed = model.text_encoder(*words).last_hidden_state
    assert torch.equal(model.encode_text(*words), computed)


def test_encoded_sentences_are_kept_for_the_next_training(tiny_config, tmp_path, monkeypatch):
    """Read from the file they are the same bits; other weights make a file of their own."""
    split = open_split(tiny_config, "val")
    torch.manual_seed(0)
    models = [DGHIN(tiny_config.model).eval() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    words, _ = language_batch(split.features[slice(5)])
    words.pop("pos")
    words = {name: x.long() for name, x in words.items()}
    seen = []
    for number, model in enumerate(models):
        if number:  # it must not compute them again
            monkeypatch.setattr("dghin.training.frozen_text._encode", None)
        encode_once(model, [split], ALONE, tmp_path / "encoded")
        seen.append(model.encode_text(**words))
    assert torch.equal(*seen) and len(list((tmp_path / "encoded").iterdir())) == 1
    monkeypatch.undo()
    (kept,) = (tmp_path / "encoded").iterdir()
    kept.unlink()  # not written over: the tensors read from it still lie there
    kept.write_bytes(b"damaged")
    encode_once(models[1], [split], ALONE, tmp_path / "encoded")
    assert torch.equal(models[1].encode_text(**words), seen[0])
    other = DGHIN(tiny_config.model).eval()
    encode_once(other, [split], ALONE, tmp_path / "encoded")
    assert len(list((tmp_path / "encoded").iterdir())) == 2
    assert not torch.equal(other.encode_text(**words), seen[0])
