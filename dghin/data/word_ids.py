"""The ids of the words that can stand in for each other, in the vocabulary of prepared data."""

from data_preprocess.base.errors import UserError
from data_preprocess.language.resources import folder_vocabulary, resolve, vocabulary_digest
from dghin.run.config import Config

from .split import PreparedSplit

# ids and digest (see vocabulary_digest) of bert-base-uncased: it may not lie where training and
# evaluation run
BERT_IDS = {
    "left": 2187, "right": 2157, "above": 2682, "below": 2917, "top": 2327, "bottom": 3953,
    "upper": 3356, "lower": 2896,
}  # fmt: skip
BERT_VOCABULARY = "f6e53c4d7c6a4530168d8379fae1e43e76b15c82dad3bb65b231be4e2e0f04fb"
CONTROLS = "leave the controls left-right and above-below out"


def word_ids(dataset: PreparedSplit, config: Config, otherwise: str = CONTROLS) -> dict[str, int]:
    """The ids of the words that are swapped, in the vocabulary that the split was prepared with.

    otherwise: what can be done without them, for the error where they are not known.
    """
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
            + f"Put the tokenizer's folder where data.tokenizer says, or {otherwise}."
        )
    return {word: vocabulary[word] for word in BERT_IDS}
