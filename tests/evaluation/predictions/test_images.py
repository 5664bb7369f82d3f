"""A folder of PNGs: names, kinds of pixels, and what is no mask."""

import numpy as np
import pytest
from PIL import Image

from data_preprocess.base.errors import UserError
from dghin.evaluation.predictions.images import StoredImage, find_images, read_images
from dghin.evaluation.predictions.names import Asked

MASK = np.array([[0, 1, 0], [1, 0, 0]], bool)


def grey(top=255):
    return Image.fromarray(MASK.astype(np.uint8) * top)


def read(folder):
    return read_images(find_images(folder), folder, "val")


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("12_0.png", Asked(name="12_0", split="val")),
        ("4711.PNG", Asked(name="4711", split="val")),
        ("refcoco/12_0.png", Asked(name="refcoco/12_0", split="val")),
        (
            "12-iou=87.31-the_man_in_red.png",
            Asked(ref="12", sentence="the man in red", split="val"),
        ),
        ("12-iou=nan-man.png", Asked(ref="12", sentence="man", split="val")),
        ("12-iou=0.00-no._5_-_left.png", Asked(ref="12", sentence="no. 5 - left", split="val")),
    ],
)
def test_names(tmp_path, name, asked):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    grey().save(path, format="png")
    ((found, stored),) = read(tmp_path)
    assert found == asked and stored.shape == (2, 3) and stored.file == path


def test_what_lies_beside_is_passed_over(tmp_path):
    for name in ("12-iou=9.10-dog.png", "12-mask.png", ".hidden.png", ".cache/1.png", "12-img.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        grey().save(tmp_path / name)
    assert [path.name for path in find_images(tmp_path)] == ["12-iou=9.10-dog.png"]
    (tmp_path / "12-iou=9.10-dog.png").unlink()
    assert [path.name for path in find_images(tmp_path)] == ["12-mask.png"]  # a name of one's own


@pytest.mark.parametrize(
    "image",
    [grey(), grey(1), Image.fromarray(MASK), grey().convert("RGB"), grey().convert("RGBA"),
     grey().convert("LA"), grey().convert("I;16"), grey(1).convert("P")],
    ids=lambda image: image.mode,
)  # fmt: skip
def test_kinds_of_pixels(tmp_path, image):
    image.save(tmp_path / "1.png")
    ((_, stored),) = read(tmp_path)
    found = stored.load()
    assert found.shape == (2, 3) and ((found != 0) == MASK).all()


def test_colours(tmp_path):
    Image.merge("RGB", [grey(), grey(0), grey(0)]).save(tmp_path / "1.png")
    ((_, stored),) = read(tmp_path)
    with pytest.raises(UserError, match="1.png: it has colours"):
        stored.load()


def test_damaged(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="1.png: not readable as an image"):
        read(tmp_path)
    random = np.random.default_rng(0).integers(0, 255, (60, 60), np.uint8)
    Image.fromarray(random).save(tmp_path / "1.png")
    content = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(content[: len(content) // 2])
    ((_, stored),) = read(tmp_path)  # its header is whole
    with pytest.raises(UserError, match="1.png: not readable as an image .*Save the masks again"):
        stored.load()


def test_a_palette_is_read_by_its_colours(tmp_path, split):
    """Black is background, wherever it stands in the palette."""
    truth = split.truth(0)
    for palette, indices in (([0, 0, 0, 128, 0, 0], truth), ([255, 0, 0, 0, 0, 0], ~truth)):
        image = Image.fromarray(indices.astype(np.uint8)).convert("P")
        image.putpalette(palette)
        image.save(tmp_path / "a.png")
        assert (StoredImage(tmp_path / "a.png", truth.shape).load() == truth).all()
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "a.png")
    with pytest.raises(UserError, match="its palette shows 2 colours"):
        StoredImage(tmp_path / "a.png", truth.shape).load()
