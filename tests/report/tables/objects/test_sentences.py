"""What the tables say in words: numbers of the table, and the error that is the main one."""

import pytest
from helpers.rows import with_places

from dghin.report.tables.objects.lies_on import TABLES
from dghin.report.tables.objects.sentences import sentences


def tables(lines, names=("lies_on",), split="val"):
    made = {name: TABLES[name]({"": {split: with_places(lines)}}) for name in names}
    return {name: table for name, table in made.items() if len(table)}


def lines(kind, **counts):
    """Masks of a kind by what they lie on."""
    names = {"same": "same class", "other": "other class"}
    return [
        (kind, names.get(place, place), None, None, None, None, None)
        for place, count in counts.items()
        for _ in range(count)
    ]


def test_the_sentence_of_a_kind():
    (text,) = sentences(tables(lines("ordinal", meant=43, same=38, other=9, several=10)))
    assert text == (
        "Of 100 expressions of kind “ordinal”, 43 % of the masks lie on the object meant, 38 % on "
        "another of its class, 9 % on an object of another class; 10 % mark several objects, none "
        "or nothing: where it is wrong, the class is mostly right and the count is wrong."
    )


@pytest.mark.parametrize(
    ("counts", "end"),
    [
        ({"meant": 50, "same": 5, "nothing": 30, "several": 15}, "marks no single object."),
        ({"meant": 50, "other": 30, "same": 20}, "the class is mostly wrong."),
        ({"meant": 40, "other": 20, "same": 20, "nothing": 20}, "no one error is the main one."),
        ({"meant": 89, "same": 11}, "the class is mostly right and the relation is wrong."),
        ({"meant": 90, "same": 10}, "none or nothing."),  # good enough
    ],
)
def test_the_main_error(counts, end):
    (text,) = sentences(tables(lines("relation", **counts)))
    assert text.endswith(end)


def test_few_expressions_say_nothing():
    assert sentences(tables(lines("place", meant=19))) == []
    assert len(sentences(tables(lines("place", meant=20)))) == 1
    assert sentences({}) == []


def test_counting_at_the_ends_and_between_them():
    found = [("ordinal", "meant", 2, True, None, 1, 0)] * 15
    found += [("ordinal", "same class", 4, True, None, 2, -1)] * 8
    found += [("ordinal", "meant", 4, True, None, 2, 0)] * 2
    (text,) = sentences(tables(found, TABLES))
    assert "A guess among the objects that the name fits would be right in 40 %." in text
    assert text.endswith(
        "At the right place are 100 % of the 15 that ask for the first (a guess: 50 %) and 20 % of "
        "the 10 that ask for one that is neither first nor last (a guess: 25 %)."
    )


def test_anchors_of_relations():
    found = [("relation", "meant", 2, True, False, None, None)] * 30
    found += [("relation", "other class", 2, False, True, None, None)] * 10
    (text,) = sentences(tables(found, TABLES))
    assert "right in 50 %; 25 % lie on the object that the relation names (the anchor)." in text


def test_an_attribute_needs_no_guess():
    found = [("attribute", "meant", 1, True, None, None, None)] * 30
    (text,) = sentences(tables(found, TABLES))
    assert "guess" not in text
