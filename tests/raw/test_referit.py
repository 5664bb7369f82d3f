import json
import logging

import pytest
from helpers.raw_trees import HEIGHT, WIDTH, edit_json, write_referit

from data_preprocess.base.errors import UserError
from data_preprocess.raw.datasets import DATASETS
from data_preprocess.raw.readers import read_raw

REFERIT = DATASETS["referit"]


@pytest.fixture
def raw(tmp_path):
    return write_referit(tmp_path)


def test_numbers_run_over_both_files_and_dropped_images_leave_gaps(raw, caplog):
    with caplog.at_level(logging.INFO):
        read = read_raw(raw, REFERIT)
    ids = {split: [r.segment_id for r in records] for split, records in read.splits.items()}
    assert ids == {"trainval": ["0", "2"], "test": ["3"]}
    assert dict(read.dropped) == {"trainval": 1}
    assert "19579" in caplog.text


def test_nothing_is_dropped_on_request(raw):
    read = read_raw(raw, REFERIT, drop=False)
    assert [r.image for r in read.splits["trainval"]] == ["7.jpg", "19579.jpg", "7.jpg"]


def test_records_hold_what_the_files_say(raw):
    record = read_raw(raw, REFERIT).splits["trainval"][0]
    assert record.size == (HEIGHT, WIDTH)
    assert record.bbox == (4, 2, 6, 4)
    assert [s.text for s in record.sentences] == ["sky", "the sky"]
    assert record.shape == raw / "images/referit/mask/7_1.mat"


def test_masks_images_sizes_and_boxes_may_be_absent(raw):
    for path in [*raw.glob("images/referit/*/*"), raw / "referit/referit_imsize.json",
                 raw / "referit/referit_bbox.json"]:  # fmt: skip
        path.unlink()
    record = read_raw(raw, REFERIT).splits["trainval"][0]
    assert record.size is None and record.bbox == ()


@pytest.mark.parametrize("kinds", [["place", "attribute"], "place"])
def test_kinds_of_the_embedded_data_set(raw, kinds):
    (raw / "referit/referit_kind.json").write_text(json.dumps({"7_1": kinds}))
    first, second = read_raw(raw, REFERIT).splits["trainval"]
    assert first.sentences[0].kind == "place" and second.sentences[0].kind == ""


def test_too_few_kinds(raw):
    (raw / "referit/referit_kind.json").write_text('{"7_1": ["place"]}')
    with pytest.raises(UserError, match="region 7_1: 2 expressions, but 1 kinds"):
        read_raw(raw, REFERIT)


def test_missing_and_broken_files(raw):
    path = raw / "referit/referit_query_test.json"
    path.write_text("{")
    with pytest.raises(UserError, match=r"query_test\.json: not readable as JSON"):
        read_raw(raw, REFERIT)
    path.write_text("[]")
    with pytest.raises(UserError, match=r"query_test\.json: expected regions"):
        read_raw(raw, REFERIT)
    path.unlink()
    with pytest.raises(UserError, match=r"query_test\.json: no such file"):
        read_raw(raw, REFERIT)


def test_a_split_may_be_empty_but_not_all(raw):
    (raw / "referit/referit_query_test.json").write_text("{}")
    assert list(read_raw(raw, REFERIT).splits) == ["trainval"]
    (raw / "referit/referit_query_trainval.json").write_text("{}")
    with pytest.raises(UserError, match=r"query_trainval\.json: no region in it"):
        read_raw(raw, REFERIT)


@pytest.mark.parametrize(("texts", "message"), [([""], "sentence 0: the expression is empty"),
                                                ([], "no expressions")])  # fmt: skip
def test_empty_expression_names_file_and_region(raw, texts, message):
    edit_json(raw / "referit/referit_query_trainval.json", lambda q: q.update({"7_2": texts}))
    with pytest.raises(UserError, match=f"region 7_2.*{message}") as error:
        read_raw(raw, REFERIT)
    assert "referit_query_trainval.json" in str(error.value)
