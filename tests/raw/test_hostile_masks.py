"""Named attacks on the decoders of masks, images and features: an error each, in bounds."""

import io
import json
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from helpers import bounded
from helpers.raw_trees import HEIGHT, WIDTH, box
from PIL import Image
from scipy.io import savemat

from data_preprocess.base.errors import UserError
from data_preprocess.raw.masks import draw_segmentation, image_size, read_mask_image, read_mat

HUGE = (1 << 62).to_bytes(8, "little")


# --- segmentations ------------------------------------------------------------------------------


def _rle(counts, size=(HEIGHT, WIDTH)):
    return {"size": list(size), "counts": counts}


WRONG_RUNS = [
    [], [600, 0, 1], [-1, 601], [601], [599], [10**9], [2**32 + 600], [600.5], [True, 599],
    [None], ["600"], [[600]], [float("nan")], 600, None, "", "0" * 20, "o" * 30, "zzzz", "\x7f",
    "é", "?", "`" * 1000 + "0", "PPYo1`", "\ud800", b"\x00".decode(),
]  # fmt: skip


@pytest.mark.parametrize("counts", WRONG_RUNS, ids=ascii)
def test_run_lengths_that_are_not_those_of_the_image(tmp_path, counts):
    """pycocotools leaves a part of the mask to chance where they add up to too little."""
    (tmp_path / "a.json").write_text(json.dumps(_rle(counts)))
    assert "annotation 1" in bounded.refused("segmentation", tmp_path)


@pytest.mark.parametrize("size", [[10**5, 10**5], [10**9, 1], [0, 0], [-20, -30], ["20", "30"],
                                  [20], [20, 30, 1], None, 7, [[20], 30], [2**32 + 20, 30]],
                         ids=ascii)  # fmt: skip
def test_run_lengths_of_another_size(tmp_path, size):
    segmentation = _rle([10**9]) | {"size": size}
    (tmp_path / "a.json").write_text(json.dumps(segmentation))
    assert "annotation 1" in bounded.refused("segmentation", tmp_path)


def test_run_lengths_and_an_image_of_a_billion_pixels():
    for height, width in ((10**5, 10**4), (10**9, 1), (0, 5), (-5, -5), (2**32 + 1, 1)):
        with pytest.raises(UserError, match="not those of an image"):
            draw_segmentation(_rle([height * width], (height, width)), height, width, "here")


def _zigzag(points):
    return [value for i in range(points) for value in ((i % 2) * WIDTH, (i // 2 % 2) * HEIGHT)]


@pytest.mark.parametrize(
    "polygons",
    [[[1e9, 1, 5, 5, 1, 9]], [[1, 1e30, 5, 5, 1, 9]], [[-1e6, 1, 5, 5, 1, 9]],
     [[float("nan"), 1, 5, 5, 1, 9]], [[float("inf"), 1, 5, 5, 1, 9]], [[10**400, 1, 5, 5, 1, 9]],
     [[1, 1, "5", 5, 1, 9]], [[1, 1, None, 5, 1, 9]], [[[1, 1], [5, 5], [1, 9]]], ["abcdef"],
     [None], [{}], {}, None, "abc", [1, 1, 5, 5, 1, 9], [[True] * 6], [[]], [[1, 2, 3]],
     [_zigzag(1_000_000)], [box(0, 0, 30, 20)] * 5_000,
     [box(1, 1, 2, 2)] * 100_000],
    ids=lambda p: ascii(p)[:40],
)  # fmt: skip
def test_polygons_that_no_object_has(tmp_path, polygons):
    """pycocotools takes memory for every pixel of an outline."""
    (tmp_path / "a.json").write_text(json.dumps(polygons))
    assert "annotation 1" in bounded.refused("segmentation", tmp_path)


def test_polygons_a_little_outside_are_cut_at_the_image():
    mask = draw_segmentation([box(-5, -5, 10, 10)], HEIGHT, WIDTH, "here")
    assert mask[:10, :10].all() and mask.sum() == 100


# --- .mat files ---------------------------------------------------------------------------------


def _mat(array, compressed=False):
    file = io.BytesIO()
    savemat(file, {"segimg_t": array}, do_compression=compressed)
    return file.getvalue()


LABELS = np.zeros((HEIGHT, WIDTH), np.int16)
PLAIN = _mat(LABELS)
SIZES = struct.pack("<ii", HEIGHT, WIDTH)
DATA = struct.pack("<II", 3, 1200)  # the tag of the labels: int16, bytes


def _squeezed(content):
    """The arrays of a file compressed, as MATLAB does it."""
    packed = zlib.compress(content[128:])
    return content[:128] + struct.pack("<II", 15, len(packed)) + packed


def _claiming(rows, columns, size=None):
    content = PLAIN.replace(SIZES, struct.pack("<ii", rows, columns))
    if size is not None:
        content = content.replace(DATA, struct.pack("<II", 3, size))
    return content


def _bomb():
    """Zeros of 10,000 x 9,000 labels in a file of 90 kB."""
    labels = np.zeros((10_000, 9_000), np.int8)
    return _mat(labels, True)


@pytest.mark.parametrize(
    "content",
    [_claiming(2**30, 2**30), _claiming(2**31 - 1, 2), _claiming(-20, -30), _claiming(0, 0),
     _claiming(10**4, 10**4, 10**8), _claiming(20, 30, 2**32 - 1), _claiming(30, 31),
     *(_squeezed(_claiming(*sizes)) for sizes in ((10**4, 10**4, 2 * 10**8), (20, 31))),
     PLAIN[:-100], PLAIN[:200], PLAIN[:128], PLAIN[:100], b"", _squeezed(PLAIN)[:-20],
     _squeezed(PLAIN[:-100]), _squeezed(PLAIN + bytes(1 << 26)), _squeezed(_squeezed(PLAIN)),
     _mat(np.zeros((2, 2, 2))), _mat(np.zeros((2, 2), complex)), _mat("text"), _mat([["cell", 1]]),
     *(PLAIN.replace(DATA, struct.pack("<II", kind, 1200)) for kind in (0, 8, 14, 100)),
     _mat({"a": LABELS}), _mat(np.array(["a", LABELS], object)), _mat(np.zeros((0, 0))),
     PLAIN[:124] + b"\x00\x02IM" + PLAIN[128:], b"\x89HDF\r\n\x1a\n" + PLAIN,
     struct.pack("<5i", 0, 10**5, 10**5, 0, 9) + b"segimg_t\0" + bytes(100)],
    ids=lambda _: "content",  # which holds the time; all test processes need the same name
)  # fmt: skip
def test_mat_files_that_claim_or_lack_something(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    assert "a.mat" in bounded.refused("mat", tmp_path)


def test_a_mat_bomb_is_not_expanded_beyond_its_image(tmp_path):
    (tmp_path / "a.mat").write_bytes(_bomb())
    assert "the mask is 10000x9000" in bounded.refused("mat", tmp_path)
    (tmp_path / "a.mat").write_bytes(_mat(np.zeros((10_001, 10_000), np.int8), True))
    with pytest.raises(UserError, match="not those of an image"):
        read_mat(tmp_path / "a.mat")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64, np.float32, np.float64])
def test_sound_mat_files_of_every_kind(tmp_path, kind, compressed):
    labels = np.random.default_rng(0).integers(-1, 1, (HEIGHT, WIDTH)).astype(kind)
    savemat(tmp_path / "a.mat", {"other": "x", "segimg_t": labels}, do_compression=compressed)
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat"), labels == 0)


# --- images, features ---------------------------------------------------------------------------


def _png(height, width):
    """A PNG whose header claims a size and that holds next to nothing."""

    def chunk(name, content):
        return (struct.pack(">I", len(content)) + name + content
                + struct.pack(">I", zlib.crc32(name + content)))  # fmt: skip

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)
            + chunk(b"IEND", b""))  # fmt: skip


@pytest.mark.parametrize("size", [(10**5, 10**5), (10**4, 10_001), (2**31 - 1, 2**31 - 1)])
def test_images_of_very_many_pixels(tmp_path, size):
    (tmp_path / "a.png").write_bytes(_png(*size))
    assert "a.png" in bounded.refused("image", tmp_path)
    with warnings.catch_warnings(), pytest.raises(UserError, match=r"a\.png"):
        warnings.simplefilter("error")
        image_size(tmp_path / "a.png")


def test_cut_off_images(tmp_path):
    mask = np.random.default_rng(0).integers(0, 2, (HEIGHT, WIDTH)).astype(np.uint8) * 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask_image(tmp_path / "a.png"), mask > 0)
    content = (tmp_path / "a.png").read_bytes()
    for length in range(0, len(content) - 40, 7):  # behind are checksums and marks of the end
        (tmp_path / "a.png").write_bytes(content[:length])
        with pytest.raises(UserError, match=r"a\.png: cannot be read"):
            read_mask_image(tmp_path / "a.png")


def _npz(path, method=zipfile.ZIP_DEFLATED, **changed):
    """A feature file of two expressions, with some members replaced by arrays or bytes."""
    arrays = {
        "key": np.array(json.dumps({"words": 5})), "word_ids": np.zeros((2, 5), np.int32),
        "attention_mask": np.ones((2, 5), np.uint8), "pos": np.zeros((2, 5), np.uint8),
        "heads": np.zeros((2, 5), np.int8), "length": np.zeros(2, np.int16),
    }  # fmt: skip
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, array in (arrays | changed).items():
            if not isinstance(array, bytes):
                file = io.BytesIO()
                np.save(file, array)
                array = file.getvalue()
            archive.writestr(f"{name}.npy", array)


def _header(shape, descr="<i4"):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "changed",
    [
        {"word_ids": _header((10**12, 17))}, {"word_ids": _header((2**62, 2**62))},
        {"word_ids": _header((-2, 5)) + bytes(40)}, {"word_ids": _header((2, 5), "O") + bytes(80)},
        {"word_ids": _header((2, 5), [("a", "O")]) + bytes(80)}, {"word_ids": b"\x93NUMPY"},
        {"word_ids": np.zeros((2, 5), np.int64)}, {"word_ids": np.zeros(2, np.int32)},
        {"pos": np.full((2, 5), 7, np.uint8)}, {"pos": np.zeros((2, 6), np.uint8)},
        {"heads": np.full((2, 5), 5, np.int8)}, {"heads": np.full((2, 5), -2, np.int8)},
        {"length": np.zeros(3, np.int16)}, {"key": np.array("[]")}, {"key": np.array("{")},
        {"key": np.array("[" * 5000)}, {"key": np.array('{"words": [[]]}')},
        {"key": _header((), "<U3") + b"\xff" * 12}, {"key": np.array(7)},
        {"key": _header((10**12,), "<U0")}, {"word_ids": _header((3 * 10**9,))},  # 12 GB
        {"word_ids": b"\x93NUMPY\x02" + _header((2, 5))[7:] + bytes(40)},
        {"word_ids": np.zeros((10**7, 8), np.int32)},  # 320 MB in a file of 300 kB
    ],
    ids=lambda changed: ascii(list(changed.items()))[:60],
)  # fmt: skip
def test_feature_files_that_claim_or_lack_something(tmp_path, changed):
    _npz(tmp_path / "a.npz", **changed)
    assert "a.npz: not readable as language features" in bounded.refused("features", tmp_path)


def test_sound_and_strangely_compressed_features(tmp_path):
    _npz(tmp_path / "a.npz")
    assert bounded.outcome("features", tmp_path) == {"value": "2"}
    _npz(tmp_path / "a.npz", zipfile.ZIP_LZMA)
    assert "compressed in an unknown way" in bounded.refused("features", tmp_path)
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    assert "not readable" in bounded.refused("features", tmp_path)
