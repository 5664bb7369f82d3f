"""Photos as RGB: depth, orientation, and how outlines were drawn over turned ones."""

import numpy as np
import pytest
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.photos import (
    choose_upright,
    exif_hint,
    find_turned,
    image_size,
    read_photo,
)

PIXELS = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)


def save(path, orientation=None, pixels=PIXELS):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(1, lambda a: a), (2, np.fliplr), (3, lambda a: np.rot90(a, 2)), (4, np.flipud),
     (5, lambda a: np.transpose(a, (1, 0, 2))), (6, lambda a: np.rot90(a, -1)),
     (7, lambda a: np.rot90(np.transpose(a, (1, 0, 2)), 2)), (8, np.rot90)],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_a_photo_is_read_as_stored_or_upright(tmp_path, orientation, turn, name):
    path = tmp_path / name
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(path, exif=exif, lossless=True)
    assert np.array_equal(read_photo(path), PIXELS)
    upright = np.asarray(read_photo(path, upright=True))
    assert np.array_equal(upright, turn(PIXELS))
    assert image_size(path) == (4, 6) and image_size(path, upright=True) == upright.shape[:2]
    assert (find_turned(path) is None) == (orientation == 1)


@pytest.mark.parametrize("orientation", [0, 9, 1000])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, orientation):
    path = save(tmp_path / "a.png", orientation)
    assert np.array_equal(read_photo(path, upright=True), PIXELS) and find_turned(path) is None


def test_pillow_turns_tiff_by_itself(tmp_path):
    """So it has no other frame than the upright one, whoever reads it."""
    path = save(tmp_path / "a.tif", 6)
    assert find_turned(path) is None and image_size(path) == (6, 4)
    assert np.array_equal(read_photo(path), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_are_scaled_and_not_cut_to_white(tmp_path, name):
    deep = (np.arange(256, dtype=np.uint16) << 8 | 7).reshape(16, 16)
    Image.fromarray(deep).save(tmp_path / name)
    shades = np.asarray(read_photo(tmp_path / name))
    assert np.array_equal(shades, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, 2))


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.full((4, 4), 4095, np.uint16), "its brightest value is 4095 of 65535"),
     (np.full((4, 4), 70_000, np.int32), "32 bits a channel"),
     (np.full((4, 4), 0.5, np.float32), "numbers with a decimal point")],
)  # fmt: skip
def test_what_has_no_known_white_is_refused(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=rf"a\.tif: .*{message}.*Save it with 8 bits"):
        read_photo(tmp_path / "a.tif")


def test_broken_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.png: no such image"):
        read_photo(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(UserError, match=r"a\.png: not readable as an image"):
        read_photo(tmp_path / "a.png")


def test_sides_that_a_turn_exchanges_decide(tmp_path):
    quarter, plain = save(tmp_path / "a.png", 6), save(tmp_path / "b.png")
    half = save(tmp_path / "c.png", 3)
    assert choose_upright([(plain, (4, 6))]) is None
    assert choose_upright([(quarter, (6, 4))]) is True
    assert choose_upright([(quarter, (4, 6)), (plain, None)]) is False
    assert choose_upright([(half, (4, 6)), (quarter, (6, 4))]) is True  # one tool drew them
    with pytest.raises(UserError, match=r"a\.png: its outlines .* as it is stored, .*d\.png"):
        choose_upright([(quarter, (4, 6)), (save(tmp_path / "d.png", 8), (6, 4))])


@pytest.mark.parametrize(
    ("orientation", "shape"),
    [(2, (4, 6)), (3, (4, 6)), (4, (4, 6)), (6, (5, 5)), (8, (5, 5)), (6, None)],
)
def test_where_sizes_do_not_tell_it_is_asked_for(tmp_path, orientation, shape):
    pixels = PIXELS if shape != (5, 5) else np.zeros((5, 5, 3), np.uint8)
    path = save(tmp_path / "a.png", orientation, pixels)
    with pytest.raises(UserError, match=rf"EXIF orientation {orientation}.*upright=true .*=false"):
        choose_upright([(path, shape)])


def test_the_error_of_other_sizes_names_exif_where_it_explains_them(tmp_path):
    path = save(tmp_path / "a.png", 6)
    assert "EXIF orientation 6" in exif_hint(path, (6, 4)) and "upright=true" in exif_hint(
        path, (6, 4)
    )
    assert "upright=false" in exif_hint(path, (4, 6))
    assert exif_hint(path, (7, 7)) == exif_hint(save(tmp_path / "b.png"), (6, 4)) == ""
