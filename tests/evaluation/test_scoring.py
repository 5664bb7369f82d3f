"""Rows: what they hold of an expression and of its answer, in whatever form that is."""

import numpy as np
import pytest

from data_preprocess.base.errors import UserError
from dghin.data.split import open_split
from dghin.evaluation.answers import Answer, Counts
from dghin.evaluation.scoring import (
    Row,
    add_agreement,
    answered,
    frame_of,
    image_groups,
    row_of,
    without_mask,
)


@pytest.fixture
def split(tiny_config):
    return open_split(tiny_config, "val")


def test_a_row_of_a_mask(split):
    truth = split.truth(0)
    row = row_of(split, 0, truth, truth)
    columns, one = row.columns, split.expressions[0]
    assert columns["sent_id"] == one.sent_id and columns["sentence"] == one.sentence
    assert columns["strict_intersection"] == columns["strict_union"] == columns["area"]
    assert "paper_union" not in columns and "no_target" not in columns
    assert columns["box_iou"] > 0.9 and (row.mask == truth).all()


def test_a_row_of_scores_only(split):
    row = row_of(split, 0, split.truth(0), Counts(3, 7, no_target=False))
    assert row.mask is None and row.columns["resized_intersection"] == 3
    assert row.columns["no_target"] is False


def test_a_wrong_answer_names_its_expression(split):
    with pytest.raises(UserError, match=split.expressions[1].sentence):
        row_of(split, 1, split.truth(1), np.ones((3, 5), bool))


def test_agreement_is_the_iou_with_the_mask_before(split):
    truth = split.truth(0)
    row = add_agreement(row_of(split, 0, truth, truth), "other words", ~truth)
    assert row.columns["read"] == "other words"
    assert row.columns["agreement_intersection"] == 0
    assert row.columns["agreement_union"] == truth.size
    unknown = add_agreement(Row({}, None), "words", truth)
    assert "agreement_union" not in unknown.columns


def test_what_is_kept_of_a_row(split):
    row = row_of(split, 0, split.truth(0), split.truth(0))
    assert answered(row).mask["size"] == list(split.truth(0).shape)
    assert without_mask(row).mask is None and without_mask(row).columns == row.columns


def test_a_frame_is_in_the_order_of_the_split(split):
    rows = [row_of(split, i, split.truth(i), split.truth(i)).columns for i in (2, 0, 1)]
    frame = frame_of(rows, 3, "val")
    assert frame["sentence"].tolist() == [split.expressions[i].sentence for i in range(3)]
    with pytest.raises(RuntimeError, match="3 rows for 4"):
        frame_of(rows, 4, "val")


def test_what_a_model_says_itself_may_be_unknown_of_some(split):
    said = Answer(np.zeros(split.truth(0).shape, bool), "mask", True)
    rows = [
        row_of(split, 0, split.truth(0), said),
        row_of(split, 1, split.truth(1), split.truth(1)),
    ]
    frame = frame_of([row.columns for row in rows], 2, "val")
    assert frame["no_target"].isna().tolist() == [False, True]


def test_groups_are_of_one_image(split):
    groups = image_groups(split, len(split))
    assert sorted(sum(groups, [])) == list(range(len(split)))
    assert all(len({split.expressions[i].image for i in group}) == 1 for group in groups)
