"""Expressions of the embedded data set: true of one thing alone, varied, of the right mix."""

import json
from collections import Counter

import numpy as np
import pytest
from helpers.expressions import meant
from helpers.written_shapes import Written

from data_preprocess.shapes.dataset import ShapesSettings, make_scene, write_shapes
from data_preprocess.shapes.phrases import (
    KINDS,
    descriptions,
    place_sets,
    rank_sets,
    relation_sets,
    superlative_sets,
)

IMAGES = 60


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Written:
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root, ShapesSettings(images=IMAGES))
    return Written(root)


def test_every_expression_is_true_of_its_object_alone(written):
    """Read again from the text, the pixels and the masks (tests/expressions.py)."""
    for image_id in written.images:
        found = written.things(image_id)
        for ref in (ref for ref in written.refs if ref["image_id"] == image_id):
            for sentence in ref["sentences"]:
                for text in (sentence["sent"], sentence["raw"]):
                    truth = [[*found][index] for index in meant(text, [*found.values()])]
                    assert truth == [ref["ann_id"]], (image_id, text)


def referents(scene, said):
    """The things of which a description is clearly true, and those of which it might be."""
    members, anchors = (
        sum(1 << i for i, thing in enumerate(scene.things) if part and part.holds(thing))
        for part in (said.filter, said.anchor)
    )
    if said.kind == "attribute":
        return members, members
    if said.kind == "ordinal":
        return rank_sets(scene, members, said.how, said.rank)
    if said.kind == "superlative":
        return superlative_sets(scene, members, said.how)
    if said.kind == "place":
        clear, loose = place_sets(scene, said.how)
    else:
        assert anchors.bit_count() == 1
        clear, loose = relation_sets(scene, said.how, anchors.bit_length() - 1)
    return clear & members, loose & members


def test_descriptions_hold_clearly_and_alone():
    for number in range(1, 25):
        scene = make_scene(3, number, "train")
        for index, kinds in descriptions(scene).items():
            for said in (said for options in kinds.values() for said in options):
                assert referents(scene, said) == (1 << index, 1 << index)


def test_words(written):
    sentences = [s for ref in written.refs for s in ref["sentences"]]
    lengths = Counter(len(s["tokens"]) for s in sentences)
    assert min(lengths) == 1 and 9 <= max(lengths) <= 12
    assert all(len(s["raw"].split()) == len(s["tokens"]) for s in sentences)
    assert all(s["sent"] == " ".join(s["tokens"]) == s["raw"].lower().strip(".") for s in sentences)
    for ref in written.refs:
        assert len({s["sent"] for s in ref["sentences"]}) == len(ref["sentences"])
    assert len({s["sent"] for s in sentences}) > 0.75 * len(sentences)


def test_most_scenes_have_distractors(written):
    """One attribute is often not enough: things share shapes and colours."""
    shared = []
    for image_id in written.images:
        found = [*written.things(image_id).values()]
        shared += [sum(other.shape == one.shape for other in found) > 1 for one in found]
        shared += [sum(other.colour == one.colour for other in found) > 1 for one in found]
    assert np.mean(shared) > 0.7


def test_counts_and_kinds(written):
    kinds = Counter(s["kind"] for ref in written.refs for s in ref["sentences"])
    total = sum(kinds.values())
    assert 5 * IMAGES < total < 7.5 * IMAGES
    assert 2.5 * IMAGES < len(written.refs) < 3.5 * IMAGES
    assert set(kinds) == set(KINDS)
    for kind, share in zip(KINDS, (0.4, 0.22, 0.14, 0.1, 0.14), strict=True):
        assert share / 2 < kinds[kind] / total < share * 1.6, kind
    marker = json.loads((written.root / "shapes.json").read_text())
    assert sum(entry["expressions"] for entry in marker["splits"].values()) == total
