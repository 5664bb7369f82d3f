"""Arrays in .npz files: one an answer or a stack, read when they are asked for."""

import pickle
import zipfile

import numpy as np
import pytest

from data_preprocess.base.errors import UserError
from dghin.evaluation.predictions import arrays
from dghin.evaluation.predictions.arrays import read_arrays
from dghin.evaluation.predictions.names import Asked

RANDOM = np.random.default_rng(0)
MASKS = RANDOM.random((3, 8, 8)) > 0.5
LOGITS = RANDOM.normal(size=(3, 2, 8, 8)).astype(np.float16)


@pytest.fixture(params=["savez", "savez_compressed"])
def save(request, tmp_path):
    def write(**given):
        getattr(np, request.param)(tmp_path / "a.npz", **given)
        return tmp_path / "a.npz"

    return write


@pytest.mark.parametrize(
    ("values", "form"),
    [(MASKS, "mask"), (MASKS.astype(np.uint8) * 255, "mask"), (MASKS.astype(float), "probability"),
     (LOGITS, "logits")],
)  # fmt: skip
def test_named_and_stacked_are_the_same(save, values, form):
    named = read_arrays(save(**dict(zip(["1_0", "1_1", "2_0"], values, strict=True))), "val")
    assert [asked for asked, _ in named] == [
        Asked(name=name, split="val") for name in ("1_0", "1_1", "2_0")
    ]
    assert {(stored.form, stored.shape) for _, stored in named} == {(form, (8, 8))}
    for (_, stored), value in zip(named, values, strict=True):
        assert (stored.load() == value).all() and stored.load().dtype == value.dtype
    stack = {"mask": "masks", "probability": "probabilities", "logits": "logits"}[form]
    for ids in (["1_0", "1_1", "2_0"], np.array([b"4", b"5", b"6"]), [4, 5, 6]):
        stacked = read_arrays(save(ids=ids, **{stack: values}))
        texts = [i.decode() if isinstance(i, bytes) else str(i) for i in ids]
        assert [asked.name for asked, _ in stacked] == texts
        for row in (2, 0, 1):  # in any order
            stored = pickle.loads(pickle.dumps(stacked[row][1]))
            assert (stored.load() == values[row]).all()
            assert (stored.form, stored.shape) == (form, (8, 8))


def test_a_stack_in_fortran_order(save):
    path = save(ids=[1, 2, 3], masks=np.asfortranarray(MASKS))
    assert all((s.load() == m).all() for (_, s), m in zip(read_arrays(path), MASKS, strict=True))


def test_rows_are_read_by_their_bytes(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", ids=[1, 2, 3], masks=MASKS)
    found = read_arrays(tmp_path / "a.npz")
    monkeypatch.setattr(arrays.Archive, "array", None)  # would read the whole stack
    assert (found[1][1].load() == MASKS[1]).all()


def test_nothing_is_read_before_it_is_asked_for(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", **{"1": MASKS[0]})
    monkeypatch.setattr(arrays.Archive, "array", None)
    ((_, stored),) = read_arrays(tmp_path / "a.npz")
    with pytest.raises(TypeError):
        stored.load()


def test_every_process_opens_the_file_for_itself(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", **{"1": MASKS[0]})
    ((_, stored),) = read_arrays(tmp_path / "a.npz")
    first = stored.archive.zip()
    assert stored.archive.zip() is first
    monkeypatch.setattr("os.getpid", lambda: -1)  # as after a fork
    assert stored.archive.zip() is not first and (stored.load() == MASKS[0]).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "empty"),
        ({"1": np.array([{}])}, "Python objects, which can run a program"),
        ({"1": np.zeros(5)}, "float64 and the shape \\(5,\\)"),
        ({"1": np.zeros((0, 5))}, "shape \\(0, 5\\)"),
        ({"1": np.zeros((2, 4, 5))}, "shape \\(2, 4, 5\\)"),
        ({"1": np.zeros((4, 5), complex)}, "complex128"),
        ({"ids": [1, 2]}, "beside 'ids' it has nothing. Give one of masks"),
        ({"ids": [1, 2], "outputs": MASKS[:2]}, "beside 'ids' it has outputs"),
        ({"ids": [1, 2], "masks": MASKS}, "2 ids, but 'masks' has the shape \\(3, 8, 8\\)"),
        ({"ids": np.array([1.5]), "masks": MASKS[:1]}, "'ids' is no list of names"),
        ({"ids": [1, 2, 3], "masks": MASKS * 0.5}, "no stack of masks"),
        ({"ids": [1, 2, 3], "logits": MASKS * 0.5}, "no stack of logits"),
        ({"ids": [1, 2, 3], "probabilities": MASKS}, "no stack of probabilities"),
    ],
)
def test_bad_arrays(save, given, said):
    with pytest.raises(UserError, match=f"a.npz.*{said}"):
        read_arrays(save(**given))


def test_sizes_are_checked_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_PIXELS", 63)
    np.savez(tmp_path / "a.npz", **{"1": MASKS[0]})
    with pytest.raises(UserError, match="shape \\(8, 8\\)"):
        read_arrays(tmp_path / "a.npz")
    monkeypatch.undo()
    monkeypatch.setattr(arrays, "_AT_ONCE", MASKS.size - 1)
    np.savez_compressed(tmp_path / "a.npz", ids=[1, 2, 3], masks=MASKS)
    with pytest.raises(UserError, match="too large to be read as a whole.*numpy.savez"):
        read_arrays(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", ids=[1, 2, 3], masks=MASKS)
    assert len(read_arrays(tmp_path / "a.npz")) == 3  # is read by rows


def test_a_header_that_lies(tmp_path):
    np.save(tmp_path / "1.npy", MASKS[0])
    content = (tmp_path / "1.npy").read_bytes().replace(b"(8, 8)", b"(8, 9)")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("1.npy", content)
    with pytest.raises(UserError, match="a.npz, 1: 192 bytes, but 200 are expected"):
        read_arrays(tmp_path / "a.npz")


def test_damaged_files(tmp_path):
    path = tmp_path / "a.npz"
    for content in (b"", b"no zip"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="a.npz: not readable as .npz"):
            read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "text")
    with pytest.raises(UserError, match="a.npz, readme.txt: not readable"):
        read_arrays(path)
    np.savez(path, **{"1": MASKS[0]})
    content = bytearray(path.read_bytes())
    content[200] ^= 1  # a value, behind the headers
    path.write_bytes(content)
    with pytest.raises(UserError, match="a.npz, 1: not readable as .npz .*CRC"):
        for _, stored in read_arrays(path):
            stored.load()
