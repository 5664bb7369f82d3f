"""The WordPiece tokenizer of a name: a folder (vocab.txt is enough), a package, the hub.

    tokenizer = load_tokenizer("bert-base-uncased", data)

Its vocabulary is the one that `language.resources.folder_vocabulary` reads, so that features and
training name it by the same digest, whatever stands around it in the folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError, one_line
from data_preprocess.base.files import mistaken, read_json
from data_preprocess.language.resources import (
    asking_the_hub,
    describe_missing,
    folder_vocabulary,
    resolve,
)

SPECIAL = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]"}
_SETTINGS = ("do_lower_case", "tokenize_chinese_chars", "strip_accents", *SPECIAL, "mask_token")


def load_tokenizer(spec: str, data: Path | None = None) -> Any:
    """The fast tokenizer that `spec` names; what is no WordPiece, or damaged, is an error."""
    place = resolve(spec, data)
    folder = Path(place)
    vocabulary = None
    if folder.is_dir():
        vocabulary = folder_vocabulary(folder)
        if vocabulary is None:
            raise UserError(
                f"{folder}: neither vocab.txt nor tokenizer.json in it. {describe_missing(spec)}"
            )
    elif folder.is_file():
        raise UserError(f"tokenizer={spec}: a file. Give the folder that it is in.")
    if vocabulary is not None and not (folder / "tokenizer.json").is_file():
        tokenizer = _of_vocabulary(folder, vocabulary)
    else:
        tokenizer = _of_transformers(spec, place, data)
    check_tokenizer(tokenizer, f"tokenizer '{spec}'")
    if vocabulary is not None and tokenizer.get_vocab() != vocabulary:
        raise UserError(
            f"{folder}: vocab.txt and tokenizer.json hold different vocabularies "
            f"({len(vocabulary):,} and {len(tokenizer):,} words). Keep the one that belongs to the "
            "text encoder, and remove the other."
        )
    return tokenizer


def _of_vocabulary(folder: Path, vocabulary: Mapping[str, int]) -> Any:
    """BERT's tokenizer of a vocab.txt, with the settings in tokenizer_config.json, if any."""
    import transformers

    settings: dict[str, Any] = {}
    path = folder / "tokenizer_config.json"
    if path.is_file():
        found = read_json(path, "Get it again, or remove it for BERT's own settings.")
        found = found if isinstance(found, dict) else {}
        settings = {key: _plain(found[key]) for key in _SETTINGS if found.get(key) is not None}
    for name, usual in SPECIAL.items():
        token = settings.get(name, usual)
        if token not in vocabulary and name != "pad_token":
            raise UserError(
                f"{folder / 'vocab.txt'}: no {token} among its {len(vocabulary):,} words. It is "
                "not the vocabulary of a BERT: get the file again."
            )
    try:
        return transformers.BertTokenizer(
            vocab=dict(vocabulary), name_or_path=str(folder), **settings
        )
    except Exception as error:  # the tokenizers package raises plain Exceptions
        raise UserError(
            f"{folder}: not readable as a tokenizer ({one_line(error)}). Get its files again."
        ) from error


def _plain(value: Any) -> Any:
    """A special token as text: some files hold {"content": "[CLS]", ...}."""
    return value.get("content") if isinstance(value, dict) else value


def _of_transformers(spec: str, place: str, data: Path | None) -> Any:
    """A tokenizer.json, or a name of the hub, as transformers reads it."""
    import transformers

    folder = Path(place)
    alone = folder.is_dir() and not any(
        (folder / name).is_file() for name in ("config.json", "tokenizer_config.json")
    )
    kind = transformers.PreTrainedTokenizerFast if alone else transformers.AutoTokenizer
    try:
        with asking_the_hub(place):
            tokenizer = kind.from_pretrained(place)
    except Exception as error:  # its own, its HTTP client's, the tokenizers package's
        if what := _damaged(folder):
            raise UserError(f"{what}. {describe_missing(spec, data)}") from error
        if folder.is_dir() and kind is transformers.AutoTokenizer:
            return _of_file(folder, error)
        raise UserError(
            f"tokenizer '{spec}': not found or not readable ({one_line(error)}). "
            f"{describe_missing(spec, data)}"
        ) from error
    return _with_special(tokenizer)


def _of_file(folder: Path, first: Exception) -> Any:
    """The tokenizer.json alone, where the config.json beside it names no model."""
    import transformers

    try:
        path = str(folder / "tokenizer.json")
        return _with_special(transformers.PreTrainedTokenizerFast(tokenizer_file=path))
    except Exception as error:
        raise UserError(
            f"{folder}: not readable as a tokenizer ({one_line(first)}). Get its files again."
        ) from error


def _with_special(tokenizer: Any) -> Any:
    """The tokenizer with BERT's special tokens, where its files name none and it has them."""
    vocabulary = tokenizer.get_vocab()
    for name, token in SPECIAL.items():
        if getattr(tokenizer, name, None) is None and token in vocabulary:
            setattr(tokenizer, name, token)
    return tokenizer


def _damaged(folder: Path) -> str:
    """Which file of the folder is no such file at all, and what it is; empty: none."""
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "vocab.txt"):
        path = folder / name
        if path.is_file() and (what := mistaken(path)):
            return f"{path}: {what}"
    return ""


def check_tokenizer(tokenizer: Any, name: str) -> None:
    """UserError unless it is a WordPiece with [CLS], [SEP] and [UNK], as the parse needs it.

    Other pieces (Ġthe, ▁the) are no words to the parser: it would read each as a noun.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kind = type(backend.model).__name__ if backend is not None else "WordPiece"
    if kind != "WordPiece":
        raise UserError(
            f"{name}: a {kind} tokenizer, no WordPiece: the parser would read its pieces as nouns. "
            "Choose that of a BERT, such as bert-base-uncased."
        )
    for token in ("cls_token", "sep_token", "unk_token"):
        if getattr(tokenizer, f"{token}_id", 0) is None:
            raise UserError(
                f"{name}: has no {SPECIAL[token]}. Choose the tokenizer of a BERT, or name it in "
                f"tokenizer_config.json ({token})."
            )


def unknown_words(tokenizer: Any, sentence: str) -> tuple[str, ...]:
    """The words of a sentence that became [UNK], as they were written, in their order."""
    if not getattr(tokenizer, "is_fast", False):
        return ()
    found = tokenizer(sentence, add_special_tokens=False, return_offsets_mapping=True)
    places = zip(found["input_ids"], found["offset_mapping"], strict=True)
    unknown = tokenizer.unk_token_id
    return tuple(sentence[start:end] for number, (start, end) in places if number == unknown)
