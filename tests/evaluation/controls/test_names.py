"""The controls by name."""

import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.language.kinds import DESCRIPTORS
from dghin.evaluation.controls import CONTROLS, EXAM, WITHOUT, check_control, needs_other_images


def test_the_exam_begins_with_the_five_controls():
    assert EXAM[: len(CONTROLS)] == CONTROLS
    assert len(set(EXAM)) == len(EXAM)
    assert tuple(WITHOUT.values()) == DESCRIPTORS and set(WITHOUT) <= set(EXAM)


def test_names_are_checked():
    assert [check_control(name) for name in EXAM] == list(EXAM)
    with pytest.raises(UserError, match="Did you mean 'without-colour'"):
        check_control("without-color")
    assert [name for name in EXAM if needs_other_images(name)] == ["shuffled", "other-image"]
