"""Predictor: the same mask as the evaluation's, every kind of image, folders, the command line."""

import io
import re

import numpy as np
import pytest
import torch
from helpers.raw_trees import LANGUAGE
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.language.encoder import LanguageEncoder
from dghin.commands.predict import OWN, main
from dghin.data.dataset import open_split
from dghin.evaluation.evaluate import evaluate_run
from dghin.evaluation.kept import stored_samples
from dghin.inspection.predictor import Predictor, overlay


def by_image(dataset):
    """{image: places of its expressions in the split}."""
    found = {}
    for index, expression in enumerate(dataset.expressions):
        found.setdefault(expression.image, []).append(index)
    return found


def test_the_evaluation_scores_these_very_masks(predictor, tiny_config, tmp_path):
    """To the last pixel, for every expression of a split."""
    dataset = open_split(tiny_config, "val")
    evaluate_run(tmp_path, tiny_config, ["val"], model=predictor.model)
    samples = stored_samples(tmp_path, dataset, range(len(dataset)))
    scored = [samples[i].prediction for members in by_image(dataset).values() for i in members]
    given = [
        (members, predictor.predict(dataset.image(members[0]), texts))
        for members in by_image(dataset).values()
        if (texts := [dataset.expressions[i].sentence for i in members])
    ]
    masks = [result.mask for _, results in given for result in results]
    assert len(masks) == len(scored) == len(dataset)
    assert all(np.array_equal(one, other) for one, other in zip(masks, scored, strict=True))
    assert any(mask.any() for mask in masks)


def test_one_expression_alone_has_the_same_mask(predictor, photo):
    texts = ["the left cat", "a dog", "the woman in the red coat", "cat"]
    together = predictor.predict(photo, texts)
    for text, result in zip(texts, together, strict=True):
        alone = predictor.predict(photo, text)
        # in a pass of its own rounding may differ, and with it a tied pixel
        assert (alone.mask != result.mask).sum() <= 2 and alone.pieces == result.pieces
        assert alone.score == pytest.approx(result.score, abs=1e-5)


def test_an_image_is_encoded_once(predictor, photo, monkeypatch):
    calls = []
    encode = predictor.model.encode_image
    monkeypatch.setattr(
        predictor.model, "encode_image", lambda image: (calls.append(1), encode(image))[1]
    )
    encoded = predictor.encode(photo)
    predictor.predict(encoded, "the left cat")
    results = predictor.predict(encoded, ["a dog"] * 20)
    assert len(calls) == 1
    assert results[2].pieces == ("[CLS]", "a", "dog")


def test_paths_arrays_tensors_and_images_agree(predictor, photo, tmp_path):
    array = np.asarray(photo)
    photo.save(tmp_path / "photo.png")
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    given = [tmp_path / "photo.png", str(tmp_path / "photo.png"), array, tensor, photo]
    results = [predictor.predict(image, "the left cat") for image in given]
    assert results[0].mask.shape == (40, 60)
    assert all(np.array_equal(results[0].mask, r.mask) for r in results)
    assert results[0].attention[1].shape == (17, 8, 8)
    assert results[0].pieces == ("[CLS]", "the", "left", "cat")


def test_a_photo_is_turned_as_its_camera_held_it(predictor, photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    photo.save(tmp_path / "photo.png", exif=exif)
    turned = predictor.predict(tmp_path / "photo.png", "cat")
    assert turned.mask.shape == (60, 40)
    upright = photo.transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(turned.mask, predictor.predict(upright, "cat").mask)


def test_bad_input(predictor, photo, tmp_path):
    with pytest.raises(UserError, match="nothing.jpg: no such image"):
        predictor.predict(tmp_path / "nothing.jpg", "cat")
    with pytest.raises(UserError, match="float64.*expected uint8"):
        predictor.predict(np.zeros((4, 4, 3)), "cat")
    with pytest.raises(UserError, match=r"tensor of torch.float32.*expected uint8 \(3, H, W\)"):
        predictor.predict(torch.zeros(3, 4, 4), "cat")
    with pytest.raises(UserError, match="a dict; expected a path"):
        predictor.predict({}, "cat")
    with pytest.raises(UserError, match="0 × 4 pixels"):
        predictor.predict(np.zeros((4, 0, 3), dtype=np.uint8), "cat")
    with pytest.raises(UserError):
        predictor.predict(photo, "  ")
    assert predictor.predict(photo, []) == []


def test_a_file_that_would_fill_the_memory_is_refused(predictor, photo, tmp_path, monkeypatch):
    photo.save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match="huge.png: not readable as an image .*decompression bomb"):
        predictor.predict(tmp_path / "huge.png", "cat")


def test_folder_and_command_line(tiny_model, tmp_path, capsys):
    tiny_model.language = LANGUAGE
    tiny_model.save_pretrained(tmp_path / "model")
    Image.new("RGB", (50, 30), "red").save(tmp_path / "photo.jpg")
    photo, model = str(tmp_path / "photo.jpg"), f"model={tmp_path / 'model'}"
    main([photo, "red square", "-o", str(tmp_path / "out.png"), model])
    mask = np.asarray(Image.open(tmp_path / "out.png"))
    expected = Predictor.from_pretrained(tmp_path / "model").predict(photo, "red square")
    assert np.array_equal(mask > 0, expected.mask)
    assert Image.open(tmp_path / "out_overlay.png").size == (50, 30)
    assert "out_overlay.png: " in capsys.readouterr().out
    main([photo, "a=b", f"output={tmp_path / 'm.png'}", f"overlay={tmp_path / 'o.jpg'}", model])
    assert (tmp_path / "m.png").is_file() and (tmp_path / "o.jpg").is_file()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (50, 30), "red").save(tmp_path / "photo.jpg", exif=exif)
    main([photo, " ".join(["red"] * 16), "-o", str(tmp_path / "out.png"), model])
    assert Image.open(tmp_path / "out.png").size == (30, 50)
    assert "reads 15 word pieces, and the phrase has 16" in capsys.readouterr().out
    main([photo, "red square", "-o", str(tmp_path / "out.png"), model, "upright=false"])
    assert Image.open(tmp_path / "out.png").size == (50, 30)
    assert "word pieces" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give a photo and a phrase: .*Neither was given"),
        (["cat"], "Give a photo and a phrase: .*Only .*cat was given"),
        (["photo.jpg", "cat", "dog"], "photo.jpg came 2 phrases: 'cat', 'dog'. Put one"),
        (["photo.jpg", "cat", "outptu=m.png"], "unknown key 'outptu'. Did you mean 'output'"),
        (["photo.jpg", "cat", "train.seed=1"], "unknown key 'train.seed'"),
        (["photo.jpg", "cat", "-o"], "-o: name the file to write"),
        (["photo.jpg", "cat", "-o", "mask.txt"], "mask.txt: no kind of picture"),
        (["nothing.jpg", "cat"], "nothing.jpg: no such image"),
        (["photo.jpg", "cat", "upright=perhaps"], "upright=perhaps: expected true or false"),
    ],
)
def test_a_command_that_cannot_be_done(words, message, tmp_path, monkeypatch):
    """It is refused before the network is loaded, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        main(words)
    assert not list(tmp_path.iterdir())


def test_what_is_printed_is_a_line_and_a_notebook_shows_a_picture(predictor, photo):
    encoded = predictor.encode(photo)
    result = predictor.predict(encoded, "the red square")
    for thing in (predictor, encoded, result, [result, result], result.language):
        assert len(repr(thing)) < 250 and "\n" not in repr(thing), repr(thing)
    assert repr(result).startswith("Prediction('the red square': ")
    assert f"{photo.width} × {photo.height} pixels" in repr(result)
    assert f"{result.score:.3f}" in repr(result) and "of 60 × 40" in repr(encoded)
    shown = Image.open(io.BytesIO(result._repr_png_()))
    assert np.array_equal(shown, overlay(photo, result.mask))
    large = result._replace(photo=photo.resize((1920, 1280)), mask=np.zeros((1280, 1920), bool))
    assert Image.open(io.BytesIO(large._repr_png_())).size == (640, 427)
    alone = Image.open(io.BytesIO(result._replace(photo=None)._repr_png_()))
    assert np.array_equal(np.asarray(alone) > 0, result.mask)


def test_help_lists_what_the_command_takes_and_nothing_else(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "dghin predict PHOTO PHRASE" in shown
    keys = re.findall(r"^  ([\w.]+)=", shown.partition("keys and their defaults:")[2], re.MULTILINE)
    assert keys == list(OWN) and "train." not in shown and "--settings" not in shown


def test_a_folder_without_language_is_refused(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="config.json: says nothing of the tokenizer"):
        Predictor.from_pretrained(tmp_path)


def test_saved_and_read_again_it_answers_the_same(predictor, photo, tmp_path):
    predictor.save_pretrained(tmp_path / "saved")
    again = Predictor.from_pretrained(tmp_path / "saved")
    assert again.encoder.settings() == predictor.encoder.settings()
    one, other = (p.predict(photo, "the left cat") for p in (predictor, again))
    assert np.array_equal(one.mask, other.mask) and one.score == other.score


def test_other_encoders_say_how_they_are_made_again(encoder):
    """Also where the tokenizer and the parser were given as objects."""
    made = LanguageEncoder(encoder.tokenizer, encoder.parser, alignment="aligned").settings()
    assert made["alignment"] == "aligned" and made["parser"] == LANGUAGE["parser"]
    assert LanguageEncoder(made["tokenizer"], encoder.parser)("a cat").pieces == ("a", "cat")


@pytest.fixture
def folder(tiny_model, tmp_path, photo, monkeypatch):
    """A folder with a photo and a model, in which one stands; → the words that name the model."""
    tiny_model.language = {**LANGUAGE, "alignment": "paper"}
    tiny_model.save_pretrained(tmp_path / "model")
    photo.save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return ["photo.png", "the red cat", "model=model"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "photo.png"], "output=photo.png: that is photo.png"),
        (["-o", "../x/photo.png"], "output=../x/photo.png: that is photo.png"),
        (["-o", "m.png", "overlay=photo.png"], "overlay=photo.png: that is photo.png"),
        (["-o", "link.png"], "output=link.png: that is photo.png"),
        (["-o", "m.png", "overlay=./m.png"], "overlay=./m.png: that is the mask's file"),
        (["-o", "m.jpg"], "output=m.jpg: it would change the mask's values.*m.png"),
        (["-o", "m.webp"], "output=m.webp: it would change"),
        (["-o", "m.ico"], "output=m.ico: no kind of picture"),
        (["-o", "m.h5"], "output=m.h5: no kind of picture"),
        (["-o", "m.png", "overlay=o.gif"], "overlay=o.gif: no kind of picture"),
        (["device=cuda:99"], "device=cuda:99: no such device here. Give one of: cpu"),
        (["device=gpu"], "device=gpu: no such device here"),
    ],
)
def test_nothing_is_written_over_or_in_a_wrong_way(folder, tmp_path, words, message):
    before = (tmp_path / "photo.png").read_bytes()
    (tmp_path / "link.png").symlink_to("photo.png")
    (tmp_path.parent / "x").unlink(missing_ok=True)
    (tmp_path.parent / "x").symlink_to(tmp_path)
    with pytest.raises(UserError, match=message):
        main([*folder, *words])
    assert (tmp_path / "photo.png").read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"model", "photo.png", "link.png"}


def test_an_overlays_usual_name_may_be_the_photo(folder, tmp_path):
    (tmp_path / "photo.png").rename(tmp_path / "x_overlay.png")
    with pytest.raises(UserError, match="overlay=x_overlay.png: that is x_overlay.png"):
        main(["x_overlay.png", *folder[1:], "-o", "x.png"])


def test_outputs_stand_where_one_stands(folder, tmp_path, monkeypatch, capsys):
    """In a checkout the root is entered; photo, model and mask are still where they were named."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "photo.png").rename(tmp_path / "docs" / "photo.png")
    monkeypatch.chdir(tmp_path / "docs")
    main([*folder[:2], "model=../model"])
    assert {p.name for p in (tmp_path / "docs").iterdir()} == {
        "photo.png", "mask.png", "mask_overlay.png"
    }  # fmt: skip


def test_an_answer_that_is_not_finite_is_none(predictor, photo):
    with torch.no_grad():
        predictor.model.head[-1].weight.fill_(float("nan"))
    with pytest.raises(UserError, match="'the cat': the network's output is not finite"):
        predictor.predict(photo, "the cat")


def test_words_that_cannot_be_read_are_said(predictor, photo, caplog):
    with pytest.raises(UserError, match="leaves no word"):
        predictor.predict(photo, ["the cat", "\u200b\u200d"])
    predictor.predict(photo, ["the cat", "the 🐶 on the left"])
    assert not caplog.records
    predictor.predict(photo, "红色 🐶")
    assert "knows none of these words: '红', '色', '🐶'" in caplog.text
