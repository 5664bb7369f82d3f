"""What a frozen encoder gives, looked up, equals what it computes."""

from dataclasses import replace

import pytest
import torch

from data_preprocess.base.errors import UserError
from dghin.data.batches import collate, language_batch
from dghin.data.dataset import open_split
from dghin.model.dghin import DGHIN
from dghin.run.processes import Place
from dghin.training.frozen import encode_once
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
            monkeypatch.setattr("dghin.training.frozen._encode", None)
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


def frozen(config, **train):
    settings = {"backbone_learning_rate_scale": 0.0, "keep_maps": True, "workers": 0, **train}
    return replace(config, train=replace(config.train, **settings))


@pytest.mark.parametrize("flip", [0.0, 1.0], ids=["as they are", "mirrored"])
def test_maps_that_are_kept_are_those_of_the_photos(tiny_config, tmp_path, flip):
    trainer = Trainer(frozen(tiny_config, flip=flip), tmp_path, ALONE)
    model, samples = trainer.model, trainer.train_set
    (batch,) = next(trainer.steps())
    assert isinstance(batch["image"], tuple)
    trainer.stepper.training_mode()
    plain = samples.dataset if flip else samples
    plain.maps = None
    photos = collate([samples[i] for i in batch["index"].tolist()], share_images=True)
    with torch.no_grad():
        computed = model.look(photos["image"])
    for kept, one in zip(batch["image"], computed, strict=True):
        torch.testing.assert_close(kept, one, atol=1e-4, rtol=1e-4)


def test_the_norm_of_colours_is_that_of_all_training_photos(tiny_config, tmp_path):
    """It is frozen: a step changes neither its numbers nor the maps."""
    trainer = Trainer(frozen(tiny_config), tmp_path, ALONE)
    split, norm = trainer.train_set, trainer.model.image_norm
    names = {expression.image for expression in split.expressions}
    colours = torch.stack([split.resized_image(name) for name in names]).double()
    mean = colours.mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-5, atol=0)
    variance = colours.var((0, 2, 3), correction=0)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-5, atol=0)
    before = {name: x.clone() for name, x in norm.state_dict().items()}
    trainer.stepper.training_mode()
    trainer.stepper.step(next(trainer.steps()), 1e-2)
    assert all(torch.equal(x, before[name]) for name, x in norm.state_dict().items())


def test_too_many_photos_are_computed_as_ever(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("dghin.training.frozen.LIMIT", 1)
    trainer = Trainer(frozen(tiny_config), tmp_path, ALONE)
    (batch,) = next(trainer.steps())
    assert isinstance(batch["image"], torch.Tensor)
    assert not any(p.requires_grad for p in trainer.model.image_norm.parameters())


def test_maps_of_a_pyramid_that_learns_are_refused(tiny_config, tmp_path):
    with pytest.raises(UserError, match=r"train\.backbone_learning_rate_scale=0"):
        Trainer(frozen(tiny_config, backbone_learning_rate_scale=1.0), tmp_path, ALONE)
