"""The demo page: its pictures and limits without a browser, and once in a real one."""

import shutil
import socket
import sys

import numpy as np
import pytest
import requests
from PIL import Image

from data_preprocess.common import UserError
from dghin import demo
from dghin.config import load_config, save_config
from dghin.demo_views import (
    SHOWN,
    Limits,
    attention_figure,
    effects_html,
    error_html,
    mask_picture,
    patch_figure,
    read_upload,
    shown,
    summary,
)
from dghin.effects import word_effects
from dghin.inspect import stages_of

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
WAIT = 20_000  # milliseconds that the browser waits for something at most


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
    with pytest.raises(UserError, match="photo.png: larger than 0.001 megabytes"):
        read_upload(tmp_path / "photo.png", Limits(megabytes=0.001))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    with pytest.raises(UserError, match="60 × 40 pixels, and this page takes 0.002 million"):
        read_upload(tmp_path / "photo.png", Limits(megapixels=0.002))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match="far too many pixels"):
        read_upload(tmp_path / "photo.png", Limits())


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


def test_a_patch_needs_no_phrase_and_has_the_rows_of_one(predictor, photo, monkeypatch):
    encoded = predictor.encode(photo)
    seen = predictor.predict(encoded, "the left cat", inspect=True).seen
    drawn = {}
    monkeypatch.setattr(
        "dghin.demo_views.visual_graph_figure", lambda _, points, rows: drawn.update(rows)
    )
    patch_figure(predictor, encoded, (0.99, 0.0))  # bottom left
    for level, rows in drawn.items():
        height, width = seen.grid(level)
        expected = seen.visual_rows(level, [(height - 1) * width])[0]
        assert rows == pytest.approx(expected.numpy()) and rows.shape == (1, height, width)
    assert sorted(drawn) == [1, 2, 3]


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
        (["port=often"], "port=often: give a number"),
        (["max_megabytes=-1"], "max_megabytes=-1: give a number above 0"),
        (["max_megapixels=many"], "max_megapixels=many: give a number above 0"),
        (["train.batch=3"], "train.batch=3: the network has its settings already"),
        (["prot=3"], "Did you mean 'port'"),
    ],
)
def test_a_command_that_cannot_be_done(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        demo.main(words)


def test_without_gradio_the_remedy_is_named(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "dghin.demo_page", raising=False)
    monkeypatch.delattr("dghin.demo_page", raising=False)
    with pytest.raises(UserError, match=r"pip install -e '\.\[demo\]'"):
        demo.main([f"model={tmp_path}"])


def test_only_this_machine_can_open_the_page_unless_it_is_asked_for():
    assert demo.read_command([])["host"] == "127.0.0.1"


def test_examples_are_the_validation_photos_of_the_run(tiny_config, tmp_path):
    values = demo.read_command([f"reports={tmp_path}"])
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


# ---- the page in a browser


@pytest.fixture
def address(predictor, photo):
    """The page of a tiny network at a free port, with one example."""
    demo_page = pytest.importorskip("dghin.demo_page", exc_type=ImportError)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    limits = Limits(megabytes=0.1, megapixels=0.02)
    page = demo_page.Page(predictor, limits, [(photo, "the red star")])
    yield demo_page.serve(page, "127.0.0.1", port)
    page.blocks.close(verbose=False)


@pytest.fixture
def tab(address):
    """A browser's tab with the page; what it asks of other machines is kept in `elsewhere`."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        tab.set_default_timeout(WAIT)
        tab.elsewhere = []
        tab.on("request", lambda request: tab.elsewhere.append(request.url))
        tab.goto(address)
        yield tab
        browser.close()


def test_the_server_takes_no_file_past_the_limit(address):
    """Whatever the browser does."""
    answers = [
        requests.post(f"{address}gradio_api/upload", files={"files": ("a.png", b"0" * size)})
        for size in (50_000, 200_000)
    ]
    assert [answer.status_code for answer in answers] == [200, 413]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_photo_is_asked_about_in_a_browser(tab, photo, address, tmp_path):
    """Load, upload, type, find, another level, click on the picture, leave out words."""
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
    assert [url for url in tab.elsewhere if not url.startswith((address, "data:", "blob:"))] == []


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_what_goes_wrong_is_said_in_words_in_a_browser(tab, predictor, tmp_path, monkeypatch):
    """And nothing stands that the words are not about; what succeeds takes them away."""
    (tmp_path / "broken.jpg").write_text("no photo at all")
    (tmp_path / "heavy.jpg").write_bytes(b"0" * 200_000)
    Image.new("RGB", (200, 200)).save(tmp_path / "wide.png")
    alert, find = tab.get_by_role("alert"), tab.get_by_role("button", name="Find it")
    tab.get_by_role("button", name="Leave out each word").click()  # far down the page
    alert.get_by_text("Nothing was asked yet").wait_for()
    assert 0 <= alert.bounding_box()["y"] < 844
    for name, message in [
        ("broken.jpg", "broken.jpg: not readable as a photo"),
        ("heavy.jpg", "larger than 0.1 megabytes"),
        ("wide.png", "wide.png: 200 × 200 pixels, and this page takes 0.02 million"),
    ]:
        tab.locator("#examples .thumbnail-item").click()
        tab.locator("#mask img").wait_for()
        alert.wait_for(state="hidden")
        tab.locator("#upload input[type=file]").set_input_files(tmp_path / name)
        alert.get_by_text(message).wait_for()
        assert not tab.locator("#photo img").count() and not tab.locator("#mask img").count()
    tab.locator("#examples .thumbnail-item").click()
    alert.wait_for(state="hidden")
    assert tab.get_by_label("What do you mean?").input_value() == "the red star"
    monkeypatch.setattr(predictor, "predict", lambda *_, **__: 1 / 0)
    find.click()
    alert.get_by_text("Something went wrong that this page did not foresee").wait_for()
    assert not tab.locator("#mask img").count() and tab.locator("#photo img").count()
