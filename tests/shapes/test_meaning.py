"""What expressions say of the objects around: as a second reading of their words finds it."""

import re

import pytest
from helpers.expressions import RANKS, RELATIONS, passing, strip_side
from helpers.written_shapes import Written

from data_preprocess.shapes.dataset import ShapesSettings, write_shapes
from data_preprocess.shapes.meaning import meanings
from data_preprocess.shapes.phrases import along, rank_sets
from data_preprocess.shapes.scene import Scene, Thing

ORDINAL = re.compile(rf"\b({'|'.join(RANKS)})\b(.*?) ?from (?:the )?(\w+)(.*)")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Written:
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root, ShapesSettings(images=60, seed=2))
    return Written(root)


def sentences(written, kind):
    """(what an expression says, its words, its object's id, the things by id) of a kind."""
    for ref in written.refs:
        things = written.things(ref["image_id"])
        known = meanings(2, ref["image_id"], ref["split"])
        for sentence in ref["sentences"]:
            said = known.pop((ref["ann_id"], sentence["sent"]))
            if sentence["kind"] == kind:
                yield said, sentence["sent"], ref["ann_id"], things


def named(text, things):
    return {[*things][index] for index in passing(text, [*things.values()])}


def test_an_ordinal_counts_what_its_name_fits_from_its_side(written):
    count = 0
    for said, text, meant, things in sentences(written, "ordinal"):
        rank, name, side, after = ORDINAL.search(text).groups()
        before = text[: text.index(rank)]
        assert set(said.fits) == named(f"{before} {name} {after}", things), text
        assert said.rank == RANKS[rank] and said.fits[said.rank - 1] == meant
        places = [things[number].side(side) for number in said.fits]
        late = [one > other + 0.05 for one, other in zip(places, places[1:], strict=False)]
        assert not any(late) and said.anchor is None, text
        count += 1
    assert count > 15


def test_a_relation_names_its_anchor(written):
    count = 0
    for said, text, meant, things in sentences(written, "relation"):
        phrase = next(phrase for phrase in RELATIONS if f" {phrase} " in f" {text} ")
        before, _, after = f" {text} ".partition(f" {phrase} ")
        assert {said.anchor} == named(after, things), text
        assert set(said.fits) == named(strip_side(before), things) and meant in said.fits
        assert said.rank == 0 and said.anchor != meant
        count += 1
    assert count > 15


def test_attributes_fit_their_object_alone(written):
    found = list(sentences(written, "attribute"))
    assert len(found) > 50 and all(said.fits == (meant,) for said, _, meant, _ in found)


def test_another_seed_is_another_scene(written):
    split = written.refs[0]["split"]
    assert meanings(2, 1, split) == meanings(2, 1, split) != meanings(3, 1, split)


def test_members_stand_in_the_order_from_a_side():
    places = ((90, 10), (10, 50), (50, 90))
    things = tuple(
        Thing(number, "star", "red", "small", x, y, 5, 0) for number, (x, y) in enumerate(places, 1)
    )
    scene = Scene(1, "val", 100, 100, things)
    assert list(along(scene, 0b111, "left")) == [1, 2, 0]
    assert list(along(scene, 0b111, "right")) == [0, 2, 1]
    assert list(along(scene, 0b101, "top")) == [0, 2]
    assert list(along(scene, 0b111, "bottom")) == [2, 1, 0]
    assert rank_sets(scene, 0b111, "right", 2) == (0b100, 0b100)
