"""The explorer: every control changes what is shown, and what is shown is what was computed."""

import numpy as np
import pytest
from PIL import Image

from data_preprocess.base.errors import UserError
from dghin.demo.explorer import explore, explorer_figure, has_front_end, short_names
from dghin.inspection.observe import STAGES
from dghin.inspection.predictor import Predictor


@pytest.fixture
def photos():
    random = np.random.default_rng(0)
    made = [Image.fromarray(random.integers(0, 255, (40, 60, 3), np.uint8)) for _ in range(2)]
    return {"one.jpg": (made[0], "the left cat"), "two.jpg": (made[1], "a dog")}


@pytest.fixture
def explorer(predictor, photos):
    return explore(predictor, photos)


def test_it_begins_with_the_first_photo_and_its_expression(explorer):
    assert explorer.image.value == "one.jpg" and explorer.expression.value == "the left cat"
    assert [name for name, _ in explorer.word.options] == ["[CLS]", "the", "left", "cat"]
    assert explorer.stage.options == tuple(STAGES) and explorer.level.options == (1, 2, 3)
    for picture in (explorer.photo.png, explorer.view.value):
        assert bytes(picture).startswith(b"\x89PNG")
    assert "“the left cat”: " in explorer.message.value


@pytest.mark.parametrize(
    ("control", "value"),
    [("level", 3), ("stage", "graph level"), ("word", 1), ("place", [0.1, 0.9])],
)
def test_every_control_changes_the_view(explorer, control, value):
    before, mask = explorer.view.value, explorer.result.mask
    if control == "place":
        explorer.photo.place = value
    else:
        getattr(explorer, control).value = value
    assert explorer.view.value != before and explorer.result.mask is mask


def test_another_expression_is_read_about_the_same_photo(explorer, predictor, photos, monkeypatch):
    monkeypatch.setattr(predictor, "encode", lambda _: 1 / 0)  # the photo is not encoded again
    explorer.expression.value = "the dog on the right"
    expected = Predictor.predict(predictor, explorer.encoded, "the dog on the right")
    assert np.array_equal(explorer.result.mask, expected.mask)
    assert explorer.word.options[-1][0] == "right"


def test_another_photo_brings_its_expression(explorer, predictor, photos):
    explorer.image.value = "two.jpg"
    assert explorer.expression.value == "a dog"
    expected = predictor.predict(*photos["two.jpg"])
    assert np.array_equal(explorer.result.mask, expected.mask)


def test_an_expression_that_cannot_be_read_says_so_and_the_view_stays(explorer):
    before = explorer.view.value
    for text in ("  ", "a" * 301):
        explorer.expression.value = text
        assert explorer.message.value.startswith("<b>") and explorer.view.value == before
        assert "file" not in explorer.message.value  # it speaks to someone at a screen
    explorer.expression.value = "<i>cat</i>"
    assert "&lt;i&gt;" in explorer.message.value and "<i>" not in explorer.message.value


def test_what_is_not_read_of_an_expression_is_said(explorer, predictor):
    explorer.expression.value = " ".join(["cat"] * predictor.model.config.words)
    assert "too long" in explorer.message.value and "“cat” is not" in explorer.message.value
    explorer.expression.value = "the \u2603"
    assert "none of these words" in explorer.message.value


def test_a_photo_that_cannot_be_read_leaves_no_older_one_in_sight(predictor, photos, tmp_path):
    (tmp_path / "broken.jpg").write_text("no photo")
    explorer = explore(predictor, photos | {"broken.jpg": (tmp_path / "broken.jpg", "a dog")})
    explorer.image.value = "broken.jpg"
    assert "broken.jpg: not readable" in explorer.message.value
    assert explorer.photo.png == explorer.view.value == b""
    explorer.expression.value = "a cat"
    explorer.level.value = 3
    assert "broken.jpg: not readable" in explorer.message.value
    explorer.image.value = "two.jpg"
    assert "“a dog”" in explorer.message.value and explorer.view.value


def test_images_have_short_names(predictor, photos):
    long = "COCO_train2014_000000581857.jpg"
    assert short_names([long, "a/b.jpg"]) == ["581857", "b"]
    assert short_names(["a/1.jpg", "b/1.jpg"]) == ["a/1.jpg", "b/1.jpg"]
    explorer = explore(predictor, {long: photos["one.jpg"]})
    assert explorer.image.label == "581857" and explorer.image.value == long


def test_the_view_beside_the_photo_does_not_show_it_again(explorer):
    assert len(explorer.figure().axes) == len(explorer.figure(with_photo=False).axes) + 1


def test_panels_show_the_words_and_the_patchs_shares(predictor, photos):
    photo, text = photos["one.jpg"]
    result = predictor.predict(photo, text, inspect=True)
    figure = explorer_figure(np.asarray(photo), result, (0.9, 0.1), level=2, word=3, graph=True)
    panels = figure.axes[:3]
    word, patch = (axes.images[-1].get_array() for axes in panels[1:])
    expected = result.seen.word_attention(2, graph=True)[0, 3]
    np.testing.assert_allclose(word, 100 * expected, rtol=1e-5)
    np.testing.assert_allclose(patch, 100 * result.seen.visual_rows(2, [12])[0, 0], rtol=1e-5)
    assert "“cat”" in panels[1].get_xlabel()


def test_who_can_click(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert not has_front_end() and has_front_end("yes")
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/05.ipynb")
    assert has_front_end() and not has_front_end("no")
    with pytest.raises(UserError, match="interactive='maybe'"):
        has_front_end("maybe")


def test_no_photos(predictor):
    with pytest.raises(UserError, match="photos: none"):
        explore(predictor, {})
