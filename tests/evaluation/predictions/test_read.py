"""The same masks in every form give the same arrays; what cannot be scored is refused before."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from dghin.evaluation.predictions import read_predictions
from dghin.evaluation.predictions.write import answer_line, write_answers


def runs(mask, plain=False):
    found = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    if not plain:
        return {"size": found["size"], "counts": found["counts"].decode()}
    flat = mask.ravel(order="F")
    bounds = [0, *([0] if flat[0] else []), *(np.flatnonzero(np.diff(flat)) + 1), flat.size]
    return {"size": list(mask.shape), "counts": np.diff(bounds).tolist()}


def pair(expression):
    return f"{expression.segment_id}_{expression.sentence_index}"


def png(folder, names, masks):
    folder.mkdir(parents=True)
    for name, mask in zip(names, masks, strict=True):
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}.png")
    return folder


def as_json(path, value):
    path.write_text(json.dumps(value))
    return path


def as_lines(path, entries):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def savez(path, **arrays):
    np.savez(path, **arrays)
    return path


def keyed(expressions, masks, plain=False, **keys):
    """Entries with keys that attributes of the expressions give."""
    return [
        {key: getattr(e, name) for key, name in keys.items()} | {"segmentation": runs(mask, plain)}
        for e, mask in zip(expressions, masks, strict=True)
    ]


def cris(expression, number):
    return f"{expression.segment_id}-iou={number}.25-{expression.sentence.replace(' ', '_')}"


FORMS = {
    "png by pair": lambda d, e, m: png(d / "a", map(pair, e), m),
    "png by sent_id": lambda d, e, m: png(d / "a", [x.sent_id for x in e], m),
    "png of CRIS": lambda d, e, m: png(d / "a", [cris(x, i) for i, x in enumerate(e)], m),
    "jsonl by sent_id": lambda d, e, m: as_lines(d / "a.jsonl", keyed(e, m, sent_id="sent_id")),
    "plain run lengths": lambda d, e, m: as_lines(
        d / "a.jsonl", keyed(e, m, True, sent_id="sent_id")
    ),
    "json by index": lambda d, e, m: as_json(
        d / "a.json", keyed(e, m, ref_id="segment_id", sentence_index="sentence_index")
    ),
    "json by sentence": lambda d, e, m: as_json(
        d / "a.json", keyed(e, m, ref_id="segment_id", sent="sentence")
    ),
    "json by image": lambda d, e, m: as_json(
        d / "a.json", keyed(e, m, image_path="image", caption="sentence")
    ),
    "mapping": lambda d, e, m: as_json(
        d / "a.json", {pair(x): runs(y) for x, y in zip(e, m, strict=True)}
    ),
    "parts": lambda d, e, m: (
        (
            as_lines(d / "a" / "rank0.jsonl", keyed(e[::2], m[::2], sent_id="sent_id")),
            as_lines(d / "a" / "rank1.jsonl", keyed(e[1::2], m[1::2], sent_id="sent_id")),
        )[0].parent
    ),
    "npz by pair": lambda d, e, m: savez(d / "a.npz", **dict(zip(map(pair, e), m, strict=True))),
    "npz by sent_id": lambda d, e, m: savez(
        d / "a.npz", **{x.sent_id: y for x, y in zip(e, m, strict=True)}
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_arrays(tmp_path, split, masks, form):
    path = FORMS[form](tmp_path, split.expressions, masks)
    found = read_predictions(path, {"val": split})["val"]
    assert len(found) == len(split) and (found.form, found.size) == ("mask", None)
    assert found.missing == []
    for index, mask in enumerate(masks):
        answer = found.answer(index)
        assert answer.form == "mask" and answer.values.dtype == bool
        assert answer.protocols == found.protocols == ("strict",)
        assert (answer.values == mask).all(), index


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_answer_in_every_form(tmp_path, split, masks, form):
    path = FORMS[form](tmp_path, split.expressions[:-2], masks[:-2])
    last = split.expressions[-2]
    with pytest.raises(UserError) as error:
        read_predictions(path, {"val": split})
    assert f"2 of {len(split)} expressions of 'val' have no answer" in str(error.value)
    assert f"{pair(last)} '{last.sentence}'" in str(error.value)
    assert str(path) in str(error.value) and "missing=empty" in str(error.value)
    found = read_predictions(path, {"val": split}, missing="empty")["val"]
    assert found.missing == [len(split) - 2, len(split) - 1]
    assert found.answer(len(split) - 1) is None
    assert (found.answer(0).values == masks[0]).all()


def test_a_split_without_any_answer_is_not_counted_as_empty(tmp_path, splits):
    write_answers(tmp_path / "a.jsonl", lines(splits["val"]))
    with pytest.raises(UserError, match="10 of 10 expressions of 'testA' have no answer"):
        read_predictions(tmp_path / "a.jsonl", splits, missing="empty")


def test_missing_is_one_of_two_words(tmp_path, split):
    with pytest.raises(UserError, match="unknown value of missing 'emtpy'. Did you mean 'empty'"):
        read_predictions(tmp_path, {"val": split}, missing="emtpy")


def lines(split):
    return [answer_line(split.truth(i), e) for i, e in enumerate(split.expressions)]


def drawn_as_truth(found, splits):
    for name, split in splits.items():
        for index in range(len(split)):
            assert (found[name].answer(index).values == split.truth(index)).all()


def test_one_file_answers_several_splits(tmp_path, splits):
    path = tmp_path / "a.jsonl"
    write_answers(path, [line for split in splits.values() for line in lines(split)])
    found = read_predictions(path, splits)
    drawn_as_truth(found, splits)
    assert {found[name].sha256 for name in splits} == {sha256_file(path)}
    by_split = {name: {f"{x['segment_id']}_{x['sentence_index']}": x for x in lines(split)}
                for name, split in splits.items()}  # fmt: skip
    drawn_as_truth(read_predictions(as_json(tmp_path / "b.json", by_split), splits), splits)
    with pytest.raises(
        UserError, match=r"10 answers are in none of the splits .*\(val\): 3[0-9]+, "
    ):
        read_predictions(path, {"val": splits["val"]})


@pytest.mark.parametrize("kind", ["jsonl", "json", "npz", "png", "parts"])
def test_a_folder_by_splits(tmp_path, splits, kind):
    for name, split in splits.items():
        truths = [split.truth(i) for i in range(len(split))]
        if kind == "jsonl":
            write_answers(tmp_path / f"{name}.jsonl", lines(split))
        elif kind == "json":
            as_json(tmp_path / f"{name}.json", lines(split))
        elif kind == "npz":
            pairs = dict(zip(map(pair, split.expressions), truths, strict=True))
            savez(tmp_path / f"{name}.npz", **pairs)
        elif kind == "png":
            png(tmp_path / name, map(pair, split.expressions), truths)
        else:
            as_lines(tmp_path / name / "0.jsonl", lines(split)[:3])
            as_lines(tmp_path / name / "1.jsonl", lines(split)[3:])
    found = read_predictions(tmp_path, splits)
    drawn_as_truth(found, splits)
    assert found["val"].sha256 != found["testA"].sha256
    drawn_as_truth(read_predictions(tmp_path, {"val": splits["val"]}), {"val": splits["val"]})
    for path in tmp_path.glob("testA*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match="files by split, but none for testA"):
        read_predictions(tmp_path, splits)


def test_one_folder_of_images_for_all_splits(tmp_path, splits):
    for name, split in splits.items():
        truths = [split.truth(i) for i in range(len(split))]
        made = png(tmp_path / name, map(pair, split.expressions), truths)
        for path in made.iterdir():
            path.rename(tmp_path / path.name)
        made.rmdir()
    found = read_predictions(tmp_path, splits)
    drawn_as_truth(found, splits)
    assert found["val"].sha256 == found["testA"].sha256  # the folder's


def test_the_digest_is_that_of_the_answers(tmp_path, split, masks):
    path = png(tmp_path / "a", map(pair, split.expressions), masks)
    first = read_predictions(path, {"val": split})["val"].sha256
    (path / "readme.txt").write_text("beside")
    shutil.copytree(path, tmp_path / "b")
    assert read_predictions(tmp_path / "b", {"val": split})["val"].sha256 == first
    Image.fromarray(~masks[1]).save(path / f"{pair(split.expressions[1])}.png")
    assert read_predictions(path, {"val": split})["val"].sha256 != first


def test_doubled_answers(tmp_path, split):
    twice = [*lines(split), lines(split)[1], lines(split)[1], lines(split)[4]]
    write_answers(tmp_path / "a.jsonl", twice)
    name = pair(split.expressions[1])
    with pytest.raises(UserError, match=f"2 answers are answered more than once: {name} '.*', .*"):
        read_predictions(tmp_path / "a.jsonl", {"val": split})
    png(tmp_path / "b", map(pair, split.expressions), [split.truth(i) for i in range(len(split))])
    by_number = f"{split.expressions[2].sent_id}.png"
    shutil.copy(tmp_path / "b" / f"{pair(split.expressions[2])}.png", tmp_path / "b" / by_number)
    with pytest.raises(UserError, match="1 answer is answered more than once"):
        read_predictions(tmp_path / "b", {"val": split})


def test_ids_of_no_split(tmp_path, split):
    strange = [{"sent_id": f"x{i}", "segmentation": runs(split.truth(0))} for i in range(5)]
    as_lines(tmp_path / "a.jsonl", [*lines(split), *strange])
    with pytest.raises(UserError, match=r"5 answers are in none .*: x0, x1, x2, \.\.\.\. Score"):
        read_predictions(tmp_path / "a.jsonl", {"val": split})


def test_image_and_sentence_that_do_not_decide(tmp_path, split):
    same = split.expressions[0].sentence
    other = next(
        i for i, e in enumerate(split.expressions)
        if e.image == split.expressions[0].image and e.segment_id != split.expressions[0].segment_id
    )  # fmt: skip
    split.expressions[other] = type(split.expressions[0])(
        **{**vars(split.expressions[other]), "sentence": same}
    )
    truths = [split.truth(i) for i in range(len(split))]
    entries = keyed(split.expressions, truths, image="image", sentence="sentence")
    path = as_json(tmp_path / "a.json", entries)
    with pytest.raises(UserError) as error:
        read_predictions(path, {"val": split})
    assert "2 answers are of several expressions (in these splits 1 pairs" in str(error.value)
    assert f"'{same}'" in str(error.value) and "Add the sent_id" in str(error.value)
    for entry, expression in zip(entries, split.expressions, strict=True):
        entry["sent_id"] = expression.sent_id
    drawn_as_truth(read_predictions(as_json(path, entries), {"val": split}), {"val": split})


def test_an_object_with_two_sentences_needs_the_sentence(tmp_path, split):
    named = keyed(split.expressions[:1], [split.truth(0)], ref_id="segment_id")
    with pytest.raises(UserError, match="1 answer is of several expressions: 8. Add the sent_id"):
        read_predictions(as_json(tmp_path / "a.json", named), {"val": split})


def test_the_same_words_twice_about_one_object(tmp_path, split):
    """CRIS writes both into one file: one question, one answer."""
    first, second = split.expressions[:2]
    assert first.segment_id == second.segment_id
    split.expressions[1] = type(first)(**{**vars(second), "sentence": first.sentence})
    truths = [split.truth(i) for i in range(len(split))]
    entries = keyed(split.expressions, truths, ref_id="segment_id", sent="sentence")
    entries[1]["segmentation"] = runs(~truths[1])
    found = read_predictions(as_json(tmp_path / "a.json", entries), {"val": split})["val"]
    assert (found.answer(0).values == truths[0]).all()
    assert (found.answer(1).values == ~truths[1]).all()
    found = read_predictions(as_json(tmp_path / "a.json", entries[1:]), {"val": split})["val"]
    assert (found.answer(0).values == ~truths[1]).all() and found.missing == []
    with pytest.raises(UserError, match="1 answer is answered more than once"):
        read_predictions(as_json(tmp_path / "a.json", [*entries, entries[0]]), {"val": split})


def test_segment_ids_where_an_object_has_one_sentence(tmp_path, split):
    alone = {e.segment_id: e for e in split.expressions}
    split.expressions = list(alone.values())
    truths = [split.truth(i) for i in range(len(split))]
    path = png(tmp_path / "a", alone, truths)
    drawn_as_truth(read_predictions(path, {"val": split}), {"val": split})


def test_nothing_there(tmp_path, split):
    for name, said in (
        ("none", "neither a file nor a folder"),
        ("a.pkl", "its suffix '.pkl' is not known. Accepted are .json, .jsonl and .npz"),
        ("empty", "empty. Accepted are"),
        ("texts", "it has only .jpg, .txt. Accepted are"),
        ("several", "which of its files are the predictions.* It has a.json, b.json"),
        ("mixed", "which of its files are the predictions.* It has a.jsonl, a.npz"),
    ):
        path = tmp_path / name
        if name == "a.pkl":
            path.write_bytes(b"")
        elif name != "none":
            path.mkdir()
        beside = {"texts": ("a.txt", "b.jpg"), "several": ("a.json", "b.json"),
                  "mixed": ("a.jsonl", "a.npz")}  # fmt: skip
        for file in beside.get(name, ()):
            (path / file).write_text("{}")
        with pytest.raises(UserError, match=f"{name}: {said}"):
            read_predictions(path, {"val": split})
    (tmp_path / "empty" / "val.json").write_text("[]")
    (tmp_path / "empty" / "val.npz").write_text("")
    with pytest.raises(UserError, match="'val' has val.json, val.npz. Keep one"):
        read_predictions(tmp_path / "empty", {"val": split})


def test_bad_parts_are_named(tmp_path, split):
    as_lines(tmp_path / "a" / "rank0.jsonl", lines(split)[:3])
    path = as_lines(tmp_path / "a" / "rank1.jsonl", lines(split)[3:])
    path.write_text(path.read_text()[:-20])
    with pytest.raises(UserError, match=f"rank1.jsonl, line {len(split) - 3}: .*cut off"):
        read_predictions(tmp_path / "a", {"val": split})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("sentence", "something else", "something else"),
        ("image", "COCO_train2014_000000999999.jpg", "999999"),
    ],
)
def test_an_answer_of_other_words_or_another_photo_is_refused(tmp_path, split, key, value, said):
    """Numbers of one data set are numbers of another, too: what else is said has to fit."""
    entries = lines(split)
    entries[2] |= {key: value}
    path = as_lines(tmp_path / "a.jsonl", entries)
    with pytest.raises(UserError, match=f"1 answer is of a sentence or a photo .*{said}"):
        read_predictions(path, {"val": split})


def test_words_and_photos_may_be_written_otherwise(tmp_path, split):
    entries = lines(split)
    for entry in entries:
        entry["sentence"] = entry["sentence"].upper() + "."
        entry["image"] = "photos/" + entry["image"].replace(".jpg", "_16.png")
    path = as_lines(tmp_path / "a.jsonl", entries)
    drawn_as_truth(read_predictions(path, {"val": split}), {"val": split})


def test_plain_answers_are_not_those_of_a_control(tmp_path, split, tiny_config):
    from dghin.evaluation.controls import alter

    questions = {"val": alter(split, "left-right", tiny_config, encode=False)}
    path = as_lines(tmp_path / "a.jsonl", lines(split))
    with pytest.raises(UserError, match="nothing asked"):
        read_predictions(path, {"val": split}, questions=questions)
    chosen = questions["val"].indices.tolist()
    path = as_lines(tmp_path / "b.jsonl", [lines(split)[index] for index in chosen])
    with pytest.raises(UserError, match=f"{len(chosen)} answers are of a sentence"):
        read_predictions(path, {"val": split}, questions=questions)


def test_what_people_do_by_mistake_is_said(tmp_path, split):
    entries = lines(split)
    for index, entry in enumerate(entries):
        empty = np.zeros(split.truth(index).shape[::-1], bool)
        entry |= runs(empty)
    path = as_lines(tmp_path / "a.jsonl", entries)
    with pytest.raises(UserError, match=r"with size \[height, width\], not"):
        read_predictions(path, {"val": split})
    (tmp_path / "jpeg").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "jpeg/1_0.jpg")
    with pytest.raises(UserError, match="save masks as PNG"):
        read_predictions(tmp_path / "jpeg", {"val": split})
