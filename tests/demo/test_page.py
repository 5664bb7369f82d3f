"""The demo page: its pictures and limits without a browser, and once in a real one."""

import io
import sys

import numpy as np
import pytest
import requests
from helpers.pages import needs_browser
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image

from data_preprocess.base.errors import UserError
from dghin.commands import demo as command
from dghin.demo import server as demo
from dghin.demo.views import (
    SHOWN,
    Given,
    Limits,
    SeenPhotos,
    attention_figure,
    checked_phrase,
    effects_html,
    error_html,
    marked,
    mask_picture,
    patch_figure,
    read_upload,
    reading_notes,
    shown,
    summary,
)
from dghin.inspection.observe import stages_of
from dghin.inspection.word_effects import word_effects
from dghin.report.figures.curves import VERMILLION
from dghin.run.config import load_config, save_config

CROSS = 255 * np.array(to_rgb(VERMILLION))  # the colour of what marks a place
LITERAL = "the *left* <b>cat</b> {{value}} ${value} $a_1$ _b_"  # an example's, of conftest.py


# ---- uploads


def test_an_upload_is_read_upright(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    photo.save(tmp_path / "photo.png", exif=exif)
    read = read_upload(tmp_path / "photo.png", Limits())
    assert read.mode == "RGB" and read.size == (40, 60)
    photo.convert("RGBA").save(tmp_path / "clear.png")
    assert np.array_equal(read_upload(tmp_path / "clear.png", Limits()), photo)


@pytest.mark.parametrize(
    "content", [b"", b"no photo at all", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0"]
)
def test_a_broken_upload_is_said_to_be_one(content, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(UserError, match="^photo.jpg: not readable as a photo"):
        read_upload(tmp_path / "photo.jpg", Limits())


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "gif", "tif"])
def test_a_photo_that_breaks_off_is_a_broken_one(kind, photo, tmp_path):
    path = tmp_path / f"photo.{kind}"
    photo.save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="not readable as a photo"):
        read_upload(path, Limits())


def test_too_many_bytes_or_pixels(photo, tmp_path, monkeypatch):
    """Too many pixels are refused by the header alone: nothing is decoded."""
    photo.save(tmp_path / "photo.png")
    with pytest.raises(UserError, match="photo.png: 0.00.* megabytes, and this page takes 0.001"):
        read_upload(tmp_path / "photo.png", Limits(megabytes=0.001))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    found = "0.0024 million pixels, and this page takes 0.002 million at most. Scale the photo down"
    with pytest.raises(UserError, match=f"^mine.png: 60 × 40 = {found}"):
        read_upload(tmp_path / "photo.png", Limits(megapixels=0.002), "mine.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=f"^photo.png: {found}"):
        read_upload(tmp_path / "photo.png", Limits(megapixels=0.002))


def test_a_size_just_above_the_limit_does_not_read_as_the_limit():
    message = str(Limits().too_many_bytes("a.jpg", 10_000_001))
    assert message.startswith("a.jpg: 10.0001 megabytes, and this page takes 10 at most. Choose a ")


def test_an_upload_that_is_no_longer_there(tmp_path):
    with pytest.raises(UserError, match="^mine.png: given too long ago, .* Drop it again"):
        read_upload(tmp_path / "photo.png", Limits(), "mine.png")


# ---- photos that are kept


def test_photos_past_the_bound_are_dropped_and_seen_again(predictor, photo):
    read = []
    looks = SeenPhotos(predictor, lambda given: read.append(given.origin) or photo, count=2)
    one, two, three = (Given(number) for number in range(3))
    before = looks.ask(one, "the left cat").prediction
    for given in (two, one, three):  # `one` was used after `two`
        looks.at(given)
    assert list(looks.kept) == [one, three] and read == [0, 1, 2]
    assert looks.asked(one, "the left cat").prediction is before
    looks.at(two), looks.at(three)
    assert one not in looks.kept
    again = looks.asked(one, "the left cat").prediction
    assert again is not before and np.array_equal(again.mask, before.mask)
    assert read == [0, 1, 2, 1, 2, 0]


def test_a_photo_goes_with_its_visitor(predictor, photo):
    looks = SeenPhotos(predictor, lambda _: photo, count=2)
    given, other = Given("photo.png"), Given("photo.png")
    assert looks.at(given) is not looks.at(other)
    del given
    assert list(looks.kept) == [other]


# ---- pictures and words


def test_a_mask_is_shown_on_its_pixels_alone():
    photo, mask = Image.new("RGB", (60, 40), "blue"), np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    picture = np.asarray(mask_picture(photo, mask))
    assert max(picture.shape) == SHOWN == max(shown(photo).size)
    changed = (picture != np.asarray(shown(photo))).any(axis=-1)
    rows, columns = np.nonzero(changed)
    scale = SHOWN / 60
    box = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
    assert box == pytest.approx([10 * scale, 20 * scale, 30 * scale, 50 * scale], abs=1)
    assert changed.sum() == pytest.approx(200 * scale**2, rel=0.02)


def test_what_is_drawn_of_a_prediction(predictor, photo):
    encoded = predictor.encode(photo)
    result = predictor.predict(encoded, "the left cat", inspect=True)
    figure = attention_figure(photo, result, 2, graph=True)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels[:6] == ["[CLS]", "the", "left", "cat", "[SEP]", "padding"]
    assert "level 2, graph level" in figure.get_suptitle()
    assert "“the left cat”: " in summary("the left cat", result)
    nothing = result._replace(mask=np.zeros((40, 60), bool))
    assert summary("cat", nothing) == "“cat”: nothing in the photo is marked."
    assert stages_of(predictor.model) == ["entity level", "graph level"]


def test_what_is_not_read_of_a_phrase_is_said(predictor, photo):
    """By what it is; the last word piece that has a place is read, though [SEP] has none."""
    words = predictor.model.config.words
    for count, unread in ((words - 1, ""), (words, "“cat”"), (words + 1, "“cat cat”")):
        text = " ".join(["cat"] * count)
        (note,) = reading_notes(predictor.encoder(text)) or [""]
        assert (f"first {words - 1} word pieces" in note) == bool(unread) and unread in note
        assert summary(text, predictor.predict(photo, text)).endswith(note)
    (half,) = reading_notes(predictor.encoder("the \u2603 cat"))
    assert half == "Note: the network does not know “\u2603”, and reads the rest."
    (note,) = reading_notes(predictor.encoder("\u2603"))
    assert "its mask says little" in note
    assert not reading_notes(predictor.encoder("the left cat"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "^There is no phrase yet. Type"),
        ("  ", "^There is no phrase yet. Type"),
        ("a" * 301, "^This phrase has 301 characters, and 300 are read at most"),
        ("\ud83d", "one that is no letter or sign"),
    ],
)
def test_a_phrase_that_cannot_be_read_is_said_to_who_typed_it(text, message):
    with pytest.raises(UserError, match=message) as error:
        checked_phrase(text)
    assert "file" not in str(error.value)
    assert checked_phrase("the left cat") == "the left cat"


def test_a_patch_needs_no_phrase_and_has_the_rows_of_one(predictor, photo, monkeypatch):
    encoded = predictor.encode(photo)
    seen = predictor.predict(encoded, "the left cat", inspect=True).seen
    drawn = {}
    monkeypatch.setattr(
        "dghin.demo.views.visual_graph_figure", lambda _, points, rows: drawn.update(rows)
    )
    patch_figure(predictor, encoded, (0.99, 0.0))  # bottom left
    for level, rows in drawn.items():
        height, width = seen.grid(level)
        expected = seen.visual_rows(level, [(height - 1) * width])[0]
        assert rows == pytest.approx(expected.numpy()) and rows.shape == (1, height, width)
    assert sorted(drawn) == [1, 2, 3]


def test_the_clicked_place_is_marked(predictor, photo):
    """By a cross on the photo, and by one and the patch's outline in the figure."""
    place = (0.25, 0.6)
    picture = np.asarray(marked(photo, place))
    rows, columns = np.nonzero((picture != np.asarray(shown(photo))).any(axis=-1))
    middle = np.array([place[0] * picture.shape[0], place[1] * picture.shape[1]])
    assert (rows.mean(), columns.mean()) == pytest.approx(middle, abs=1)
    assert np.ptp(rows) < 30 and np.ptp(columns) < 30
    assert picture[tuple(middle.astype(int))] == pytest.approx(CROSS, abs=1)
    first, *levels = patch_figure(predictor, predictor.encode(photo), place).axes[:4]
    (cross,) = first.lines
    assert (cross.get_ydata()[0], cross.get_xdata()[0]) == pytest.approx(middle, abs=1)
    for axes in levels:
        outlines = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert outlines and all(patch.get_bbox().contains(*middle[::-1]) for patch in outlines)


def test_the_table_of_words_and_errors_are_escaped(predictor, photo):
    table = effects_html(word_effects(predictor, photo, "the <b>left</b> cat"))
    assert "&lt;b&gt;left&lt;/b&gt;" in table and "<b>left" not in table
    assert table.count("<tr") == 1 + 3
    assert "one word" in effects_html([])
    assert "&lt;img&gt;.jpg: broken" in error_html("<img>.jpg: broken")


# ---- the command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run=none"], "none/train/best: no trained network. Run `make reproduce` first"),
        (["port=0"], "port=0: give a number from 1 to 65535"),
        (["port=often"], "port=often: expected a whole number, as 7860"),
        (["max_megabytes=-1"], "max_megabytes=-1.0: give a number above 0"),
        (["max_megapixels=many"], "max_megapixels=many: expected a number, as 25.0"),
        (["train.batch=3"], "unknown key 'train.batch'"),
        (["prot=3"], "Did you mean 'port'"),
    ],
)
def test_a_command_that_cannot_be_done(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        command.main(words)


def test_without_gradio_the_remedy_is_named(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "dghin.demo.page", raising=False)
    monkeypatch.delattr("dghin.demo.page", raising=False)
    with pytest.raises(UserError, match=r"pip install -e '\.\[demo\]'"):
        command.main([f"model={tmp_path}"])


def test_only_this_machine_can_open_the_page_unless_it_is_asked_for():
    assert command.read_command([])["host"] == "127.0.0.1"


def test_examples_are_the_validation_photos_of_the_run(tiny_config, tmp_path):
    values = command.read_command([f"reports={tmp_path}"])
    model = str(tmp_path / "demo" / "train" / "best")
    assert demo.examples_of(model, values) == []  # no run
    save_config(tiny_config, tmp_path / "demo" / "config.yaml")
    examples = demo.examples_of(model, values, count=2)
    assert len({image.tobytes() for image, _ in examples}) == len(examples) == 2
    assert all(text for _, text in examples)
    path = tmp_path / "demo" / "config.yaml"
    save_config(load_config(str(path), ["data.root=gone"]), path)
    assert demo.examples_of(model, values) == []
    here = values | {"data": tiny_config.data.root}
    again = demo.examples_of(model, here, count=2)
    assert [text for _, text in again] == [text for _, text in examples]


def test_what_the_network_was_trained_on(tiny_config, tmp_path):
    """From the run that the weights lie in, and from no other."""
    model = tmp_path / "demo" / "train" / "best"
    assert "is not known" in demo.training_of(str(model)) and "best" in demo.training_of(str(model))
    path = tmp_path / "demo" / "config.yaml"
    save_config(tiny_config, path)
    drawn = demo.training_of(str(model))
    assert "30 drawn scenes of coloured shapes (circle, square" in drawn
    assert "knows coloured shapes only" in drawn and "refcoco" not in drawn
    real = ["data.shapes=0", "data.dataset=refcoco+", "weights.network=reports/first"]
    save_config(load_config(str(path), real), path)
    assert "the data set refcoco+, split train" in demo.training_of(str(model))
    assert "started from the network reports/first" in demo.training_of(str(model))
    path.write_text("data: 3")
    assert "is not known" in demo.training_of(str(model))


# ---- the page in a browser


def test_the_server_takes_no_file_past_the_limit(address):
    """Whatever the browser does."""
    answers = [
        requests.post(f"{address}gradio_api/upload", files={"files": ("a.png", b"0" * size)})
        for size in (50_000, 200_000)
    ]
    assert [answer.status_code for answer in answers] == [200, 413]


def test_no_request_goes_past_the_queue(page, address):
    """What is answered one at a time would be answered beside it."""
    queued = [number for number, function in page.blocks.fns.items() if function.queue]
    assert queued
    for number in queued:
        body = {"fn_index": number, "data": [], "session_hash": "another"}
        answer = requests.post(f"{address}gradio_api/run/predict", json=body)
        assert answer.status_code == 404 and "join the queue" in answer.text


@pytest.mark.slow
@needs_browser
def test_a_photo_is_asked_about_in_a_browser(tab, photo, page, address, tmp_path):
    """Load, upload, type, find, another level, click on the picture, leave out words."""
    page.looks.count = 1  # another visitor's photo drives ours out
    tab.locator("#training").get_by_text("Trained on <i>a test</i>.").wait_for()
    photo.save(tmp_path / "photo.png")
    tab.locator("#upload input[type=file]").set_input_files(tmp_path / "photo.png")
    tab.locator("#photo img").wait_for()
    tab.get_by_label("What do you mean?").fill("the left cat")
    tab.get_by_role("button", name="Find it").click()
    tab.locator("#mask img").wait_for()
    tab.locator("#attention img[alt*='level 1, entity']").wait_for()
    tab.locator("#words img").wait_for()
    tab.locator("#summary").get_by_text("“the left cat”").wait_for()
    tab.locator("#level").get_by_label("3", exact=True).check()
    tab.locator("#attention img[alt*='level 3, entity']").wait_for()
    tab.locator("#photo img").click(position={"x": 40, "y": 90})
    tab.locator("#patches img").wait_for()
    tab.get_by_role("button", name="Leave out each word").click()
    tab.locator("#effects td").get_by_text("left cat", exact=True).wait_for()
    assert not tab.get_by_role("alert").is_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") == 390

    other = tab.context.browser.new_page()  # another visitor has no photo of ours
    other.goto(address)
    other.get_by_role("button", name="Find it").click()
    other.get_by_role("alert").get_by_text("There is no photo yet").wait_for()
    other.locator("#examples .thumbnail-item").first.click()
    other.locator("#mask img").wait_for()
    tab.locator("#level").get_by_label("2", exact=True).check()
    tab.locator("#attention img[alt*='level 2, entity']").wait_for()
    assert not tab.get_by_role("alert").is_visible()
    assert [url for url in tab.elsewhere if not url.startswith((address, "data:", "blob:"))] == []


@pytest.mark.slow
@needs_browser
def test_a_tall_photo_is_in_sight_with_its_answer_in_a_browser(tab):
    """Whole, in its shape, with the phrase as it was typed; a click on it is marked there."""
    tab.set_viewport_size({"width": 1300, "height": 900})
    example = tab.locator("#examples .thumbnail-item").nth(1)
    small, caption = example.locator("img"), example.locator(".caption-label")
    assert small.evaluate("image => getComputedStyle(image).objectFit") == "contain"
    assert caption.inner_text() == LITERAL
    below = small.bounding_box()["y"] + small.bounding_box()["height"]
    assert caption.bounding_box()["y"] >= below  # not on the photo
    example.click()
    summary, picture = tab.locator("#summary"), tab.locator("#photo img")
    summary.get_by_text(f"“{LITERAL}”: ").wait_for()
    tab.locator("#mask img").wait_for()
    for seen in (picture, tab.locator("#mask img")):
        box = seen.bounding_box()
        assert box["height"] <= 0.6 * 900 + 1
        assert box["width"] / box["height"] == pytest.approx(100 / 250, rel=0.02)
    assert summary.bounding_box()["y"] + summary.bounding_box()["height"] <= 900
    before = picture.get_attribute("src")
    picture.click(position={"x": 150, "y": 400})
    tab.locator("#patches img").wait_for()
    tab.locator(f'#photo img:not([src="{before}"])').wait_for()
    picture.evaluate("image => image.decode()")
    pixels = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB"))
    assert pixels[400, 150] == pytest.approx(CROSS, abs=10)
    tab.set_viewport_size({"width": 390, "height": 844})
    assert tab.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.slow
@needs_browser
def test_what_goes_wrong_is_said_in_words_in_a_browser(tab, predictor, tmp_path, monkeypatch):
    """And nothing stands that the words are not about; what succeeds takes them away."""
    (tmp_path / "broken.jpg").write_text("no photo at all")
    (tmp_path / "heavy & 'big'.jpg").write_bytes(b"0" * 200_000)
    Image.new("RGB", (200, 200)).save(tmp_path / "wide & <b>.png")  # names that servers change
    alert, find = tab.get_by_role("alert"), tab.get_by_role("button", name="Find it")
    example = tab.locator("#examples .thumbnail-item").first
    tab.get_by_role("button", name="Leave out each word").click()  # far down the page
    alert.get_by_text("Nothing was asked yet").wait_for()
    assert 0 <= alert.bounding_box()["y"] < 844
    for name, message in [
        ("broken.jpg", "broken.jpg: not readable as a photo"),
        ("heavy & 'big'.jpg", "heavy & 'big'.jpg: 0.2 megabytes, and this page takes 0.1 at most"),
        (
            "wide & <b>.png",
            "wide & <b>.png: 200 × 200 = 0.04 million pixels, and this page takes 0.02",
        ),
    ]:
        example.click()
        tab.locator("#mask img").wait_for()
        alert.wait_for(state="hidden")
        tab.locator("#upload input[type=file]").set_input_files(tmp_path / name)
        alert.get_by_text(message).wait_for()
        assert not tab.locator("#photo img").count() and not tab.locator("#mask img").count()
    example.click()
    alert.wait_for(state="hidden")
    assert tab.get_by_label("What do you mean?").input_value() == "the red star"
    monkeypatch.setattr(predictor, "predict", lambda *_, **__: 1 / 0)
    find.click()
    alert.get_by_text("Something went wrong that this page did not foresee").wait_for()
    assert not tab.locator("#mask img").count() and tab.locator("#photo img").count()
