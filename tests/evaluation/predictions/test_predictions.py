"""Answers as a whole: one form, one size, small in memory, and the same after pickling."""

import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.raw.segmentation import run_lengths
from dghin.evaluation.answers import PROTOCOLS
from dghin.evaluation.predictions import read_predictions
from dghin.evaluation.predictions.predictions import photo_sizes
from dghin.evaluation.predictions.write import answer_line, names, write_answers


@pytest.fixture
def saved(tmp_path, split):
    """Writes arrays as .npz by pair, or as JSONL, and reads them."""

    def read(values, kind="npz", missing="error"):
        path = tmp_path / f"a.{kind}"
        expressions = split.expressions[: len(values)]
        if kind == "npz":
            pairs = [f"{e.segment_id}_{e.sentence_index}" for e in expressions]
            np.savez(path, **dict(zip(pairs, values, strict=True)))
        else:
            found = zip(values, expressions, strict=True)
            write_answers(path, [answer_line(mask, e) for mask, e in found])
        return read_predictions(path, {"val": split}, missing)["val"]

    return read


def small(split, *shape, seed=0):
    return np.random.default_rng(seed).random((len(split), *shape)) > 0.5


@pytest.mark.parametrize("kind", ["npz", "jsonl"])
def test_masks_of_one_square_are_small(saved, split, kind):
    values = small(split, 48, 48)
    found = saved(values, kind)
    assert (found.form, found.size, found.protocols) == ("small", 48, ("paper", "resized"))
    for index, value in enumerate(values):
        answer = found.answer(index)
        assert answer.form == "small" and (answer.values == value).all()


def test_masks_at_the_size_of_square_photos_are_masks(saved, split, monkeypatch):
    sizes = np.full((len(split), 2), 48)
    monkeypatch.setattr("dghin.evaluation.predictions.predictions.photo_sizes", lambda *_: sizes)
    found = saved(small(split, 48, 48))
    assert (found.form, found.size, found.answer(0).form) == ("mask", None, "mask")
    logits = np.zeros((len(split), 2, 48, 48), np.float32)  # always of the network's size
    assert saved(logits).size == 48
    sizes[3] = 40, 50  # of one photo only: they are small, also about the square ones
    found = saved(small(split, 48, 48))
    assert (found.form, found.size, found.answer(0).form) == ("small", 48, "small")


def test_probabilities_and_logits(saved, split):
    random = np.random.default_rng(0)
    found = saved(random.random((len(split), 48, 48)))
    assert (found.form, found.size, found.protocols) == ("probability", 48, PROTOCOLS)
    assert found.answer(2).values.shape == (48, 48)
    found = saved([random.random(split.truth(i).shape) for i in range(len(split))])
    assert (found.form, found.size) == ("probability", None)
    assert found.protocols == ("strict", "threshold=0.35")
    logits = random.normal(size=(len(split), 2, 32, 32)).astype(np.float16)
    found = saved(logits)
    assert (found.form, found.size, found.protocols) == ("logits", 32, PROTOCOLS)
    assert (found.answer(4).values == logits[4]).all()


def test_wrong_sizes_are_counted_and_named(saved, split, masks):
    masks[2] = masks[2].T
    masks[5] = np.zeros((30, 30), bool)
    with pytest.raises(UserError) as error:
        saved(masks, "jsonl")
    height, width = masks[2].shape
    name = f"{split.expressions[2].segment_id}_{split.expressions[2].sentence_index}"
    assert f"2 of {len(split)} answers have another size" in str(error.value)
    assert f"{name} '{split.expressions[2].sentence}': {height} × {width} of a photo of " in str(
        error.value
    )
    assert "a.jsonl, val: " in str(error.value)
    values = list(small(split, 48, 48))
    values[7] = values[7][:40, :40]
    with pytest.raises(UserError, match=f"1 of {len(split)} answers .*40 × 40"):
        saved(values)


def test_wrong_sizes_of_images_are_refused_unread(tmp_path, split, masks):
    for mask, e in zip(masks, split.expressions, strict=True):
        Image.fromarray(mask).save(tmp_path / f"{e.segment_id}_{e.sentence_index}.png")
    path = next(iter(tmp_path.iterdir()))
    Image.fromarray(np.zeros((5, 9), bool)).save(path)
    with pytest.raises(UserError, match=f"1 of {len(split)} answers have another size .*5 × 9"):
        read_predictions(tmp_path, {"val": split})


def test_one_form_for_all(saved, split, masks):
    values = [mask.astype(np.uint8) for mask in masks]
    values[3] = values[3] * 0.5
    with pytest.raises(UserError, match="14 of the form mask, 1 of the form probability. Save all"):
        saved(values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v.astype(np.uint8) + (np.arange(v.size).reshape(v.shape) % 2), "values 0, 1, 2"),
        (lambda v: v.astype(np.uint8) * 7, "values 0, 7"),
    ],
)
def test_three_values_are_refused_when_they_are_read(saved, split, masks, change, said):
    masks[3] = change(masks[3])
    found = saved(masks)
    found.answer(2)
    with pytest.raises(UserError, match=f"a.npz, .*: a mask with the {said}"):
        found.answer(3)


def test_a_grey_border_in_an_image(tmp_path, split, masks):
    for mask, e in zip(masks, split.expressions, strict=True):
        grey = Image.fromarray(mask.astype(np.uint8) * 255)
        path = tmp_path / f"{e.segment_id}_{e.sentence_index}.png"
        grey.putpixel((0, 0), 128)
        grey.save(path)
    found = read_predictions(tmp_path, {"val": split})["val"]
    name = f"{split.expressions[1].segment_id}_{split.expressions[1].sentence_index}.png"
    with pytest.raises(UserError, match=f"{name}: a mask with the values 0, 128, 255. Save 0"):
        found.answer(1)


def test_values_that_are_not_finite(saved, split):
    logits = np.zeros((len(split), 2, 32, 32), np.float32)
    logits[1, 0, 3, 4] = np.nan
    found = saved(logits)
    with pytest.raises(UserError, match="a.npz, .*: logits with values that are not finite"):
        found.answer(1)


def test_one_channel_of_logits_is_no_probability(saved, split):
    found = saved(np.full((len(split), 32, 32), -3.5))
    with pytest.raises(UserError, match="no probabilities .0 to 1.. Apply the sigmoid"):
        found.answer(0)


def test_no_target_without_a_mask_is_empty_in_the_form_of_the_others(tmp_path, split, masks):
    expressions = split.expressions
    for values, size in ((masks, masks[4].shape), (small(split, 48, 48), (48, 48))):
        lines = [
            answer_line(v, e, no_target=False) for v, e in zip(values, expressions, strict=True)
        ]
        lines[4] = names(expressions[4]) | {"no_target": True}
        lines[5]["no_target"] = True  # with a mask: both are handed over
        write_answers(tmp_path / "a.jsonl", lines)
        found = read_predictions(tmp_path / "a.jsonl", {"val": split})["val"]
        answer = found.answer(4)
        assert answer.no_target is True and answer.values.shape == size
        assert not answer.values.any() and answer.form == found.form
        assert found.answer(5).no_target is True and (found.answer(5).values == values[5]).all()
        assert found.answer(6).no_target is False
    nothing = [names(e) | {"no_target": True} for e in expressions]
    write_answers(tmp_path / "a.jsonl", nothing)
    found = read_predictions(tmp_path / "a.jsonl", {"val": split})["val"]
    assert found.form == "mask" and found.answer(0).values.shape == split.truth(0).shape


def test_sizes_come_from_the_headers_of_the_true_masks(split, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", None)  # decoding would fail
    sizes = photo_sizes(split)
    monkeypatch.undo()
    assert sizes.tolist() == [list(split.truth(i).shape) for i in range(len(split))]
    split.masks, split._sizes = Path("elsewhere"), {}
    with pytest.raises(UserError, match="8.png: not readable as a mask .*dghin data prepare"):
        photo_sizes(split)


@pytest.mark.parametrize("kind", ["npz", "jsonl"])
def test_pickled_and_in_other_processes_the_same(saved, split, masks, kind):
    found = saved(masks[:-1], kind, missing="empty")
    found.answer(1)  # opens the file here
    again = pickle.loads(pickle.dumps(found))
    assert (again.sha256, again.missing) == (found.sha256, [len(split) - 1])
    assert (again.answer(1).values == masks[1]).all() and again.answer(len(split) - 1) is None
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for answer, mask in zip(pool.map(found.answer, range(4)), masks, strict=False):
            assert (answer.values == mask).all()


def test_memory_is_that_of_the_run_lengths(saved, split, masks):
    """Of 10,834 masks, real ones are about 500 runs, kept as text or as 4 bytes each."""
    found = saved(masks, "jsonl")
    written = sum(len(run_lengths(mask)["counts"]) for mask in masks)
    assert len(pickle.dumps(found)) < written + 2000 * len(masks) < sum(m.size for m in masks)


def test_needs_no_torch_and_lists_no_pycocotools(tmp_path, split, masks, tiny_config):
    """What a bare machine has: everything else cannot be imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pycocotools", None)
        lines = [answer_line(m, e) for m, e in zip(masks, split.expressions, strict=True)]
    assert isinstance(lines[0]["counts"], list)
    write_answers(tmp_path / "a.jsonl", lines)
    program = f"""
import sys
for name in ("torch", "pycocotools", "scipy", "pandas", "spacy", "transformers"):
    sys.modules[name] = None
from pathlib import Path
from dghin.data.split import PreparedSplit
from dghin.evaluation.predictions import read_predictions
from dghin.evaluation.predictions import write
split = PreparedSplit({str(split.prepared)!r}, "refcoco", "val")
found = read_predictions(Path({str(tmp_path / "a.jsonl")!r}), {{"val": split}})["val"]
assert sum(int(found.answer(i).values.sum()) for i in range(len(split))) == {
        sum(int(m.sum()) for m in masks)
    }
"""
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)


@pytest.mark.parametrize("counts", [[1], "1", "<1"])
def test_run_lengths_that_do_not_add_up_name_their_line_when_they_are_drawn(
    tmp_path, split, masks, counts
):
    lines = [answer_line(m, e) for m, e in zip(masks, split.expressions, strict=True)]
    lines[2]["counts"] = counts
    write_answers(tmp_path / "a.jsonl", lines)
    found = read_predictions(tmp_path / "a.jsonl", {"val": split})["val"]
    with pytest.raises(UserError, match=r"a.jsonl.*3.*pixels"):
        found.answer(2)
