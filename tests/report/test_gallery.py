"""The gallery: small copies of the figures that a run has, on a page that shows them."""

import re

import pytest
from PIL import Image

from data_preprocess.base.errors import UserError
from dghin.commands.report import main
from dghin.report.gallery import FIGURES, WIDTH, write_gallery


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "reports" / "demo"
    (folder / "figures").mkdir(parents=True)
    for name, size in (("masks_best", (2000, 500)), ("controls", (300, 200)), ("other", (9, 9))):
        Image.new("RGBA", size, (200, 100, 0, 255)).save(folder / "figures" / f"{name}.png")
    return folder


def shown(page):
    return re.findall(r"!\[([^]]+)\]\(([^)]+)\)", page.read_text())


def test_it_shows_the_figures_that_are_there(run):
    page = write_gallery(run)
    assert page == run / "gallery" / "README.md"
    assert [name for _, name in shown(page)] == ["masks_best.webp", "controls.webp"]
    assert [text for text, _ in shown(page)] == [FIGURES["masks_best"], FIGURES["controls"]]
    sizes = [Image.open(page.parent / name).size for _, name in shown(page)]
    assert sizes == [(WIDTH, WIDTH // 4), (300, 200)]


def test_again_it_replaces_itself_and_nothing_else(run, tmp_path):
    write_gallery(run)
    (run / "figures" / "masks_best.png").unlink()
    page = write_gallery(run)
    assert {path.name for path in page.parent.iterdir()} == {"README.md", "controls.webp"}
    assert {path.name for path in run.iterdir()} == {"figures", "gallery"}
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    with pytest.raises(UserError, match="mine: is there, and no gallery"):
        write_gallery(run, mine)
    assert (mine / "thesis.txt").is_file()


def test_the_command(run, tmp_path, capsys):
    words = [f"reports={run.parent}", f"gallery={tmp_path / 'docs' / 'gallery'}"]
    main(words)
    assert capsys.readouterr().out.strip() == str(tmp_path / "docs/gallery/README.md")
    with pytest.raises(UserError, match="none of the figures.*reproduce run=wide"):
        main([f"reports={run.parent}", "run=wide", f"gallery={tmp_path}"])


def test_it_is_whole_or_not_there(run, monkeypatch):
    before = {path.name for path in write_gallery(run).parent.iterdir()}
    monkeypatch.setattr("dghin.report.gallery.shrink", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_gallery(run)
    assert {path.name for path in (run / "gallery").iterdir()} == before
    assert {path.name for path in run.iterdir()} == {"figures", "gallery"}


@pytest.mark.parametrize("there", [{"README.md": "# My thesis"}, {"README.md": "", "x.py": ""}])
def test_a_folder_with_a_readme_is_no_gallery(run, tmp_path, there):
    """It was removed whole: gallery=. took the checkout with it."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for name, text in there.items():
        (mine / name).write_text(text)
    with pytest.raises(UserError, match="mine: is there, and no gallery"):
        write_gallery(run, mine)
    page = write_gallery(run)
    (page.parent / "notes.txt").touch()  # in a gallery, something of the user's
    with pytest.raises(UserError, match="gallery: is there, and no gallery alone"):
        write_gallery(run)
    assert (page.parent / "notes.txt").is_file() and {p.name for p in mine.iterdir()} == {*there}
