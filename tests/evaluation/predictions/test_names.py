"""Expressions by the names that other projects give them."""

from types import SimpleNamespace

import pytest

from data_preprocess.base.errors import UserError
from dghin.data.split import Expression
from dghin.evaluation.predictions.names import Asked, Names


def made(*rows):
    """A split of (segment_id, index, sentence, image, sent_id)."""
    found = [Expression(s, k, text, "", image, 3, sent_id=i) for s, k, text, image, i in rows]
    return SimpleNamespace(expressions=found)


@pytest.fixture
def names():
    return Names(
        {
            "val": made(
                ("12", 0, "the man in red", "a.jpg", "40"),
                ("12", 1, "Man, left!", "a.jpg", "41"),
                ("13", 0, "a dog", "b.jpg", "42"),
            ),
            "test": made(("14", 0, "a dog", "b.jpg", "43"), ("15", 0, "a cat", "b.jpg", "44")),
        }
    )


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        (Asked(sent_id="41"), [("val", 1)]),
        (Asked(sent_id="43"), [("test", 0)]),
        (Asked(sent_id="43", split="val"), []),
        (Asked(sent_id="99", ref="12", index="0"), []),  # a number that is given decides
        (Asked(ref="12", index="1"), [("val", 1)]),
        (Asked(ref="12", index="2"), []),
        (Asked(ref="12", sentence="the man in red"), [("val", 0)]),
        (Asked(ref="12", sentence=" The  man in RED"), [("val", 0)]),
        (Asked(ref="12", sentence="man left"), [("val", 1)]),
        (Asked(ref="12", sentence="man_left"), [("val", 1)]),
        (Asked(ref="12", sentence="woman"), []),
        (Asked(ref="12"), [("val", 0), ("val", 1)]),
        (Asked(ref="13"), [("val", 2)]),
        (Asked(image="a.jpg", sentence="the man in red"), [("val", 0)]),
        (Asked(image="train2014/a.jpg", sentence="the man in red"), [("val", 0)]),
        (Asked(image="b.jpg", sentence="a dog"), [("val", 2), ("test", 0)]),
        (Asked(image="b.jpg", sentence="a dog", split="test"), [("test", 0)]),
        (Asked(image="b.jpg", sentence="?!"), []),
        (Asked(), []),
    ],
)
def test_find(names, asked, places):
    assert list(names.find(asked)) == places


def test_without_numbers_of_sentences_the_object_decides():
    names = Names({"val": made(("12", 0, "a", "a.jpg", ""), ("12", 1, "b", "a.jpg", ""))})
    assert names.find(Asked(sent_id="99", ref="12", index="1")) == (("val", 1),)


def test_a_mask_a_sentence():
    names = Names({"val": made(("12_0", 0, "a", "a.jpg", "1"), ("12_1", 1, "b", "a.jpg", "2"))})
    for asked in (Asked(ref="12", index="1"), Asked(ref="12_1", index="1"), Asked(ref="12_1"),
                  Asked(ref="12", sentence="b")):  # fmt: skip
        assert names.find(asked) == (("val", 1),), asked
    assert names.find_all([Asked(name="12_1")], "here") == [(("val", 1),)]


def test_a_joint_set():
    names = Names(
        {
            "val": made(
                ("refcoco/12", 0, "a", "a.jpg", "1"),
                ("refcoco+/12", 0, "a", "a.jpg", "1"),
                ("refcoco+/13", 0, "b", "a.jpg", "2"),
            )
        }
    )
    assert names.find(Asked(ref="refcoco+/12", index="0")) == (("val", 1),)
    assert names.find(Asked(ref="13", index="0")) == (("val", 2),)
    assert len(names.find(Asked(ref="12", index="0"))) == 2
    assert len(names.find(Asked(sent_id="1"))) == 2
    assert names.find(Asked(sent_id="1", ref="refcoco+/12")) == (("val", 1),)


def named(names, *texts):
    return names.find_all([Asked(name=text) for text in texts], "here")


def test_names_of_a_file_are_read_in_one_way(names):
    assert named(names, "12_1", "13_0", "x") == [(("val", 1),), (("val", 2),), ()]
    assert named(names, "40", "44") == [(("val", 0),), (("test", 1),)]
    assert named(names, "13", "14") == [(("val", 2),), (("test", 0),)]
    swapped = Names({"val": made(("1", 0, "a", "a.jpg", "2"), ("2", 0, "b", "a.jpg", "1"))})
    with pytest.raises(
        UserError, match="^here: .*'1', are known both as sent_id and as segment_id"
    ):
        named(swapped, "1", "2")
    assert named(swapped, "1_0", "2_0") == [(("val", 0),), (("val", 1),)]
    same = Names({"val": made(("1", 0, "a", "a.jpg", "1"), ("2", 0, "b", "a.jpg", "2"))})
    assert named(same, "1", "2") == [(("val", 0),), (("val", 1),)]


def test_how_often_image_and_sentence_are_not_enough(names):
    assert names.ambiguous_pairs() == 1


def test_the_same_words_about_one_object_are_one_question():
    rows = made(("1", 0, "dog", "a", "1"), ("1", 1, "Dog.", "a", "2"), ("2", 0, "dog", "a", "3"))
    names = Names({"val": rows})
    assert names.same_question((("val", 0), ("val", 1)))
    assert not names.same_question((("val", 0), ("val", 2)))
