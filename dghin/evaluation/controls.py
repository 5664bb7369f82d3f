"""Controls: the same network under altered inputs, to see how far its answer follows the words.

    shuffled      another image's expression instead of its own
    blind         no expression: [CLS] and [SEP] and padding only
    other-image   another photo, with the expression (and the true mask) of this one
    left-right    left and right swapped in the expression
    above-below   above and below swapped, so are top and bottom, upper and lower

A network that reads its words falls under the first, the second and the last two, which a network
that marks whatever stands out does not; one that sees its photo falls under the third. The last
two score those expressions only that hold such a word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.resources import folder_vocabulary, resolve, vocabulary_digest
from data_preprocess.language.features import Features
from dghin.data.split import PreparedSplit
from dghin.run.config import Config

SWAPS = {
    "left-right": (("left", "right"),),
    "above-below": (("above", "below"), ("top", "bottom"), ("upper", "lower")),
}
CONTROLS = ("shuffled", "blind", "other-image", *SWAPS)
# ids and digest (see vocabulary_digest) of bert-base-uncased: it may not lie where evaluation runs
BERT_IDS = {
    "left": 2187, "right": 2157, "above": 2682, "below": 2917, "top": 2327, "bottom": 3953,
    "upper": 3356, "lower": 2896,
}  # fmt: skip
_WORN = re.compile(  # a top that is a piece of clothing, whose swap is no place
    r"\b(black|white|red|blue|green|yellow|pink|purple|orange|gr[ae]y|brown|dark|light|striped|"
    r"plaid|tank|crop|halter|bikini|hat|swim)[ -]?tops?\b",
    re.IGNORECASE,
)
BERT_VOCABULARY = "f6e53c4d7c6a4530168d8379fae1e43e76b15c82dad3bb65b231be4e2e0f04fb"


@dataclass(frozen=True)
class Altered:
    """What the network is given under a control instead of a split's own inputs.

    indices: (K,) expressions that are scored. features: language features of all N expressions.
    sentences: N, the words that are read. images: file name → the file shown in its place.
    """

    indices: np.ndarray
    features: Features
    sentences: list[str]
    images: dict[str, str]

    def image(self, name: str) -> str:
        """The image file that is shown where this one belongs."""
        return self.images.get(name, name)


def check_control(control: str) -> str:
    """The control's name, if it is one."""
    if control not in CONTROLS:
        raise unknown_name("control", control, CONTROLS)
    return control


def alter(dataset: PreparedSplit, control: str, config: Config) -> Altered:
    """The inputs of a split under a control; "" leaves them as they are."""
    sentences = [expression.sentence for expression in dataset.expressions]
    plain = Altered(np.arange(len(dataset)), dataset.features, sentences, {})
    if control == "":
        return plain
    check_control(control)
    if control == "shuffled":
        other = shuffled(dataset)
        read = [sentences[index] for index in other]
        return replace(plain, features=dataset.features[other], sentences=read)
    if control == "blind":
        return replace(plain, features=blind(dataset.features), sentences=[""] * len(sentences))
    if control == "other-image":
        return replace(plain, images=other_images(dataset))
    return swapped(plain, SWAPS[control], word_ids(dataset, config))


def needs_other_images(control: str) -> bool:
    """Whether a control cannot be scored on one image alone."""
    return control in ("shuffled", "other-image")


def shuffled(dataset: PreparedSplit, seed: int = 0) -> np.ndarray:
    """For every expression another one, of another image: (N,) int."""
    images = np.array([expression.image for expression in dataset.expressions])
    if len(set(images)) < 2:
        raise UserError(f"{dataset.split}: one image only; 'shuffled' needs other images.")
    order = np.random.default_rng(seed).permutation(len(images))
    position = {index: place for place, index in enumerate(order)}
    other = np.empty(len(images), dtype=np.int64)
    for index in range(len(images)):
        step = position[index] + 1
        while images[order[step % len(order)]] == images[index]:
            step += 1
        other[index] = order[step % len(order)]
    return other


def other_images(dataset: PreparedSplit, seed: int = 0) -> dict[str, str]:
    """For every image of a split another one; each is shown once."""
    names = list(dict.fromkeys(expression.image for expression in dataset.expressions))
    if len(names) < 2:
        raise UserError(f"{dataset.split}: one image only; 'other-image' needs others.")
    order = np.random.default_rng(seed).permutation(len(names))
    return {names[a]: names[b] for a, b in zip(order, np.roll(order, 1), strict=True)}


def blind(features: Features) -> Features:
    """No words: [CLS] at the first position, [SEP] at the second, the rest padding; no edges."""
    used = features.attention_mask.sum(axis=1)
    ends = features.word_ids[np.arange(len(features)), used - 1]
    whole = used < features.word_ids.shape[1]  # a cut expression has lost its [SEP]
    if not whole.any():
        raise UserError("every expression is cut off: none shows what [SEP] is. Keep more words.")
    word_ids, mask = np.zeros_like(features.word_ids), np.zeros_like(features.attention_mask)
    word_ids[:, 0], word_ids[:, 1] = features.word_ids[:, 0], ends[whole][0]
    mask[:, :2] = 1
    return replace(
        features,
        word_ids=word_ids,
        attention_mask=mask,
        pos=np.zeros_like(features.pos),
        heads=np.full_like(features.heads, -1),
    )


def swapped(plain: Altered, pairs: Sequence[tuple[str, str]], ids: dict[str, int]) -> Altered:
    """The words of every pair exchanged; only expressions that hold one are scored.

    The parse stays as it is: such words stand in for each other. Left out are expressions in which
    a piece of a longer word was swapped ("lefty"), and those with a top that is worn.
    """
    word_ids = plain.features.word_ids.copy()
    for one, other in pairs:
        first, second = plain.features.word_ids == ids[one], plain.features.word_ids == ids[other]
        word_ids[first], word_ids[second] = ids[other], ids[one]
    changed = (word_ids != plain.features.word_ids).sum(axis=1)
    words = np.array([len(_swappable(pairs).findall(sentence)) for sentence in plain.sentences])
    worn = np.array([bool(_WORN.search(sentence)) for sentence in plain.sentences])
    return replace(
        plain,
        indices=np.flatnonzero((changed > 0) & (changed == words) & ~worn),
        features=replace(plain.features, word_ids=word_ids),
        sentences=[exchange(sentence, pairs) for sentence in plain.sentences],
    )


def exchange(sentence: str, pairs: Sequence[tuple[str, str]]) -> str:
    """An expression with the words of every pair exchanged ("leftmost" becomes "rightmost")."""
    other = dict(pairs) | {second: first for first, second in pairs}
    return _swappable(pairs).sub(lambda m: other[m[1].lower()] + (m[2] or ""), sentence)


def _swappable(pairs: Sequence[tuple[str, str]]) -> re.Pattern[str]:
    """The words of the pairs, whole, with or without "most"."""
    words = "|".join(word for pair in pairs for word in pair)
    return re.compile(rf"\b({words})(most)?\b", re.IGNORECASE)


def word_ids(dataset: PreparedSplit, config: Config) -> dict[str, int]:
    """The ids of the words that are swapped, in the vocabulary that the split was prepared with."""
    digest = dataset.manifest["language"].get("tokenizer")
    if digest == BERT_VOCABULARY:
        return BERT_IDS
    name = config.data.tokenizer
    vocabulary = folder_vocabulary(resolve(name, config.data.root)) or {}
    missing = [word for word in BERT_IDS if word not in vocabulary]
    if missing or vocabulary_digest(vocabulary) != digest:
        raise UserError(
            f"tokenizer '{name}': needed to swap words, but "
            + (f"it has no {', '.join(missing)}. " if missing else "not the one of these data. ")
            + "Put the tokenizer's folder where data.tokenizer says, or leave the controls "
            f"{' and '.join(SWAPS)} out."
        )
    return {word: vocabulary[word] for word in BERT_IDS}
