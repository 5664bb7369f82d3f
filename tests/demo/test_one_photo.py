"""Photo, mask and graphs are always of one photo, however fast a visitor clicks (in a browser)."""

import threading

import pytest
from helpers.pages import needs_browser
from PIL import Image

pytestmark = needs_browser
EXAMPLES, UPLOAD = [(640, 427), (256, 640)], (640, 320)  # sizes on the page
DELAYS = range(0, 301, 40)  # milliseconds between a choice and a question
TWICE = 2
ALL_SHOW = """sizes => ["#photo img", "#mask img"].every((name) => {
  const image = document.querySelector(name);
  return image && image.naturalWidth === sizes[0] && image.naturalHeight === sizes[1];
})"""


class Held:
    """A function that waits before it works, until it is let go."""

    def __init__(self, work):
        self.work, self.called = work, []
        self.started, self.free = threading.Event(), threading.Event()

    def __call__(self, *given, **words):
        self.called.append(given)
        self.started.set()
        assert self.free.wait(60)
        return self.work(*given, **words)


def example(tab, index):
    return tab.locator("#examples .thumbnail-item").nth(index)


def find(tab):
    return tab.get_by_role("button", name="Find it")


def text(tab):
    return tab.get_by_label("What do you mean?")


def wait_until_ready(tab):
    tab.locator("#submit:not([disabled])").wait_for()


def show(tab, index):
    """An example, with all that it brings."""
    example(tab, index).click()
    wait_until_ready(tab)
    tab.wait_for_function(ALL_SHOW, arg=EXAMPLES[index])


@pytest.fixture
def upload(tmp_path):
    Image.new("RGB", (100, 50), "olive").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_of_photos_chosen_in_haste_the_last_is_shown_and_marked(tab, page, predictor, monkeypatch):
    """Those between are not even read; buttons and Enter wait."""
    encode, predict = Held(predictor.encode), Held(predictor.predict)
    predict.free.set()
    monkeypatch.setattr(predictor, "encode", encode)
    monkeypatch.setattr(predictor, "predict", predict)
    for index in (0, 1, 0, 1):
        with tab.expect_response("**/predict*"):  # the page knows of the choice
            example(tab, index).click()
        assert encode.started.wait(60)
    assert find(tab).is_disabled()
    assert tab.get_by_role("button", name="Leave out each word").is_disabled()
    text(tab).fill("typed meanwhile")
    text(tab).press("Enter")
    encode.free.set()
    wait_until_ready(tab)
    tab.wait_for_function(ALL_SHOW, arg=EXAMPLES[1])
    assert [photo.size for (photo,) in encode.called] == [(60, 40), (100, 250)]
    _, last = page.examples[1]
    assert text(tab).input_value() == last
    assert [asked for _, asked in predict.called][-1] == last and len(predict.called) == 2
    assert example(tab, 1).evaluate("item => item.classList.contains('selected')")
    assert not example(tab, 0).evaluate("item => item.classList.contains('selected')")


@pytest.mark.slow
def test_a_question_under_way_ends_before_another_photo_comes(tab, predictor, upload, monkeypatch):
    """And the gallery marks no example beside a photo of one's own."""
    show(tab, 0)
    predict = Held(predictor.predict)
    monkeypatch.setattr(predictor, "predict", predict)
    find(tab).click()
    assert predict.started.wait(60)
    tab.locator("#upload input[type=file]").set_input_files(upload)
    assert find(tab).is_disabled()
    predict.free.set()
    find(tab).click()  # as soon as it can be
    tab.wait_for_function(ALL_SHOW, arg=UPLOAD)
    assert not tab.locator("#examples .selected").count()


@pytest.mark.slow
def test_level_and_words_are_changed_while_a_question_is_under_way(tab, predictor, monkeypatch):
    show(tab, 0)
    predict = Held(predictor.predict)
    monkeypatch.setattr(predictor, "predict", predict)
    text(tab).fill("the left cat")
    find(tab).click()
    assert predict.started.wait(60)
    for level in ("2", "3"):
        tab.locator("#level").get_by_label(level, exact=True).check()
    text(tab).fill("a dog")
    text(tab).press("Enter")
    predict.free.set()
    tab.locator("#summary").get_by_text("“a dog”").wait_for()
    tab.locator("#words img[alt*='a dog']").wait_for()
    tab.locator("#attention img[alt*='level 3, entity']").wait_for()
    assert [asked for _, asked in predict.called] == ["the left cat", "a dog"]


@pytest.mark.slow
def test_a_place_on_a_photo_is_not_looked_up_on_another_one(tab, predictor, monkeypatch):
    show(tab, 0)
    encode = Held(predictor.encode)
    monkeypatch.setattr(predictor, "encode", encode)
    example(tab, 1).click()
    assert encode.started.wait(60)
    tab.locator("#photo button:has(img)").press("ArrowDown")  # clicks are kept off meanwhile
    encode.free.set()
    wait_until_ready(tab)
    text(tab).fill("asked after it")
    find(tab).click()
    tab.locator("#summary").get_by_text("asked after it").wait_for()
    assert not tab.locator("#patches img").count()
    tab.wait_for_function(ALL_SHOW, arg=EXAMPLES[1])


@pytest.mark.slow
def test_two_tabs_have_a_photo_each(tab, address):
    other = tab.context.browser.new_page()
    other.goto(address)
    for index, one in enumerate((tab, other)):
        example(one, index).click()
    for index, one in enumerate((tab, other)):
        wait_until_ready(one)
        text(one).fill(f"cat {index}")
    for one in (tab, other):
        find(one).click()
    for index, one in enumerate((tab, other)):
        one.locator("#summary").get_by_text(f"“cat {index}”").wait_for()
        one.wait_for_function(ALL_SHOW, arg=EXAMPLES[index])


@pytest.mark.slow
def test_an_upload_that_fails_gives_the_buttons_back(tab, upload):
    show(tab, 0)
    tab.route("**/upload?*", lambda route: route.abort())
    tab.locator("#upload input[type=file]").set_input_files(upload)
    wait_until_ready(tab)
    text(tab).fill("still the first")
    find(tab).click()
    tab.locator("#summary").get_by_text("still the first").wait_for()
    tab.wait_for_function(ALL_SHOW, arg=EXAMPLES[0])


@pytest.mark.slow
def test_the_photo_is_reached_by_keyboard(tab):
    show(tab, 1)
    tab.locator("#photo button:has(img)").focus()
    before = tab.locator("#photo img").get_attribute("src")
    tab.keyboard.press("ArrowDown")
    tab.locator(f'#photo img:not([src="{before}"])').wait_for()
    tab.locator("#patches img").wait_for()
    down, right = tab.evaluate("demo.place")
    assert down == pytest.approx(0.5 + 1 / 24) and right == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["example", "upload"])
def test_choose_and_ask_at_once(way, tab, upload):
    """The question is asked when the photo is there, and its answer is of that photo."""
    levels = tab.locator("#level")
    for number, delay in enumerate(delay for delay in DELAYS for _ in range(TWICE)):
        show(tab, 0)
        text(tab).fill(f"cat {number}")
        if way == "example":
            example(tab, 1).click()
        else:
            tab.locator("#upload input[type=file]").set_input_files(upload)
        tab.wait_for_timeout(delay)  # what is tested, not a wait for an answer
        find(tab).click()
        level = str(1 + (number + 1) % 3)
        levels.get_by_label(level, exact=True).check()  # answered after all that was asked before
        tab.locator(f"#attention img[alt*='level {level}, entity']").wait_for()
        tab.wait_for_function(ALL_SHOW, arg=UPLOAD if way == "upload" else EXAMPLES[1])
        if way == "upload":
            tab.locator("#summary").get_by_text(f"“cat {number}”").wait_for()
