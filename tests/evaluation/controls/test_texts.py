"""Controls that change the sentence, on sentences written by hand."""

from types import SimpleNamespace

import pytest

from dghin.evaluation.controls.texts import (
    altered_text,
    merged,
    negated,
    reordered,
    without,
    without_places,
)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("colour", "the red star", "the star"),
        ("colour", "plus that is green", "plus"),
        ("colour", "light blue shirt", "shirt"),
        ("colour", "the orange on the left", "on the left"),
        ("colour", "Red car, please", "car, please"),
        ("size", "big green shape", "green shape"),
        ("size", "the huge one", "the one"),
        ("place", "the left star", "the star"),
        ("place", "star on the left", "star"),
        ("place", "star on the left side of the picture", "star"),
        ("place", "black one in the bottom left corner", "black one"),
        ("place", "man on the left in red", "man in red"),
        ("place", "blue star to the left of the big black ring",
         "blue star of the big black ring"),
        ("place", "second from the left", "second"),
        ("place", "man behind", "man"),
        ("superlative", "the largest star", "the star"),
        ("superlative", "the rightmost one", "the one"),
        ("superlative", "star that is the largest", "star"),
        ("ordinal", "the third star from the left", "the star from the left"),
        ("ordinal", "the third one from the bottom", "the one from the bottom"),
        ("ordinal", "two from left", "from left"),
    ],
)  # fmt: skip
def test_words_of_a_class_are_left_out(kind, before, after):
    assert without(before, kind) == after
    assert altered_text(before, f"without-{kind}") == after


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("colour", "the big star"),  # no such word
        ("colour", "the red"),  # no other word
        ("place", "the top left"),
        ("colour", "shape that is not red"),  # would say something else
        ("place", "star above the box"),  # a relation to another thing
        ("place", "star close to the box"),
        ("place", "cross lower than the box"),
        ("place", "man in red top"),  # clothes
        ("place", "man facing left"),
    ],
)
def test_where_nothing_can_be_left_out_there_is_no_row(kind, sentence):
    assert without(sentence, kind) is None


def test_the_order_depends_on_the_sentence_only():
    sentence = "the small red star on the left"
    found = reordered(sentence)
    assert found == reordered(sentence) != sentence
    assert sorted(found.split()) == sorted(sentence.split())
    assert reordered("red star") is None and reordered("star star star") is None
    assert reordered("a a b") in ("a b a", "b a a")


def test_negation_is_one_not_in_front():
    assert negated("the red star") == "not the red star"
    assert negated("shape that is not red") is None and negated("Nobody") == "not Nobody"


def test_merged_is_a_query_an_object():
    said = [("a", "1", "red star"), ("a", "2", "left"), ("a", "1", "the star"),
            ("a", "1", "red star")]  # fmt: skip
    expressions = [
        SimpleNamespace(image=image, segment_id=number, sentence=text)
        for image, number, text in said
    ]
    assert merged(expressions) == {0: "red star, the star", 1: "left"}


def test_who_hears_no_places_hears_the_rest_in_order():
    same = ["star", "the star on the left", "star on the right side", "topmost star", "star below"]
    assert {without_places(sentence) for sentence in same} == {("star",)}
    assert without_places("not the red star") == ("not", "red", "star")
