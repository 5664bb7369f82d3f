"""An expression as it is true of the mirrored photo: left and right exchanged.

    mirrored("the dog left of the man")     # "the dog right of the man"
    mirrored("the red cup")                 # the same: it names no side
    mirrored("the dog right behind him")    # None: this "right" is no side

Where it is not clear what is true of the mirrored photo, the answer is None, and that photo is not
mirrored for that expression: one false expression does more harm than one fewer view. Unclear are
other meanings of left and right; what is read off the photo (letters, numbers, clocks); what is
counted from an end that is not named ("the second horse"); what else has a handedness (clockwise,
the driver's side); and words with left or right inside that are in no list here, typing errors
included. English only.
"""

import re

PAIRS = {
    "left": "right", "leftmost": "rightmost", "lefty": "righty", "lefties": "righties",
    "leftie": "rightie", "lefthand": "righthand", "leftward": "rightward",
    "leftwards": "rightwards", "leftest": "rightest",
}  # fmt: skip
EXCHANGED = PAIRS | {right: left for left, right in PAIRS.items()}
_TOKEN = re.compile(r"\w+|[^\w\s]")
# words with left or right in them that have nothing to do with sides
_NO_SIDE = re.compile(r"(up|b|fo?r|f|copy|w|play|out|forth|birth)right\w*|cleft\w*")
_LIKE_A_SIDE = re.compile(r"\w*(left|right)\w*|lef\w*|lft\w*|rig\w*|rih\w*|rgt\w*|rght\w*|rite")
_UNCLEAR = re.compile(
    r"\d|[\"“”«»#]|(^|\s)['‘]\w"  # numbers and quotations: read off the photo
    r"|\b(says?|saying|reads?|reading|written|writing|spell\w*|letter\w*|words?|texts?|number\w*"
    r"|numerals?|logos?|label\w*|initials?|plates? number|o ?'? ?clock)\b"
    r"|\b(l|r|lt|rt|lhs|rhs|lh|rh|tl|tr|bl|br|ll|lr|ul|ur)\b"  # short for a side
    r"|\b(counter|anti)?-?clockwise\b|\b(north|south)?-?(east|west)\w*\b|\bstarboard\b|\bport\b"
    r"|\b(driver|passenger)('?s)?'? side\b|\b(what|that|there|it|who|nothing)'s (left|right)\b"
)
_COUNTED = re.compile(r"\b(first|second|third|fourth|fifth|sixth|seventh|eighth|last|next)\b")
# before left or right, these make it a place, whatever follows
_PLACED = frozenset(
    "the on to from at far top bottom upper lower front back middle center centre mid very extreme "
    "furthest farthest his her its their your our my viewer viewers".split()
)
# after left or right, these make it something else, unless it is a place by the word before
_GOES_ON = frozenset(
    "in on at by near next beside besides with without under underneath beneath below above over "
    "across along alongside around against between behind before after inside outside into onto "
    "off up down out away here there now where when as about through past adjacent for and but "
    "a an the this that these those his her its their my your our him them it".split()
)
# after left or right, these make it something else for sure
_NEVER = frozenset(
    "over overs behind alone open out untouched unattended standing way ways angle angles angled "
    "size kind amount now away".split()
)
# before left or right, these leave it open whether something remains, or is correct
_REMAINS = frozenset(
    "all not just is are was were be been being has have had got what whats nothing who that "
    "slice slices piece pieces bite bites food only".split()
)


def mirrored(sentence: str) -> str | None:
    """The expression with left and right exchanged; None where that is not clear (see above)."""
    text = sentence.lower()
    if _UNCLEAR.search(text):
        return None
    words = list(_TOKEN.finditer(text))
    sides = [at for at, word in enumerate(words) if _is_like_a_side(word[0])]
    if not sides:
        return None if _COUNTED.search(text) else sentence
    if not all(_is_side([word[0] for word in words], at) for at in sides):
        return None
    made, end = [], 0
    for at in sides:
        made += [sentence[end : words[at].start()], EXCHANGED[words[at][0]]]
        end = words[at].end()
    return "".join([*made, sentence[end:]])


def sides_named(sentence: str) -> int:
    """How many words `mirrored` exchanges, where it gives an answer."""
    return sum(word in EXCHANGED for word in _TOKEN.findall(sentence.lower()))


def _is_like_a_side(word: str) -> bool:
    return bool(_LIKE_A_SIDE.fullmatch(word)) and not _NO_SIDE.fullmatch(word)


def _is_side(words: list[str], at: int) -> bool:
    """Whether words[at] certainly names a side."""
    word = words[at]
    if word not in EXCHANGED:
        return False
    if word not in ("left", "right"):
        return True
    around = [w for w in words[at + 1 :] if w != "-"]  # left-over is left over
    before, after = words[at - 1] if at else "", around[0] if around else ""
    if after == "of":
        return "way" not in around
    if after in _NEVER or before in _REMAINS or around[:2] == ["side", "up"]:
        return False
    return before in _PLACED or after not in _GOES_ON
