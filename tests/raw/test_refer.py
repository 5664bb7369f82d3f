import logging
import pickle
from collections import OrderedDict

import pytest
from helpers.raw_trees import HEIGHT, WIDTH, edit_json, edit_pickle, write_refer

from data_preprocess.base.errors import UserError
from data_preprocess.raw.datasets import DATASETS, check_split, find_dataset
from data_preprocess.raw.readers import read_raw, read_split
from data_preprocess.raw.refer import read_pickle

REFCOCO = DATASETS["refcoco"]


@pytest.fixture
def raw(tmp_path):
    return write_refer(tmp_path)


def test_records_hold_what_the_files_say(raw):
    splits = read_raw(raw, REFCOCO).splits
    assert {split: len(records) for split, records in splits.items()} == {
        "train": 2, "val": 1, "testA": 1,
    }  # fmt: skip
    record = splits["train"][0]
    assert record.segment_id == "10"
    assert record.image == "COCO_train2014_000000000001.jpg"
    assert record.size == (HEIGHT, WIDTH)
    assert [s.text for s in record.sentences] == ["left man", "the man on the left"]
    assert record.category == "thing" and record.bbox == (1.0, 2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("name", "folder", "split_by"),
    [("refcoco+", "refcoco+", "unc"), ("refcocog_umd", "refcocog", "umd"),
     ("refcocog_google", "refcocog", "google")],
)  # fmt: skip
def test_every_refer_data_set_is_found_where_the_release_puts_it(tmp_path, name, folder, split_by):
    write_refer(tmp_path, folder, split_by)
    assert len(read_split(tmp_path, DATASETS[name], "val")) >= 1


def test_kind_is_kept(raw):
    edit_pickle(raw / REFCOCO.refs, lambda refs: refs[0]["sentences"][1].update(kind="place"))
    assert [s.kind for s in read_split(raw, REFCOCO, "train")[0].sentences] == ["", "place"]


def test_others_of_the_same_class_in_the_image_are_counted(raw):
    def change(instances):
        one = instances["annotations"][0]
        instances["annotations"] += [
            {**one, "id": 900, "iscrowd": 1}, {**one, "id": 901, "category_id": 2},
            {**one, "id": 902, "image_id": 3}, {**one, "id": 903, "category_id": [1]},
            {**one, "id": 904, "category_id": None},
        ]  # fmt: skip
        instances["annotations"][2].pop("category_id")

    splits = read_raw(raw, REFCOCO).splits
    assert [r.distractors for r in splits["train"]] == [1, 1]
    assert [splits[name][0].distractors for name in ("val", "testA")] == [0, 0]
    edit_json(raw / "refcoco/instances.json", change)
    splits = read_raw(raw, REFCOCO).splits
    assert [r.distractors for r in splits["train"]] == [2, 2]
    assert splits["val"][0].distractors is None  # of no category
    assert splits["testA"][0].distractors == 1


def test_among_referred_objects_only_nothing_is_counted(raw):
    """Converted files often hold no other objects: others of the class are unknown there."""
    edit_json(raw / "refcoco/instances.json", lambda found: found["annotations"].pop(4))
    records = [r for listed in read_raw(raw, REFCOCO).splits.values() for r in listed]
    assert [r.distractors for r in records] == [None] * 4


def test_python_2_pickles_are_read(tmp_path):
    path = tmp_path / "old.p"
    # what Python 2 writes for [{'sent': 'caf\xe9', 'n': 5L}]: byte strings and a long
    path.write_bytes(
        b"\x80\x02]q\x00}q\x01(U\x04sentq\x02U\x04caf\xe9q\x03U\x01nq\x04\x8a\x01\x05ua."
    )
    assert read_pickle(path) == [{"sent": "café", "n": 5}]


@pytest.mark.parametrize("missing", ["refcoco/instances.json", "refcoco/refs(unc).p"])
def test_missing_raw_file(raw, missing):
    (raw / missing).unlink()
    with pytest.raises(UserError, match="no such file.*REFER release") as error:
        read_raw(raw, REFCOCO)
    assert missing in str(error.value)


def test_missing_raw_root(tmp_path):
    with pytest.raises(UserError, match="no such folder.*data=FOLDER"):
        read_raw(tmp_path / "nowhere", REFCOCO)


def test_broken_json(raw):
    (raw / "refcoco/instances.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"instances\.json: not readable as JSON"):
        read_raw(raw, REFCOCO)


def test_json_of_something_else(raw):
    (raw / "refcoco/instances.json").write_text("[]")
    with pytest.raises(UserError, match=r"instances\.json: no 'images'"):
        read_raw(raw, REFCOCO)


def test_broken_pickle(raw):
    content = (raw / REFCOCO.refs).read_bytes()
    (raw / REFCOCO.refs).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"refs\(unc\)\.p: not readable as a pickle"):
        read_raw(raw, REFCOCO)


class _Payload:
    def __reduce__(self):
        return (print, ("this must never be printed",))


@pytest.mark.parametrize(
    ("value", "name"),
    [(_Payload(), "builtins.print"), (OrderedDict(a=1), "collections.OrderedDict"),
     ({1, 2}, None), (b"bytes", None)],
)  # fmt: skip
def test_forbidden_class_is_named_and_not_run(tmp_path, capsys, value, name):
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps([value], protocol=2 if name else 4))
    if name is None:  # plain data
        assert read_pickle(path) == [value]
        return
    with pytest.raises(UserError, match=f"asks for (__builtin__|{name.split('.')[0]})") as error:
        read_pickle(path)
    assert str(path) in str(error.value) and "REFER release" in str(error.value)
    assert capsys.readouterr().out == ""


def test_empty_expression_names_file_and_place(raw):
    edit_pickle(raw / REFCOCO.refs, lambda refs: refs[0]["sentences"][1].update(sent="  "))
    with pytest.raises(UserError, match=r"ref_id 10, sentence 1 \(sent_id 1\).*empty") as error:
        read_raw(raw, REFCOCO)
    assert "refs(unc).p" in str(error.value) and "Remove it" in str(error.value)


def test_object_without_sentences(raw):
    edit_pickle(raw / REFCOCO.refs, lambda refs: refs[0].update(sentences=[]))
    with pytest.raises(UserError, match="ref_id 10: no sentences"):
        read_raw(raw, REFCOCO)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"ann_id": 999}, "ann_id 999 is no annotation"), ({"image_id": 77}, "77 is no image"),
     ({"image_id": 2}, "says image 2, but annotation 100")],
)  # fmt: skip
def test_references_must_exist(raw, change, message):
    edit_pickle(raw / REFCOCO.refs, lambda refs: refs[0].update(change))
    with pytest.raises(UserError, match=message):
        read_raw(raw, REFCOCO)


def test_missing_key_is_named(raw):
    edit_json(raw / "refcoco/instances.json", lambda d: d["annotations"][2].pop("segmentation"))
    with pytest.raises(UserError, match="annotation number 2 has no 'segmentation'"):
        read_raw(raw, REFCOCO)


def test_objects_of_unknown_splits_are_left_out_with_a_warning(raw, caplog):
    edit_pickle(raw / REFCOCO.refs, lambda refs: refs[0].update(split="testC"))
    with caplog.at_level(logging.WARNING):
        assert len(read_raw(raw, REFCOCO).splits["train"]) == 1
    assert "testC" in caplog.text


def test_unknown_names():
    with pytest.raises(UserError, match="unknown data set 'refcocog'. Did you mean 'refcoco"):
        find_dataset("refcocog")
    with pytest.raises(UserError, match="unknown split of refcoco: 'testa'. Did you mean 'testA'"):
        check_split(REFCOCO, "testa")


def test_split_that_this_copy_lacks(raw):
    with pytest.raises(UserError, match="no object of split 'testB'.*train, val, testA"):
        read_split(raw, REFCOCO, "testB")
