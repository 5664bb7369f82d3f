"""Saved predictions of anybody's model, checked against the splits that they answer.

    found = read_predictions(Path("predictions.jsonl"), {"val": split})["val"]
    found.answer(0)                                # of the split's first expression

PATH is a file (.json, .jsonl, .npz) or a folder. A folder has PNGs, or parts (*.jsonl) that are
read together, of all splits; or for each split a subfolder, or a file, of its name: val/,
val.jsonl, val.json, val.npz, or ReLA's grefcoco_unc_val_detailed_results.json. What the files look
like inside: see images.py, entries.py, arrays.py, rela.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_preprocess.base.errors import UserError, unknown_name
from dghin.data.split import PreparedSplit

from .arrays import read_arrays
from .entries import read_entries
from .images import find_images, read_images
from .names import Asked, Names, Place, Places, same_photo, same_words
from .predictions import SHOWN, Predictions, Stored, digest, listed

if TYPE_CHECKING:
    from dghin.evaluation.controls import Altered

SUFFIXES = (".json", ".jsonl", ".npz")
ACCEPTED = "Accepted are .json, .jsonl and .npz files, and folders of .png or .jsonl files"
MISSING = ("error", "empty")
_JPEG = {".jpg", ".jpeg", ".JPG"}
_ADD = "Add the sent_id, or the ref_id and the sentence_index."
Given = list[tuple[Asked, Stored]]


def read_predictions(
    path: Path,
    splits: Mapping[str, PreparedSplit],
    missing: str = "error",
    control: str = "",
    questions: Mapping[str, "Altered"] | None = None,
) -> dict[str, Predictions]:
    """The predictions at a path, by split.

    missing: what an expression without an answer is: an "error", or "empty", an empty mask
    (`Predictions.missing` has them, and `answer` gives None). control: the control that entries
    in JSON have to name; "" those that name none. questions: what a control asks of each split:
    which expressions, with which words, about which photos (default: all, as they are). UserError
    before anything is drawn, with counts and the first names, for answers that are missing,
    doubled, of another size, of expressions that are in none of the splits, or of a sentence or
    photo that was not asked about.
    """
    if missing not in MISSING:
        raise unknown_name("value of missing", missing, MISSING)
    path, names = Path(path), Names(splits)
    given: Given = []
    for split, files, folder in sources(path, list(splits)):
        given += _read(files, folder, list(splits), split, control)
    answers = _placed(given, names, path, questions or {})
    needed: dict[str, Sequence[int]] = {
        split: questions[split].indices.tolist() if questions else range(len(opened))
        for split, opened in splits.items()
    }
    for split in splits:
        if missing == "error" or not answers[split]:
            _check_missing(path, split, answers[split], needed[split], names)
    return {
        split: Predictions(
            opened,
            split,
            answers[split],
            str(path),
            needed[split],
            sources_digest(path, split),
            questions[split].images if questions else {},
        )
        for split, opened in splits.items()
    }


def sources_digest(path: Path, split: str) -> str:
    """The SHA-256 of the files that hold the answers about a split; of one file, the file's own.

    A folder that holds several splits together counts as a whole. UserError where nothing is there.
    """
    [(_, files, _)] = sources(path, [split])
    return digest(files, path)


def sources(path: Path, splits: Sequence[str]) -> list[tuple[str, list[Path], Path]]:
    """(split or "" for all, files, the folder that their names begin at) of what is at a path."""
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"{path}: its suffix '{path.suffix}' is not known. {ACCEPTED}.")
        return [("", [path], path.parent)]
    if not path.is_dir():
        raise UserError(f"{path}: neither a file nor a folder. Give the path of the predictions.")
    own = {split: _of_split(path, split) for split in splits}
    for split, found in own.items():
        if len(found) > 1:
            names = ", ".join(place.name for place in found)
            raise UserError(f"{path}: '{split}' has {names}. Keep one, or give its path.")
    if not any(own.values()):
        return [("", _together(path), path)]
    without = [split for split, found in own.items() if not found]
    if without:
        raise UserError(
            f"{path}: it has files by split, but none for {', '.join(without)}. Add "
            f"{without[0]}.jsonl (or .json, .npz, a folder), or leave the split out."
        )
    return [
        (split, _together(place) if place.is_dir() else [place], place)
        for split, (place,) in own.items()
    ]


def _of_split(path: Path, split: str) -> list[Path]:
    """Files and folders of a folder that are named by a split."""
    found = [path / f"{split}{suffix}" for suffix in SUFFIXES]
    detailed = sorted(path.glob(f"*_{split}_detailed_results.json"))
    folder = [path / split] if (path / split).is_dir() else []
    return [file for file in [*found, *detailed] if file.is_file()] + folder


def _together(folder: Path) -> list[Path]:
    """The files of a folder that are read together: its PNGs, its parts, or its one file."""
    visible = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    parts = sorted(path for path in visible if path.suffix == ".jsonl")
    others = sorted(path for path in visible if path.suffix in (".json", ".npz"))
    images = find_images(folder)
    kinds = [kind for kind in (images, parts, others) if kind]
    if not kinds:
        found = sorted({path.suffix or path.name for path in visible})
        what = f"it has only {', '.join(found[:5])}" if found else "empty"
        jpeg = " JPEG changes values at borders: save masks as PNG." if _JPEG & {*found} else ""
        raise UserError(f"{folder}: {what}. {ACCEPTED}.{jpeg}")
    if len(kinds) > 1 or len(others) > 1:
        names = [kind[0].name for kind in kinds] if len(kinds) > 1 else [p.name for p in others]
        raise UserError(
            f"{folder}: which of its files are the predictions? It has {', '.join(names[:5])}. "
            "Give the path of the file, or move the others away."
        )
    return kinds[0]


def _read(
    files: Sequence[Path], folder: Path, splits: Sequence[str], split: str, control: str
) -> Given:
    """What files of one kind hold."""
    if files[0].suffix.lower() == ".png":
        return list(read_images(list(files), folder, split))
    given: Given = []
    for file in files:
        if file.suffix.lower() == ".npz":
            given += read_arrays(file, split)
        else:
            given += read_entries(file, splits, split, control)
    return given


def _placed(
    given: Given, names: Names, path: Path, questions: Mapping[str, "Altered"]
) -> dict[str, dict[int, Stored]]:
    """Every answer at its expression; unknown, ambiguous and doubled ones are errors."""
    by_places: dict[Places, list[tuple[Asked, Stored]]] = {}
    unknown, ambiguous = [], []
    found = names.find_all([asked for asked, _ in given], str(path))
    for (asked, stored), places in zip(given, found, strict=True):
        if not places:
            unknown.append(asked)
        elif len(places) > 1 and not names.same_question(places):
            ambiguous.append(asked)
        else:
            by_places.setdefault(places, []).append((asked, stored))
    splits = list(dict.fromkeys(split for split, _ in names.expressions))
    _refuse(
        unknown, path, f"in none of the splits that are scored ({', '.join(splits)})",
        "Score their splits too, or take them out; compare the ids with the prepared data's.",
    )  # fmt: skip
    _refuse(ambiguous, path, _ambiguity(ambiguous, names), _ADD)
    _refuse(
        _not_asked(by_places, names, questions), path,
        "of a sentence or a photo that was not asked about (asked: given)",
        "Are they of other data, or of another control?",
    )  # fmt: skip
    answers: dict[str, dict[int, Stored]] = {split: {} for split in splits}
    doubled = []
    for places, listed_ in by_places.items():
        for place, answer in _shared(places, listed_):
            if place[1] in answers[place[0]] or answer is None:
                doubled.append(place)
            else:
                answers[place[0]][place[1]] = answer
    _refuse(
        names.shown(dict.fromkeys(doubled)), path, "answered more than once",
        "Keep one answer an expression.",
    )  # fmt: skip
    return answers


def _not_asked(
    found: Mapping[Places, list[tuple[Asked, Stored]]],
    names: Names,
    questions: Mapping[str, "Altered"],
) -> list[str]:
    """Answers whose own words say that they are of another question."""
    wrong = []
    for places, given in found.items():
        split, index = places[0]
        expression, inputs = names.expressions[places[0]], questions.get(split)
        sentence, image = expression.sentence, expression.image
        if inputs is not None:
            sentence, image = inputs.sentences[index], inputs.image(image)
            if index not in inputs.indices:
                wrong += [f"{asked} (nothing asked)" for asked, _ in given]
                continue
        for asked, _ in given:
            if asked.sentence and not same_words(asked.sentence, sentence):
                wrong.append(f"{asked} ('{sentence}': '{asked.sentence}')")
            elif asked.image and not same_photo(asked.image, image):
                wrong.append(f"{asked} ({image}: {asked.image})")
    return wrong


def _shared(
    places: Places, given: list[tuple[Asked, Stored]]
) -> Iterator[tuple[Place, Stored | None]]:
    """The answer of every place. One object's expressions in the same words are one question: one
    answer is that of all, as many as expressions are one each; None: there are too many."""
    if len(given) == 1:
        yield from ((place, given[0][1]) for place in places)
    elif len(given) == len(places):
        yield from zip(places, (stored for _, stored in given), strict=True)
    else:
        yield places[0], None


def _ambiguity(ambiguous: list[Asked], names: Names) -> str:
    """Why names do not decide, with the number of pairs where image and sentence are not enough."""
    if any(not asked.image or asked.sent_id or asked.ref for asked in ambiguous):
        return "of several expressions"
    return (
        f"of several expressions (in these splits {names.ambiguous_pairs()} pairs of image and "
        "sentence are)"
    )


def _refuse(wrong: Sequence[object], path: Path, what: str, remedy: str) -> None:
    """An error where there is anything wrong: how many, the first names, what to do."""
    if wrong:
        shown = listed([str(name) for name in wrong[:SHOWN]], len(wrong))
        answers = "answer is" if len(wrong) == 1 else "answers are"
        raise UserError(f"{path}: {len(wrong)} {answers} {what}: {shown}. {remedy}")


def _check_missing(
    path: Path, split: str, answers: Mapping[int, Stored], needed: Sequence[int], names: Names
) -> None:
    missing = [index for index in needed if index not in answers]
    if missing:
        shown = listed(names.shown((split, i) for i in missing[:SHOWN]), len(missing))
        remedy = "Let the model answer them"
        if answers:
            remedy += ", or count them as empty masks with missing=empty"
        raise UserError(
            f"{path}: {len(missing)} of {len(needed)} expressions of '{split}' have no answer: "
            f"{shown}. {remedy}."
        )
