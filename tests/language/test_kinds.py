"""Kinds of expressions: by hand, by the embedded data set, and where the rule draws its lines."""

import pickle

import pytest
import spacy
from spacy.tokens import Doc

from data_preprocess.language.features import CODES
from data_preprocess.language.kinds import DESCRIPTORS, depth, descriptors, kind
from data_preprocess.raw.records import KINDS
from data_preprocess.shapes import phrases

# real expressions of RefCOCO and ReferIt, labelled by hand
BY_HAND = {
    "ordinal": (
        "second man on the left side of the woman", "third bottle from left", "last plane",
        "top row third donut from left", "2nd white chair to the left", "kid in first row",
        "fourth potty from the left", "tree two from the left", "second vase",
    ),
    "superlative": (
        "chair closest to you center", "left most sandwich middle", "far left man only see knee",
        "pizza furthest right", "tallest giraffe", "girl closest to hydrant", "topmost dish",
        "biggest person",
    ),
    "relation": (
        "girl next to the unbrella on the right", "person to the right of bananas",
        "boy on skateboard", "grass above rocky path", "man holding phone",
        "bike behind the glitter one", "jeep grill behind clown", "dirt area on left by guy",
        "giraffe in front of woman to right", "person playing tennis",
    ),
    "place": (
        "right old guy", "black shirt top right", "person at right in striped apron",
        "bottom left corner of picture", "woman front", "guy with red blue and white jacket "
        "in the middle", "lady on right", "front sandwich", "dude on the left standing",
    ),
    "attribute": (
        "red shirt girl", "woman wearing glasses", "man with crossed arms", "old man",
        "player in red and white", "guy in blue", "giraffe facing right", "small kid",
        "blue skirt with white polka dots",
        "catcher kneeling", "man standing",
    ),
    "": ("the bus", "elephant", "slice of pizza", "hot dog", "strawberries", "person", "the groom"),
}  # fmt: skip


def test_codes_are_those_of_the_embedded_data_set():
    assert phrases.KINDS is KINDS and CODES == ("", *KINDS)


@pytest.mark.parametrize("wanted", [*KINDS, ""], ids=[*KINDS, "none"])
def test_real_expressions_labelled_by_hand(encoder, wanted):
    found = {sentence: encoder(sentence).kind for sentence in BY_HAND[wanted]}
    assert found == dict.fromkeys(BY_HAND[wanted], wanted)


def test_labels_of_the_embedded_data_set(encoder, shapes):
    """Names alone ("the star") are attributes there, but none of the kinds here."""
    refs = pickle.loads((shapes / "refcoco" / "refs(unc).p").read_bytes())
    known = {said["sent"]: said["kind"] for ref in refs for said in ref["sentences"]}
    found = {sentence: one.kind for sentence, one in zip(known, encoder.encode(known), strict=True)}
    assert len(known) > 100 and set(known.values()) == set(KINDS)
    right = [sentence for sentence in known if found[sentence] == known[sentence]]
    assert len(right) >= 0.95 * len(known), set(known) - set(right)
    for name in KINDS:
        own = [sentence for sentence in known if known[sentence] == name]
        assert len(set(own) & set(right)) >= 0.9 * len(own), set(own) - set(right)


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("man behind the second woman", "relation"),  # the anchor's rank
        ("second man behind the woman", "ordinal"),
        ("man next to the biggest dog", "relation"),
        ("biggest dog next to the man", "superlative"),
        ("left of the tree", "relation"),
        ("left of the picture", "place"),
        ("dog in front", "place"),
        ("dog in front of the house", "relation"),
        ("woman in the red coat", "attribute"),
        ("woman next to the red coat", "relation"),
        ("woman in the car", "relation"),
        ("the sitting girl", "attribute"),
        ("piece of cake", ""),
        ("girl in the red top", "attribute"),
        ("car near us", "place"),
        ("player on first base", "relation"),
    ],
)
def test_where_the_lines_are(encoder, sentence, wanted):
    assert encoder(sentence).kind == wanted


def test_words_that_the_tokenizer_cuts_are_read_whole(encoder, aligned):
    for one in (encoder, aligned):
        assert one("the furthest giraffe").kind == "superlative"
        assert one("lady in the swimsuit").kind == "attribute"
        assert one("strawberries").kind == one("yelloiw").kind == ""
    assert encoder("the furthest giraffe").tokens[1:3] == ("fur", "thest")


def test_case_and_blanks_make_no_difference(encoder):
    assert encoder("  Man NEXT to the Dog ").kind == encoder("man next to the dog").kind


def test_nothing_at_all():
    empty = Doc(spacy.blank("en").vocab)
    assert kind(empty) == "" and depth(empty) == 0


def test_depth_is_that_of_the_deepest_word():
    words = ["man", "behind", "the", "dog", "red"]
    doc = Doc(spacy.blank("en").vocab, words, heads=[0, 0, 3, 1, 3], deps=["dep"] * 5)
    assert depth(doc) == 3
    assert depth(doc[:1].as_doc()) == 0
    two = Doc(doc.vocab, words, heads=[0, 0, 2, 2, 3], deps=["dep"] * 5)  # two roots
    assert depth(two) == 2


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("the small red star", ["", "size", "colour", ""]),
        ("second from the left", ["ordinal", "", "", "place"]),
        ("the third one from left", ["", "ordinal", "", "", "place"]),
        ("leftmost light blue car", ["superlative", "colour", "colour", ""]),
        ("the one behind", ["", "", "place"]),
        ("star above the box", ["", "", "", ""]),
        ("woman in red top", ["", "", "colour", ""]),
        ("forest on top", ["", "", "place"]),
        ("", []),
    ],
)
def test_what_a_word_describes_by(sentence, expected):
    assert descriptors(sentence.split()) == expected
    assert set(expected) - {""} <= set(DESCRIPTORS)
