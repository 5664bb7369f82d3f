"""Progress bars: few lines in a file, all of them on a terminal."""

import io
import itertools

import pytest

from data_preprocess.base.progress import tqdm


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(file, **options):
    seconds = itertools.count(1.0)  # a clock that goes on by one whenever it is asked
    bar = tqdm(total=500, file=file, miniters=1, **options)
    bar._time = lambda: next(seconds)
    bar.start_t = bar.last_print_t = 0.0
    with bar:
        for _ in range(500):
            bar.update()
    return file.getvalue().count("%")


@pytest.mark.parametrize(
    "file, options, least, most",
    [
        (io.StringIO(), {}, 3, 60),
        (Terminal(), {}, 400, 502),
        (io.StringIO(), {"mininterval": 0}, 400, 502),
    ],
    ids=["a file", "a terminal", "a file, every line asked for"],
)
def test_lines(file, options, least, most):
    assert least <= shown(file, **options) <= most
    assert "100%" in file.getvalue()


def test_a_short_bar_in_a_file_is_its_beginning_and_its_end():
    file = io.StringIO()
    assert list(tqdm(range(1000), file=file)) == list(range(1000))
    assert file.getvalue().count("%") == 2


def test_where_bars_are_off_none_is_shown(monkeypatch):
    monkeypatch.setattr(tqdm, "off", True)
    file = io.StringIO()
    with tqdm(range(1000), file=file) as bar:
        bar.set_description("unseen")
        assert list(bar) == list(range(1000))
    assert not file.getvalue()
