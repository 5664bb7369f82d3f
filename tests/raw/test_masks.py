import io

import numpy as np
import pytest
from helpers.raw_trees import HEIGHT, WIDTH, box, write_image, write_mat
from PIL import Image, ImageDraw, ImageFilter
from scipy.io import savemat

from data_preprocess.base.errors import UserError
from data_preprocess.raw.masks import (
    check_size,
    draw_segmentation,
    image_size,
    read_mask_image,
    read_mat,
)


def draw(segmentation):
    return draw_segmentation(segmentation, HEIGHT, WIDTH, "annotation 1")


def filled(*boxes):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 1
    return mask


def test_overlapping_polygons_are_united_never_added():
    one, two = (2, 2, 12, 10), (8, 5, 20, 15)
    mask = draw([box(*one), box(*two)])
    np.testing.assert_array_equal(mask, filled(one, two))
    assert mask.dtype == np.uint8 and mask.max() == 1


def test_plain_and_compressed_run_lengths_agree():
    from pycocotools import mask as coco

    wanted = filled((3, 2, 9, 6))
    packed = coco.encode(np.asfortranarray(wanted))
    flat = np.concatenate([[0], wanted.flatten(order="F"), [0]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges, [wanted.size]])).tolist()
    for form in (counts, packed["counts"].decode(), packed["counts"]):
        np.testing.assert_array_equal(draw({"size": [HEIGHT, WIDTH], "counts": form}), wanted)


def test_polygon_of_two_points_is_left_out(caplog):
    mask = draw([box(0, 0, 5, 5), [1, 1, 9, 9]])
    np.testing.assert_array_equal(mask, filled((0, 0, 5, 5)))
    assert "fewer than three points" in caplog.text


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 1, 9, 9]], "no polygon of three points"),
        ([], "no polygon of three points"),
        ({"size": [WIDTH, HEIGHT], "counts": [600]}, "of size 30x20, the image is recorded as"),
        ({"size": [HEIGHT, WIDTH], "counts": [600, 1]}, "add up to 601 pixels"),
        ({"counts": [600]}, "neither polygons nor run lengths"),
        (7, "neither polygons nor run lengths"),
        ([["a", "b", "c", "d", "e", "f"]], "neither polygons nor run lengths"),
    ],
)
def test_bad_segmentation_is_an_error_that_names_the_annotation(segmentation, message):
    with pytest.raises(UserError, match=message) as error:
        draw(segmentation)
    assert "annotation 1" in str(error.value)


def test_mat_is_zero_on_the_object(tmp_path):
    write_mat(tmp_path, "7_1")
    mask = read_mat(tmp_path / "images/referit/mask/7_1.mat")
    np.testing.assert_array_equal(mask, filled((4, 2, 10, 6)))


def test_bad_mat(tmp_path):
    path = tmp_path / "7_1.mat"
    with pytest.raises(UserError, match=r"7_1\.mat: no such file"):
        read_mat(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="no readable 'segimg_t'"):
        read_mat(path)
    savemat(path, {"other": np.zeros((2, 2))})
    with pytest.raises(UserError, match="no readable 'segimg_t'"):
        read_mat(path)
    savemat(path, {"segimg_t": np.full((2, 2), 5)})
    with pytest.raises(UserError, match="not an image of 0 and -1"):
        read_mat(path)


def test_image_size_reads_the_header(tmp_path):
    write_image(tmp_path / "a.jpg", 11, 17)
    assert image_size(tmp_path / "a.jpg") == (11, 17)


def test_image_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"a\.jpg: no such image"):
        image_size(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 not a photo")
    with pytest.raises(UserError, match=r"a\.jpg: cannot be read as an image.*again"):
        image_size(tmp_path / "a.jpg")


def test_sizes_must_agree(tmp_path):
    check_size((2, 3), (2, 3), "the mask", tmp_path)
    with pytest.raises(UserError, match=r"image is 2x3 .*, but the mask is 3x2"):
        check_size((3, 2), (2, 3), "the mask", tmp_path)


def test_palette_of_pngs_is_two_values(tmp_path):
    Image.fromarray(filled((0, 0, 3, 3)) * 255).save(tmp_path / "m.png")
    assert set(np.unique(np.asarray(Image.open(tmp_path / "m.png")))) == {0, 255}


def disc(size=(64, 48)):
    image = Image.new("L", size)
    ImageDraw.Draw(image).ellipse((10, 8, 40, 36), fill=255)
    return image


def through(image, kind, **options):
    """An image as it comes back from a format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    back = Image.open(buffer)
    back.load()
    return back.convert("L")


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.png", {}), ("a.bmp", {}), ("a.gif", {}), ("a.tif", {}), ("a.pgm", {}), ("a.tga", {}),
     ("a.tif", {"compression": "tiff_lzw"}), ("a.tif", {"compression": "tiff_adobe_deflate"}),
     ("a.webp", {"lossless": True})],
)  # fmt: skip
def test_masks_of_formats_that_lose_nothing(tmp_path, name, options):
    disc().save(tmp_path / name, **options)
    assert np.array_equal(read_mask_image(tmp_path / name), np.asarray(disc()) > 0)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.jpg", {}), ("a.webp", {}), ("a.avif", {}), ("a.jp2", {}), ("a.dds", {}),
     ("a.tif", {"compression": "jpeg"}), ("a.mpo", {})],
)  # fmt: skip
def test_masks_of_formats_that_lose_pixels(tmp_path, name, options):
    image = disc().convert("RGB")
    image.save(tmp_path / name, **options)
    with pytest.raises(UserError, match=r"a\.\w+: a mask must not be .*Save it as PNG"):
        read_mask_image(tmp_path / name)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_png_of_what_was_lossy_once(tmp_path, kind, quality):
    through(disc(), kind, quality=quality).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: the mask has \d+ values, soft at its borders"):
        read_mask_image(tmp_path / "a.png")


def test_a_mask_that_viewers_turn_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    disc().save(tmp_path / "a.png", exif=exif)
    with pytest.raises(UserError, match=r"a\.png: the mask has an EXIF orientation \(3\)"):
        read_mask_image(tmp_path / "a.png")


def test_soft_edges_of_other_kinds(tmp_path):
    disc().resize((32, 24), Image.Resampling.BILINEAR).save(tmp_path / "small.png")
    clear = disc().convert("RGBA")
    clear.putalpha(disc().filter(ImageFilter.GaussianBlur(2)))
    clear.save(tmp_path / "clear.png")
    for name in ("small.png", "clear.png"):
        with pytest.raises(UserError, match="soft at its borders"):
            read_mask_image(tmp_path / name)


@pytest.mark.parametrize("values", [(1, 2, 3), (85, 170, 255), (1, 1, 1), (128, 255, 255)])
def test_labels_of_several_objects_are_no_soft_edges(tmp_path, values):
    labels = np.zeros((20, 30), np.uint8)
    for place, value in enumerate(values):
        labels[5 * place : 5 * place + 4, 3:20] = value
    Image.fromarray(labels).save(tmp_path / "a.png")
    assert np.array_equal(read_mask_image(tmp_path / "a.png"), labels > 0)
