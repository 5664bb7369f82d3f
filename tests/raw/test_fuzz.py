"""Arbitrary and damaged input: an error that says what is wrong, or a correct result."""

import json
import pickle
import subprocess

import numpy as np
import pytest
from helpers import bounded
from helpers.fuzzing import KINDS
from helpers.raw_trees import HEIGHT, WIDTH, write_refer, write_referit
from hypothesis import given, settings
from hypothesis import strategies as st

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.raw import plain_pickle
from data_preprocess.raw.masks import draw_segmentation, read_mask_image, read_mat

BATCH = 1000
examples = settings(max_examples=150, deadline=None, print_blob=True)

numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.binary()
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(-9, 9), inner)
        | st.lists(inner, max_size=5).map(tuple) | st.sets(st.integers(-9, 9) | st.text())
        | st.frozensets(st.text())
    ),
    max_leaves=30,
)  # fmt: skip
odd_numbers = st.integers() | st.floats() | st.sampled_from([0, 1, HEIGHT, WIDTH, 600, 2**32])
odd = st.recursive(
    st.none() | st.booleans() | odd_numbers | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """A raw root in both layouts, of which every example changes a file."""
    root = tmp_path_factory.mktemp("raw")
    write_refer(root)
    return write_referit(root)


@examples
@given(value=plain, protocol=st.integers(0, 5))
def test_plain_pickles_are_read_as_python_reads_them(value, protocol):
    content = pickle.dumps(value, protocol)
    try:
        found = plain_pickle.loads(content)
    except plain_pickle.NotPlain as error:  # older protocols write bytes and sets as calls
        assert protocol < 4 and str(error).split(".")[0] in ("_codecs", "__builtin__", "builtins")
        return
    assert repr(found) == repr(pickle.loads(content, encoding="latin1"))


@examples
@given(content=st.binary(max_size=200) | st.text(alphabet="(]}lteadsu0123NKMXUVISFGpqhgjr.\n' ",
                                                 max_size=100).map(str.encode))  # fmt: skip
def test_arbitrary_bytes_as_a_pickle(content):
    try:
        plain_pickle.loads(content)
    except ValueError as error:
        assert len(str(error)) < 500


@examples
@given(content=st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_arbitrary_bytes_as_json_mask_and_image(trees, content):
    path = trees / "a.any"
    path.write_bytes(content)
    for read in (lambda p: read_json(p, "Get it."), read_mat, read_mask_image):
        try:
            read(path)
        except UserError as error:
            assert "a.any" in str(error)


REFS = ("ref_id", "ann_id", "image_id", "split", "sentences")
INSTANCES = [("images", "id"), ("images", "file_name"), ("images", "height"), ("images", "width"),
             ("annotations", "id"), ("annotations", "image_id"), ("annotations", "segmentation"),
             ("annotations", "bbox"), ("annotations", "category_id"), ("categories", "id"),
             ("categories", "name")]  # fmt: skip


@pytest.fixture(scope="module")
def contents(trees):
    instances = json.loads((trees / "refcoco/instances.json").read_text())
    return instances, pickle.loads((trees / "refcoco/refs(unc).p").read_bytes())


@examples
@given(field=st.sampled_from(INSTANCES), index=st.integers(0, 2), value=odd, data=st.data())
def test_arbitrary_values_in_the_files_of_refer(trees, contents, field, index, value, data):
    instances, refs = map(json.loads, map(json.dumps, contents))
    kind, name = field
    instances[kind][index % len(instances[kind])][name] = value
    if data.draw(st.booleans()):
        refs[index][data.draw(st.sampled_from(REFS))] = data.draw(odd | plain)
    (trees / "refcoco/instances.json").write_text(json.dumps(instances))
    (trees / "refcoco/refs(unc).p").write_bytes(pickle.dumps(refs, 4))
    _sound(bounded.check_refer, trees)


@examples
@given(content=st.dictionaries(st.sampled_from(["7_1", "8_1", "7.jpg"]) | st.text(), odd),
       name=st.sampled_from(["query_trainval", "query_test", "imsize", "bbox", "kind"]),
       )  # fmt: skip
def test_arbitrary_values_in_the_files_of_referit(trees, name, content):
    path = trees / f"referit/referit_{name}.json"
    whole = path.read_bytes() if path.is_file() else b"{}"
    path.write_text(json.dumps(content))
    try:
        _sound(bounded.check_referit, trees)
    finally:
        path.write_bytes(whole)


def _sound(check, folder):
    """Records that can be used, or an error that names a file of the folder."""
    try:
        check(folder)
    except UserError as error:
        assert str(folder) in str(error) and len(str(error)) < 1500


@examples
@given(shape=st.fixed_dictionaries({"size": st.just([HEIGHT, WIDTH]) | odd,
                                    "counts": odd | st.text(st.characters(max_codepoint=127))
                                    | st.lists(odd_numbers)})
       | st.lists(st.lists(st.floats() | st.integers(-20, 90), max_size=12)) | odd)  # fmt: skip
def test_arbitrary_segmentations(shape):
    try:
        mask = draw_segmentation(shape, HEIGHT, WIDTH, "annotation 1")
    except UserError as error:
        assert "annotation 1" in str(error) and len(str(error)) < 500
    else:
        bounded.check_mask(mask, (HEIGHT, WIDTH))


@examples
@given(
    runs=st.lists(st.integers(0, 90), max_size=30), height=st.integers(1, 25), as_text=st.booleans()
)
def test_run_lengths_are_drawn_as_pycocotools_draws_them(runs, height, as_text):
    from pycocotools import mask as coco

    runs = [*runs, -sum(runs) % height or height]
    size = [height, sum(runs) // height]
    packed = coco.frPyObjects({"size": size, "counts": runs}, *size)
    counts = packed["counts"].decode() if as_text else runs
    found = draw_segmentation({"size": size, "counts": counts}, *size, "annotation 1")
    np.testing.assert_array_equal(found, coco.decode(packed))


def _damaged(tmp_path, kind, first, count):
    """Read damaged copies in a process with limits; a failure names the seed."""
    try:
        done = bounded.run("fuzzing.py", kind, first, count, tmp_path, seconds=20 + count / 100)
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode().split()
        pytest.fail(f"{kind}, seed {said[-1:]}: still busy after {error.timeout} seconds")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (
        f"{kind}, {lines[-1:]}: ended with {done.returncode}\n{done.stderr[-4000:]}"
    )
    found = json.loads(lines[-1])
    assert found["value"] + found["error"] == count
    assert min(found.values()) > count // 50, f"{found}: the damage is too small or too great"


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(tmp_path, kind):
    _damaged(tmp_path, kind, 0, BATCH)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(tmp_path, kind):
    _damaged(tmp_path, kind, BATCH, 5 * BATCH)
