"""The exam: does a model read? A line a control and kind of expression, and a card of verdicts.

    frame = exam_table(results)      # of rows under the exam's controls; in percent
    card_table(frame)                # a line a question, with a verdict
    beside({"demo": frame, "lavt": other}, "testA")      # several models on one card

A verdict follows from the table's numbers by one of three rules (RULES), so that two models are
judged alike.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dghin.evaluation.controls import EXAM, MERGED, OF_TEXTS, WITHOUT
from dghin.evaluation.controls.effect import Effect, effect
from dghin.evaluation.metrics import is_generalized, protocols_of

from .scores import EXPRESSIONS, HIGH, LOW, Results, percent

ALL = "all"  # the kinds of expressions together
REAL, CONTROL, FALL, CHANGED = "oIoU, real", "oIoU, control", "Fall", "Changed"
COLUMNS = ["Split", "Protocol", "Control", "Kind", EXPRESSIONS, "Images"]
COLUMNS += [f"{name}{end}" for name in (REAL, CONTROL, FALL, CHANGED) for end in ("", LOW, HIGH)]
FEW = 10  # images: of fewer, no verdict is given
HALF = 0.5
FALLS, MATTERS, GAINS = "falls", "matters", "gains"
RULES = {
    FALLS: "A model that reads cannot answer as before. yes: the upper end of the control's "
    "interval is below half of the real score. no: the interval of the fall holds 0, or lies "
    "below it. partly: between the two.",
    MATTERS: "The expression may still be understood. yes: the whole interval of the fall lies "
    "above 0. no: it holds 0. reversed: it lies below 0, the score is better so.",
    GAINS: "yes: the whole interval of the fall lies below 0, so that the score is better. no: it "
    "holds 0. worse: it lies above 0.",
}
REFERENCES = Path(__file__).parent / "exam_references.csv"


@dataclass(frozen=True)
class Question:
    """A question of the exam: the control that answers it, and the rule for its verdict."""

    text: str
    control: str
    rule: str


QUESTIONS = (
    Question("Does it read at all?", "shuffled", FALLS),
    Question("Does it need the words?", "blind", FALLS),
    Question("Does it look at the photo?", "other-image", FALLS),
    Question("Does word order matter to it?", "word-order", MATTERS),
    Question("Does it tell left from right?", "left-right", FALLS),
    Question("Does it tell above from below?", "above-below", FALLS),
    *(Question(f"Does it use words of {name}?", control, MATTERS)
      for control, name in WITHOUT.items() if name in ("colour", "size", "place")),
    Question("Does it use superlatives (largest, leftmost)?", "without-superlative", MATTERS),
    Question("Does it use ordinals (second from the left)?", "without-ordinal", MATTERS),
    Question("Does it understand “not”?", "negation", FALLS),
    Question("Does it gain from all sentences of an object at once?", MERGED, GAINS),
)  # fmt: skip


def has_exam(results: Results) -> bool:
    """Whether rows under controls of the text are there: without them, there is no exam."""
    return any(control in OF_TEXTS for control in results)


def exam_table(results: Results) -> pd.DataFrame:
    """A row for every split, control and kind of expression ("all" first), in percent.

    Under the first protocol that both rows have. "oIoU, real" is of the same expressions as they
    are, "oIoU, control" of the changed ones; Fall: the first minus the second, paired; Changed: the
    share of answers whose IoU with the one before is below 0.5. Each with its 95 % interval
    (bootstrap over images). Merged queries are of several kinds: one row, "all".
    """
    lines = []
    for control in [name for name in EXAM if name in results] if has_exam(results) else []:
        for split, altered in results[control].items():
            real = results[""].get(split)
            shared = [] if real is None else protocols_of(real)
            shared = [name for name in shared if name in protocols_of(altered)]
            if not shared or altered.empty:
                continue
            for kind, rows in _by_kind(altered, control):
                found = effect(real, rows, shared[0], is_generalized(real))
                lines.append([split, shared[0], control, kind, *_numbers(found)])
    return pd.DataFrame(lines, columns=COLUMNS)


def _by_kind(rows: pd.DataFrame, control: str) -> list[tuple[str, pd.DataFrame]]:
    kinds = sorted(set(rows["kind"]) - {""}) if control != MERGED else []
    return [(ALL, rows), *((kind, rows[rows["kind"] == kind]) for kind in kinds)]


def _numbers(found: Effect) -> list[float]:
    estimates = (found.real, found.control, found.difference, found.changed)
    shown = [percent(value) for estimate in estimates for value in estimate]
    shown = [0.0 if abs(value) < 0.005 else value for value in shown]  # "-0.00" says nothing
    return [found.expressions, found.images, *shown]


def card_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The exam on one card: a row for every split and question, with its verdict.

    frame: of `exam_table`. A question whose control was not scored has no row.
    """
    lines = []
    all_kinds = frame[frame["Kind"] == ALL].set_index(["Split", "Control"])
    for split in dict.fromkeys(frame["Split"]):
        for question in QUESTIONS:
            if (split, question.control) in all_kinds.index:
                line = all_kinds.loc[(split, question.control)]
                said = verdict(question.rule, line)
                lines.append([split, question.text, said, question.control, *line[COLUMNS[4:]]])
    card = pd.DataFrame(lines, columns=["Split", "Question", "Verdict", "Control", *COLUMNS[4:]])
    kept = card.drop(columns=["Images", *(f"{n}{e}" for n in (REAL, CONTROL) for e in (LOW, HIGH))])
    return kept.astype({EXPRESSIONS: int})


def verdict(rule: str, line: Mapping[str, float]) -> str:
    """The verdict of a rule (see RULES) on a line of the table."""
    low, high = line[FALL + LOW], line[FALL + HIGH]
    if line["Images"] < FEW or math.isnan(low):
        return "too few"
    if rule == FALLS:
        if low <= 0:
            return "no"
        return "yes" if line[CONTROL + HIGH] < HALF * line[REAL] else "partly"
    if rule == MATTERS:
        return "yes" if low > 0 else "reversed" if high < 0 else "no"
    return "yes" if high < 0 else "worse" if low > 0 else "no"


def beside(frames: Mapping[str, pd.DataFrame], split: str) -> pd.DataFrame:
    """Several models on one card: a row a question, a column a model. frames: of `exam_table`.

    A cell: verdict, overall IoU real → control, the fall with its interval, and the share of
    answers that changed with its own.
    """
    cards = {name: card_table(frame[frame["Split"] == split]) for name, frame in frames.items()}
    lines = []
    for question in QUESTIONS:
        line = [question.text, question.control]
        for card in cards.values():
            found = card[card["Control"] == question.control]
            line.append(_cell(found.iloc[0]) if len(found) else None)
        lines.append(line)
    return pd.DataFrame(lines, columns=["Question", "Control", *cards])


def shared_splits(frames: Iterable[pd.DataFrame]) -> list[str]:
    """The splits that all of these tables have, in the order of the first."""
    first, *others = frames
    known = [set(frame["Split"]) for frame in others]
    return [name for name in dict.fromkeys(first["Split"]) if all(name in k for k in known)]


def verdicts_beside(frames: Mapping[str, pd.DataFrame], split: str) -> pd.DataFrame:
    """The verdicts alone: a row a question, a column a model. frames: of `exam_table`."""
    cells = beside(frames, split).drop(columns="Control")
    for name in frames:
        cells[name] = cells[name].map(lambda text: text.split(":")[0], na_action="ignore")
    return cells


def _cell(line: Mapping[str, float]) -> str:
    return (
        f"{line['Verdict']}: {line[REAL]:.1f} → {line[CONTROL]:.1f}; fall {line[FALL]:.1f} "
        f"[{line[FALL + LOW]:.1f}, {line[FALL + HIGH]:.1f}]; changed {line[CHANGED]:.1f} "
        f"[{line[CHANGED + LOW]:.1f}, {line[CHANGED + HIGH]:.1f}]"
    )


def references_table() -> pd.DataFrame:
    """What the three reference answerers score on the embedded data set's testA, in percent."""
    return pd.read_csv(REFERENCES)


def references_beside() -> pd.DataFrame:
    """`references_table` with a row a control and a column an answerer, as the card has them."""
    table = references_table()
    columns = {"Control": [], EXPRESSIONS: []}
    columns |= {name: [] for name in dict.fromkeys(table["Model"])}
    for control, lines in table.groupby("Control", sort=False):
        columns["Control"].append(control)
        columns[EXPRESSIONS].append(lines[EXPRESSIONS].iloc[0])
        for _, line in lines.iterrows():
            text = f"{line[REAL]:.1f} → {line[CONTROL]:.1f}; changed {line[CHANGED]:.1f}"
            columns[line["Model"]].append(text)
    return pd.DataFrame(columns)
