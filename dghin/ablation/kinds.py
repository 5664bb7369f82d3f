"""What each part brings by kind of expression: attribute, place, superlative, relation, ordinal.

    kinds_table(found)            # a row for every variant and kind: mean ± sd, to full, p
    where_graphs_help(table)      # in sentences: on which kinds the two graphs are missed

The paper's claim is that the graphs help with expressions that tell things apart by how they
stand to each other; of drawn scenes it is known which expressions these are.
"""

from collections.abc import Sequence

import pandas as pd

from dghin.evaluation.metrics import metrics_from_rows
from dghin.report.tables.scores import read_results

from .table import DIFFERENCE, against_full, judged_splits
from .trainings import FULL, Member
from .verdict import CHANCE, DUAL_GRAPH, p_text, signed

COLUMNS = ["Variant", "Kind", "Protocol", "Seeds", "Expressions", "oIoU", "oIoU, sd", *DIFFERENCE]
CONTEXT = ("relation", "ordinal", "superlative")  # kinds that compare things with each other


def kind_scores(found: Sequence[Member], protocol: str = "strict") -> pd.DataFrame:
    """A row for every training and kind: Variant, Seed, Kind, Expressions, oIoU in percent.

    Of the judged splits' expressions together; without rows that name no kind.
    """
    judged, lines = judged_splits(found), []
    for member in found:
        results = read_results(member.folder)[""]
        rows = pd.concat([results[split] for split in judged if split in results])
        for kind, chosen in rows[rows["kind"] != ""].groupby("kind"):
            value = 100 * metrics_from_rows(chosen, protocol)["oiou"]
            lines.append([member.variant, member.seed, kind, len(chosen), value])
    return pd.DataFrame(lines, columns=["Variant", "Seed", "Kind", "Expressions", "oIoU"])


def kinds_table(found: Sequence[Member], protocol: str = "strict") -> pd.DataFrame:
    """A row for every variant and kind, variants in the order of `found`: COLUMNS.

    oIoU in percent, its mean and sd over seeds; the difference to the full network with a 95 %
    interval and p-value by Welch's t-test over seeds. Empty where no expression's kind is known.
    """
    every, lines = kind_scores(found, protocol), []
    for variant in dict.fromkeys(member.variant for member in found):
        for kind in sorted(set(every["Kind"])):
            of_kind = every[every["Kind"] == kind]
            own = of_kind[of_kind["Variant"] == variant]
            full = of_kind[of_kind["Variant"] == FULL]["oIoU"].to_numpy()
            line = [variant, kind, protocol, len(own), int(own["Expressions"].max())]
            line += [own["oIoU"].mean(), own["oIoU"].std(ddof=1)]
            compared = variant != FULL and len(full)
            line += against_full(own["oIoU"].to_numpy(), full) if compared else [None] * 4
            lines.append(line)
    frame = pd.DataFrame(lines, columns=COLUMNS)
    return frame.astype(dict.fromkeys(["oIoU", "oIoU, sd", *DIFFERENCE], float))


def shown_kinds(table: pd.DataFrame) -> pd.DataFrame:
    """A row a variant, a column a kind: "63.1 ± 0.7 (−1.2*)"; the star: p below CHANCE."""
    shown = pd.DataFrame({"Variant": list(dict.fromkeys(table["Variant"]))})
    for kind in dict.fromkeys(table["Kind"]):
        lines = table[table["Kind"] == kind].set_index("Variant")
        count = int(lines["Expressions"].max())
        shown[f"{kind} ({count})"] = [_cell(lines.loc[name]) for name in shown["Variant"]]
    return shown


def _cell(line: pd.Series) -> str:
    text = f"{line['oIoU']:.1f}"
    if pd.notna(line["oIoU, sd"]):
        text += f" ± {line['oIoU, sd']:.1f}"
    if pd.notna(line["To full"]):
        difference = f"{line['To full']:+.1f}".replace("-", "−")
        text += f" ({difference}{'*' * bool(line['p'] < CHANCE)})"
    return text


def where_graphs_help(table: pd.DataFrame) -> list[str]:
    """A sentence for every variant without graphs: the kinds on which it is lower, or higher, by
    more than chance; then whether kinds that compare things lose more than the others do."""
    sentences = []
    for variant, called in DUAL_GRAPH.items():
        lines = table[(table["Variant"] == variant) & table["p"].notna()]
        if lines.empty:
            continue
        sure = lines[lines["p"] < CHANCE].sort_values("To full")
        rest = [kind for kind in lines["Kind"] if kind not in set(sure["Kind"])]
        found = [
            f"{line['Kind']} {signed(line['To full'])} ({p_text(line['p'])})"
            for _, line in sure.iterrows()
        ]
        parts = ["differs by more than chance on " + ", ".join(found)] if found else []
        parts += [f"not on {', '.join(rest)}"] if rest and found else []
        sentences.append(
            f"{called[0].upper()}{called[1:]}, the score "
            + ("; ".join(parts) if found else "differs on no kind by more than chance")
            + f" ({_more_or_less(lines)})."
        )
    return sentences


def _more_or_less(lines: pd.DataFrame) -> str:
    """The mean differences of kinds that compare things, and of those that do not."""
    compares = lines["Kind"].isin(CONTEXT)
    inside, outside = lines[compares]["To full"].mean(), lines[~compares]["To full"].mean()
    if pd.isna(inside) or pd.isna(outside):
        return "over all kinds " + signed(lines["To full"].mean())
    return f"mean of {', '.join(CONTEXT)}: {signed(inside)}; of the other kinds: {signed(outside)}"
