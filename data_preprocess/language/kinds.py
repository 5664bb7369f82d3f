"""The kind of an expression: by what it tells the referent from other things of its class.

The embedded data set knows the kind of every expression. For real ones it is read off the words
and the parse. One kind an expression, the first that holds:

    ordinal      a rank, before any relation: "second from left", "3rd bike", "last one"
    superlative  a superlative, before any relation: "biggest dog", "leftmost", "closest to us",
                 and "far left", "far right", "far top", "far bottom"
    relation     an adposition or a verb that ties the thing to another one: "man next to the dog",
                 "left of the tree", "girl holding a cup", "cat on the chair", "him by the door"
    place        a place in the picture: "left", "top corner", "in front", "one behind"
    attribute    what the thing is like, wears or does: "red car", "two dogs", "tennis player",
                 "boy with glasses", "woman in the red coat", "man standing"
    ""           a name only ("the dog"), or none of these

Clothes, parts of a body or of a thing, and colours are attributes also behind an adposition or a
verb, as the field has it. The picture itself and its viewer are no other thing: "left of the
picture" and "near us" are places. Other words of the anchor do not count: "man behind the second
woman" is a relation. The rule knows English only, and errs where the parser does.
"""

import re
from collections.abc import Sequence
from typing import Any

DESCRIPTORS = ("colour", "size", "place", "superlative", "ordinal")  # of `descriptors`
RULE = 1  # features of another one are made anew; add 1 when a kind changes by what is below


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RANKS = _set(
    "first second third fourth fifth sixth seventh eighth ninth tenth last 1st 2nd 3rd 4th"
)
_RANK = re.compile(r"\d+(st|nd|rd|th)")
_SIDES = _set("left right top bottom")
_SUPERLATIVES = _set(
    "most least best worst biggest largest smallest tiniest tallest shortest longest widest "
    "thinnest fattest highest lowest closest nearest furthest farthest oldest youngest brightest "
    "darkest lightest whitest blackest reddest fullest skinniest littlest cutest rightest"
)
_NO_SUPERLATIVES = _set("vest west east chest breast forest nest guest rest test host dust toast")
_PLACES = _SIDES | _set(
    "rt rite lefty middle center centre mid corner upper lower front back background "
    "foreground rear distance far near close closer nearby lefthand righthand centered"
)
_ALONE = _set("behind below above beneath underneath outside")  # a place where no object follows
# the picture and who looks at it, then its parts: places are told by them, relations are not
_IMAGE = _set(
    "picture pic image photo photograph screen frame view shot scene page camera viewer us me you"
)
_PICTURE = (
    _PLACES | _IMAGE | _set("side sides edge part area end half section row direction way portion")
)
_COLOURS = _set(
    "red orange yellow green blue purple violet pink brown black white gray grey tan beige silver "
    "gold golden maroon teal turquoise navy cream blond blonde plaid striped stripes"
)
_SHADES = _set("light dark bright pale deep")  # part of the colour that follows
_SIZE = _set(
    "small smaller little tiny large larger big bigger huge giant tall taller short shorter long "
    "longer wide narrow thin thick fat skinny mini"
)
# what one wears, has on one's body, or what is part of a thing
_WORN = _COLOURS | _set(
    "shirt shirts tshirt sweater sweatshirt hoodie jacket jackets coat coats vest suit dress "
    "skirt pants khakis jeans shorts trunks trousers overalls uniform jersey robe gown costume "
    "outfit clothes clothing sleeves sleeve hat hats cap helmet hood scarf tie bowtie glasses "
    "sunglasses goggles shades gloves glove mitt shoes shoe boots boot sneakers sandals socks "
    "sock belt apron bikini swimsuit wetsuit tank blouse headband bandana visor watch necklace "
    "earrings bracelet lipstick makeup leggings stockings tights polo tee tux tuxedo collar "
    "hair beard mustache moustache goatee ponytail pigtails bangs bun braids face head eyes eye "
    "nose mouth ears ear hand hands arm arms leg legs foot feet finger fingers thumb knee knees "
    "body belly stomach shoulder shoulders neck horns horn antlers tail tusks tusk mane wings beak "
    "spots stripe dots logo number numbers letters writing words design print handle stem"
)
_OTHERS = _set("him her them it someone somebody everyone one ones")  # stand for another thing
_LINKS = _set("next near behind beside besides under underneath beneath above below over by "
              "between among around against across inside outside onto into along like than with "
              "without on in at from to")  # fmt: skip
_WEARING = _set("wearing wears dressed with")
_NUMBERS = _set("one two three four five six")
_HOLDING = _set("in with without on at from for")  # what follows may be worn: "in red"
_PARTS = _PLACES | _set("side sides edge end half")
PLACE_WORDS = _PLACES | _ALONE
_FACING = _set("facing looking pointing turned turning leaning faces looks")
_BEFORE_NOUN = _set("DET ADJ NUM ADV PART")  # may stand between an adposition and its noun
_ATTRIBUTES = _COLOURS | _set("only not both two three four all")

# names of two words, whose first word tells nothing apart
_NAMES = {
    ("hot", "dog"), ("hot", "dogs"), ("teddy", "bear"), ("teddy", "bears"), ("wine", "glass"),
    ("fire", "hydrant"), ("stop", "sign"), ("parking", "meter"), ("cell", "phone"),
    ("traffic", "light"), ("tennis", "racket"), ("baseball", "bat"), ("surf", "board"),
}  # fmt: skip


def kind(doc: Any, continued: Sequence[bool] = ()) -> str:
    """The kind of a parsed expression (a spaCy Doc), one of KINDS or "" for none of them.

    continued: for every token, whether it goes on the word before it: a tokenizer may have cut
    "furthest" into "fur" and "thest" before the parse.
    """
    words = _words(doc, continued)
    links = (i for i in range(len(words)) if _is_relation(doc, words, i))
    start = next(links, None)
    before = range(len(words) if start is None else start)
    if any(_is_rank(words, i) for i in before):
        return "ordinal"
    if any(_is_superlative(doc[i], words, i) for i in before):
        return "superlative"
    if start is not None:
        return "relation"
    if any(_is_place(words, i) for i in before):
        return "place"
    if any(_is_attribute(doc[i], words, i) for i in before):
        return "attribute"
    return ""


def descriptors(words: Sequence[str]) -> list[str]:
    """What every word of an expression describes its referent by: one of DESCRIPTORS, or "".

    By the word lists alone, without a parse: words in lower case. A word that ties the thing to
    another one ("near the dog", "close to it", "above the box") is a place only where nothing
    follows it.
    """
    return [_descriptor(words, i) for i in range(len(words))]


def _descriptor(words: Sequence[str], i: int) -> str:
    word = words[i]
    after = words[i + 1] if i + 1 < len(words) else ""
    if _is_rank(words, i) and word != "one":  # "the third one from the left"
        return "ordinal"
    if word in _SUPERLATIVES or (word.endswith("most") and word != "almost"):
        return "superlative"
    if _is_place(words, i):
        tied = after in ("than", "to") or (after and (word in _ALONE or word in _LINKS))
        return "" if tied else "place"
    if word in _COLOURS or (word in _SHADES and after in _COLOURS):
        return "colour"
    return "size" if word in _SIZE else ""


def depth(doc: Any) -> int:
    """Edges from the deepest word of a parse to its root; 0 for a single word or none."""
    return max((sum(1 for _ in token.ancestors) for token in doc), default=0)


def _words(doc: Any, continued: Sequence[bool]) -> list[str]:
    """The words in lower case; of one in several tokens, the last has all of it, the others ""."""
    words = [token.lower_ for token in doc]
    for i, goes_on in enumerate(continued):
        if goes_on and i:
            words[i - 1], words[i] = "", words[i - 1] + words[i]
    return words


def _thing(doc: Any, words: list[str], start: int, worn: bool) -> bool:
    """Whether the phrase after an adposition or a verb names another thing.

    It is the last noun of the first run of nouns: the bench in "the left bench", the umbrella in
    "the umbrella left", none in "the left side". worn: whether clothes and colours are things.
    """
    run: list[str] = []
    for i in range(start, len(words)):
        word, token = words[i], doc[i]
        if not word:
            continue
        if run and word.endswith("ing") and run[-1] in _PICTURE | _WORN:  # "on the left standing"
            break
        if token.pos_ in ("NOUN", "PROPN") or word in _PICTURE or word in _WORN:
            run.append(word)
        elif word in _OTHERS and token.tag_ != "PRP$":  # "behind her", but not "in her hand"
            run.append(word)
        elif run or token.pos_ not in _BEFORE_NOUN and token.tag_ != "PRP$":
            break
    if run and run[0] in _IMAGE:  # "left of the screen blue shirt"
        return False
    while run and run[-1] in _PICTURE:
        run.pop()
    return bool(run) and (worn or run[-1] not in _WORN)


def _is_relation(doc: Any, words: list[str], i: int) -> bool:
    """Whether word i ties the thing to another one."""
    word, before = words[i], words[i - 1] if i else ""
    if word == "of":  # left of, in front of, on top of; but "piece of cake" is a name
        return before in _PARTS and _thing(doc, words, i + 1, True)
    if word == "s" and before == "'":  # "the man's dog", which the `paper` mode takes apart
        return _thing(doc, words, i + 1, False)
    if word in _LINKS or (doc[i].pos_ == "ADP" and word and word not in _PLACES):
        return _thing(doc, words, i + 1, word not in _HOLDING)
    return _is_doing(doc[i], words, i) and _thing(doc, words, i + 1, False)


def _is_doing(token: Any, words: list[str], i: int) -> bool:
    """Whether a verb may have an object: "girl eating pizza", but not "the sitting girl"."""
    if words[i] in _PICTURE or words[i] in _WEARING or token.pos_ not in ("VERB", "AUX"):
        return False
    if words[i] in ("has", "have", "having"):
        return True
    if token.pos_ != "VERB" or not (words[i].endswith("ing") or token.tag_ in ("VBZ", "VBP")):
        return False
    first = all(word in ("the", "a", "an") for word in words[:i])
    return not first or any(child.dep_ == "dobj" for child in token.children)


def _is_rank(words: Sequence[str], i: int) -> bool:
    """A rank ("second", "3rd", "last"), or a number from a side ("two from left")."""
    after = words[i + 1] if i + 1 < len(words) else ""
    if words[i] in _RANKS or _RANK.fullmatch(words[i]):
        return after not in ("base", "baseman", "time")
    return after == "from" and (words[i] in _NUMBERS or words[i].isdigit())


def _is_superlative(token: Any, words: list[str], i: int) -> bool:
    word = words[i]
    before, after = words[i - 1] if i else "", words[i + 1] if i + 1 < len(words) else ""
    if word == "far":
        return after in _SIDES
    if word in _NO_SUPERLATIVES or (word == "most" and after == "of") or before == "at":
        return False
    if word in _SUPERLATIVES or (word.endswith("most") and word != "almost"):
        return True
    return token.tag_ in ("JJS", "RBS") and word.endswith("est")


def _is_place(words: Sequence[str], i: int) -> bool:
    """A place in the picture: not where someone looks ("facing left"), nor clothes ("red top")."""
    word = words[i]
    before, after = words[i - 1] if i else "", words[i + 1] if i + 1 < len(words) else ""
    if word == "top" and (before in _COLOURS or before in ("tank", "halter")):
        return False
    if word == "back" and after in ("to", "turned", "facing"):
        return False
    return word in _ALONE or (word in _PLACES and before not in _FACING)


def _is_attribute(token: Any, words: list[str], i: int) -> bool:
    """An adjective, a number, a colour, a noun before the noun, clothes, or what it does."""
    if not words[i] or tuple(words[i : i + 2]) in _NAMES:
        return False
    if words[i] in _ATTRIBUTES or token.pos_ in ("ADJ", "NUM"):
        return True
    if token.dep_ in ("amod", "compound", "nummod"):
        return True
    described = any(word not in ("", "the", "a", "an") for word in words[:i])
    return described and (token.pos_ == "VERB" or words[i] in _WORN or words[i] in _WEARING)
