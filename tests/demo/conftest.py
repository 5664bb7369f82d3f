"""The page of a tiny network, where it is served, and a browser's tab with it."""

import socket

import pytest
from helpers.pages import BROWSER, WAIT
from PIL import Image

from dghin.demo.views import Limits

LITERAL = "the *left* <b>cat</b> {{value}} ${value} $a_1$ _b_"  # what some would render
TRAINING = "Trained on <i>a test</i>."


@pytest.fixture
def page(predictor, photo):
    """The page of a tiny network, with two examples, of which one is tall."""
    demo_page = pytest.importorskip("dghin.demo.page", exc_type=ImportError)
    limits = Limits(megabytes=0.1, megapixels=0.02)
    examples = [(photo, "the red star"), (Image.new("RGB", (100, 250), "teal"), LITERAL)]
    return demo_page.DemoPage(predictor, limits, examples, TRAINING)


@pytest.fixture
def address(page):
    """Where the page is served: at a free port."""
    from dghin.demo import page as demo_page

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
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
