"""How far does the parse drift from the word pieces, and what does `aligned` change?

    alignment_table(sentences, "bert-base-uncased", "en_core_web_lg")     # one row a measure

In `paper` alignment the parser reads the word pieces as a text and may split it anew ("dont"
becomes "do", "nt"), so that word i of the parse is no longer piece i: all after it stand at the
place of another word's features. In the `aligned` one it gets the pieces as words.

The figures of the real data sets, measured by the `alignment` command, are in alignment.csv.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_preprocess.base.progress import tqdm
from data_preprocess.language.encoder import Language, LanguageEncoder
from data_preprocess.prepared.one_dataset import SplitSettings
from data_preprocess.raw.datasets import find_raw_dataset, true_name
from data_preprocess.raw.readers import read_raw, read_split

if TYPE_CHECKING:
    import pandas

DRIFT = "expressions whose parse drifts from its pieces"  # shown whole by pandas
MEASURES = {  # measure -> what it is a share of
    DRIFT: "expressions",
    "words at another place than their piece": "words",
    "expressions with other edges in aligned": "expressions",
    "expressions with other parts of speech in aligned": "expressions",
    "words with another head in aligned": "words",
    "words with another part of speech in aligned": "words",
}
RECORDED = "alignment.csv"


@dataclass(frozen=True)
class AlignmentSettings(SplitSettings):
    pieces: int = 10  # how many of the pieces that the parser splits are listed


def measure(settings: AlignmentSettings) -> tuple["pandas.DataFrame", "pandas.DataFrame"]:
    """The table of a raw data set (one split, or all), and the pieces that its parser splits."""
    data = Path(settings.data)
    dataset = find_raw_dataset(true_name(settings.dataset, data))
    if settings.split:
        splits = {settings.split: read_split(data, dataset, settings.split)}
    else:
        splits = read_raw(data, dataset).splits
    sentences = [
        sentence.text for records in splits.values() for r in records for sentence in r.sentences
    ]
    return alignment_table(
        sentences, settings.tokenizer, settings.parser, settings.words, data, settings.pieces
    )


def alignment_table(
    sentences: Iterable[str],
    tokenizer: Any,
    parser: Any,
    words: int = 17,
    data: Path | None = None,
    pieces: int = 10,
) -> tuple["pandas.DataFrame", "pandas.DataFrame"]:
    """How the two alignments differ over these expressions, each counted as often as it is there.

    → a table (Measure, Count, Of, Percent), and the word pieces that the parser splits most often
    (Piece, Parsed as, Expressions). Words past position `words` are left out.
    """
    import pandas

    counted = Counter(sentences)
    paper, aligned = (
        LanguageEncoder(tokenizer, parser, words, alignment, data)
        for alignment in ("paper", "aligned")
    )
    totals: Counter[str] = Counter()
    split: Counter[tuple[str, str]] = Counter()
    pairs = zip(counted, paper.encode(counted), aligned.encode(counted), strict=True)
    for sentence, one, other in tqdm(pairs, "align", len(counted), unit=" expressions"):
        times = counted[sentence]
        for name, count in _compare(one, other).items():
            totals[name] += times * count
        for pair in split_pieces(one):
            split[pair] += times
    lines = [
        [name, totals[name], totals[of], 100 * totals[name] / max(1, totals[of])]
        for name, of in MEASURES.items()
    ]
    table = pandas.DataFrame(lines, columns=["Measure", "Count", "Of", "Percent"])
    top = [[piece, parsed, count] for (piece, parsed), count in split.most_common(pieces)]
    return table, pandas.DataFrame(top, columns=["Piece", "Parsed as", "Expressions"])


def recorded() -> "pandas.DataFrame":
    """The figures of real data sets: dataset, measure, count, of, parser."""
    import pandas

    with (resources.files(__package__) / RECORDED).open(encoding="utf-8") as file:
        return pandas.read_csv(file)


def beside_recorded(table: "pandas.DataFrame", name: str) -> "pandas.DataFrame":
    """A table of `alignment_table` in percent, under `name`, beside the real data sets' figures."""
    known = recorded()
    wide = table[["Measure", "Percent"]].rename(columns={"Percent": f"{name}, %"})
    for dataset, rows in known.groupby("dataset", sort=False):
        shares = dict(zip(rows["measure"], 100 * rows["count"] / rows["of"], strict=True))
        wide[f"{dataset}, %"] = wide["Measure"].map(shares)
    return wide


def _compare(paper: Language, aligned: Language) -> Mapping[str, int]:
    """What one expression adds to every measure."""
    count = min(len(aligned.tokens), len(paper.heads) - 1)  # pieces that have a position
    places = slice(1, count + 1)
    moved = sum(
        index >= len(paper.tokens) or paper.tokens[index] != word
        for index, word in enumerate(aligned.tokens[:count])
    )
    heads = int((paper.heads[places] != aligned.heads[places]).sum())
    pos = int((paper.pos[places] != aligned.pos[places]).sum())
    values = [
        paper.tokens[:count] != aligned.tokens[:count],
        moved,
        heads > 0,
        pos > 0,
        heads,
        pos,
    ]
    return {"expressions": 1, "words": count} | dict(zip(MEASURES, map(int, values), strict=True))


def split_pieces(language: Language) -> list[tuple[str, str]]:
    """The word pieces of which the parser made something else: (piece, its words joined by +)."""
    found, start = [], 0
    for piece in language.pieces:
        text, parts, place = piece.replace("#", ""), [], start
        while place < len(language.tokens) and len("".join(parts)) < len(text):
            parts.append(language.tokens[place])
            place += 1
        if "".join(parts) != text:
            break  # the rest cannot be told apart
        if len(parts) != 1:
            found.append((piece, " + ".join(parts)))
        start = place
    return found
