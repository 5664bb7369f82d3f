"""Which expression an answer is about: the names that other projects give to expressions.

    names = Names({"val": split})
    names.find(Asked(sent_id="17"))                         # REFER's number of the sentence
    names.find(Asked(ref="12", index="0"))                  # the object, and which of its sentences
    names.find(Asked(ref="12", sentence="the man in red"))
    names.find(Asked(image="a.jpg", sentence="the man in red"))
    names.find_all([Asked(name="12_0"), Asked(name="12_1")], "predictions")    # names of files

Each gives the places (split, index) that are meant: none where nothing has this name, several
where the name does not decide. In a joint set, "refcoco/12" is also found as "12".
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from data_preprocess.base.errors import UserError
from dghin.data.split import Expression, PreparedSplit

Place = tuple[str, int]  # a split's name, and the expression's position in it
Places = tuple[Place, ...]


@dataclass(frozen=True)
class Asked:
    """What a file says about the expression that an answer is about; "" where it says nothing."""

    sent_id: str = ""
    ref: str = ""  # REFER's ref_id, or the prepared data's segment_id
    index: str = ""  # of the sentence among those of its object
    sentence: str = ""
    image: str = ""
    split: str = ""
    name: str = ""  # a file's name or a key, which may be any of these

    def __str__(self) -> str:
        """For messages: the names that it goes by."""
        if self.name or self.sent_id:
            return self.name or self.sent_id
        sentence = f"'{self.sentence}'" if self.sentence else ""
        return " ".join(filter(None, (self.ref or self.image, self.index or sentence)))


class Names:
    """All names of the expressions of some splits."""

    def __init__(self, splits: Mapping[str, PreparedSplit]):
        self.by_sent_id: dict[str, Places] = {}
        self.by_ref: dict[str, Places] = {}
        self.by_image: dict[str, Places] = {}
        self.segments: dict[str, Places] = {}
        self.expressions: dict[Place, Expression] = {}
        for split, opened in splits.items():
            for index, expression in enumerate(opened.expressions):
                self._add((split, index), expression)

    def _add(self, place: Place, expression: Expression) -> None:
        self.expressions[place] = expression
        if expression.sent_id:
            _append(self.by_sent_id, expression.sent_id, place)
        for ref in _refs(expression):
            _append(self.by_ref, ref, place)
        for segment in _with_tail(expression.segment_id):
            _append(self.segments, segment, place)
        _append(self.by_image, PurePosixPath(expression.image).name, place)

    def find(self, asked: Asked) -> Places:
        """The places that an entry means. Its number of the sentence decides, where the data have
        such numbers; else its object and sentence; else its image and sentence."""
        if asked.sent_id and self.by_sent_id:
            found = self.by_sent_id.get(asked.sent_id, ())
            if len(found) > 1 and asked.ref:  # members of a joint set number their own sentences
                found = tuple(p for p in found if p in self.by_ref.get(asked.ref, ()))
        elif asked.ref:
            found = self._of_ref(asked)
        else:
            image = PurePosixPath(asked.image.replace("\\", "/")).name
            found = self._worded(self.by_image.get(image, ()), asked.sentence)
        if asked.split:
            found = tuple(place for place in found if place[0] == asked.split)
        return found

    def _of_ref(self, asked: Asked) -> Places:
        found = self.by_ref.get(asked.ref, ())
        if asked.index:
            return tuple(p for p in found if self._index(p) == asked.index)
        if asked.sentence:
            return self._worded(found, asked.sentence)
        return self.segments.get(asked.ref, ())  # the file names objects, which is enough for one

    def _index(self, place: Place) -> str:
        return str(self.expressions[place].sentence_index)

    def _worded(self, places: Places, sentence: str) -> Places:
        """Those of the places that have this sentence, to the letter or else to the word."""
        for form in (_plain, _words):
            wanted = form(sentence)
            found = tuple(p for p in places if form(self.expressions[p].sentence) == wanted)
            if found and wanted:
                return found
        return ()

    def find_all(self, asked: Sequence[Asked], where: str) -> list[Places]:
        """The places that the entries of one file mean."""
        by_split: dict[str, list[str]] = {}
        for one in asked:
            if one.name:
                by_split.setdefault(one.split, []).append(one.name)
        named = {split: self._named(texts, where, split) for split, texts in by_split.items()}
        return [named[one.split][one.name] if one.name else self.find(one) for one in asked]

    def _named(self, texts: Sequence[str], where: str, split: str) -> dict[str, Places]:
        """What names mean: "<ref_id>_<k>", the sent_id, or the segment_id of an object with one
        sentence. All names without a sentence's index are read in the same way, as sent_id or as
        segment_id: the one by which more of them are known."""
        found = {text: self.find(_pair(text, split)) for text in texts}
        plain = [text for text in texts if not found[text]]
        readings = [
            {text: self.find(Asked(**{key: text}, split=split)) for text in plain}
            for key in ("sent_id", "ref")
        ]
        known = [sum(map(bool, reading.values())) for reading in readings]
        if known[0] == known[1] > 0 and readings[0] != readings[1]:
            raise UserError(
                f"{where}: its names, such as '{plain[0]}', are known both as sent_id and as "
                "segment_id, of different expressions. Name the answers <ref_id>_<k>, k the "
                "sentence's index."
            )
        return found | readings[known[1] > known[0]]

    def same_question(self, places: Places) -> bool:
        """Whether these are one object's expressions in the same words: one answer answers all."""
        told = {
            (place[0], self.expressions[place].segment_id, _words(self.expressions[place].sentence))
            for place in places
        }
        return len(told) == 1

    def ambiguous_pairs(self) -> int:
        """How many pairs of image and sentence are those of several expressions."""
        pairs: dict[tuple[str, str], int] = {}
        for expression in self.expressions.values():
            pair = expression.image, _plain(expression.sentence)
            pairs[pair] = pairs.get(pair, 0) + 1
        return sum(count > 1 for count in pairs.values())

    def shown(self, places: Iterable[Place]) -> list[str]:
        """Places as text for messages."""
        found = [self.expressions[place] for place in places]
        return [f"{e.segment_id}_{e.sentence_index} '{e.sentence}'" for e in found]


def same_words(one: str, other: str) -> bool:
    """Whether two sentences have the same words: case and punctuation do not count."""
    return _words(one) == _words(other)


def same_photo(given: str, wanted: str) -> bool:
    """Whether a file's name of a photo can be the one that is meant: the same name, or one with its
    number in it (COCO_train2014_000000581857_16.jpg, 000000581857.jpg, 581857)."""
    one, other = (PurePosixPath(name.replace("\\", "/")).stem for name in (given, wanted))
    numbers = re.findall(r"\d+", other)
    if one == other or not numbers:
        return one == other
    return numbers[-1].lstrip("0") in {number.lstrip("0") for number in re.findall(r"\d+", one)}


def _pair(text: str, split: str) -> Asked:
    """A name as <ref_id>_<k>."""
    ref, _, index = text.rpartition("_")
    return Asked(ref=ref or "\0", index=index or "\0", split=split)


def _refs(expression: Expression) -> list[str]:
    """The names of its object. Prepared data with a mask a sentence have ids <ref_id>_<k>."""
    segment, end = expression.segment_id, f"_{expression.sentence_index}"
    refs = _with_tail(segment)
    if segment.endswith(end):
        refs += _with_tail(segment.removesuffix(end))
    return refs


def _with_tail(segment: str) -> list[str]:
    """refcoco/12 of a joint set: also 12."""
    return [segment, segment.rpartition("/")[2]] if "/" in segment else [segment]


def _append(found: dict[str, Places], name: str, place: Place) -> None:
    found[name] = (*found.get(name, ()), place)


def _plain(sentence: str) -> str:
    return " ".join(sentence.casefold().split())


def _words(sentence: str) -> str:
    """Without punctuation, which REFER's `sent` lacks and its `raw` has, and without the
    underscores that stand for spaces in names of files."""
    return " ".join(re.sub(r"[\W_]+", " ", sentence.casefold()).split())
