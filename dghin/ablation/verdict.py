"""What an ablation's table says, in sentences that are computed from its numbers.

    verdict(ablation_table(found))       # which parts' removal lowers the score, and which does not
    dual_graph(ablation_table(found))    # one sentence on the paper's two graphs

A removal counts where Welch's t-test over seeds gives p < 0.05. Anything else is said to be
nothing that these seeds can show, which is not the same as no difference.
"""

import math
from collections.abc import Sequence

import pandas as pd

from .trainings import FULL

CHANCE = 0.05
REMOVES = {  # variant → what is left out
    FULL: "Nothing is left out.",
    "text graph off": "Words are not passed along the edges of the sentence's parse. They enter "
    "the graph level as the embedding gives them.",
    "visual graph off": "Patches are not passed along the learnt edges of the image. They enter "
    "the graph level as the image pyramid gives them.",
    "entity level only": "The whole graph level is gone: both graphs, and the words that meet "
    "patches after them.",
    "graph level only": "The entity level is gone: words meet patches after the two graphs only.",
    "part of speech off": "The words' embedding is not told which are nouns, verbs, adjectives.",
    "auxiliary losses off": "The four coarser masks are gone: the loss looks at the last one only.",
    "visual graph scaled": "Nothing is left out. The visual graph compares patches with 1/sqrt(D), "
    "as attention usually does; the paper's has no such factor.",
    "visual graph normalised": "Nothing is left out. The visual graph compares patches by their "
    "cosine, times sqrt(D), so that no edge can grow without bound.",
}
CHANGES = ("visual graph scaled", "visual graph normalised")  # variants that leave nothing out
DUAL_GRAPH = {  # variant → how the sentence on the two graphs names it
    "text graph off": "without the text graph",
    "visual graph off": "without the visual graph",
    "entity level only": "without the whole graph level",
}


def verdict(table: pd.DataFrame) -> list[str]:
    """Sentences on all variants of `ablation_table`'s frame; the first is the most important."""
    removed = table[~table["Variant"].isin([FULL, *CHANGES])]
    if FULL not in set(table["Variant"]):
        return ["Nothing can be said: the full network, which all are compared with, is missing."]
    if removed.empty:
        return ["Nothing was left out yet: there is the full network alone."]
    tested = removed[removed["p"].notna()]
    sure = tested[tested["p"] < CHANCE]
    lower, higher = sure[sure["To full"] < 0], sure[sure["To full"] > 0]
    sentences = _sure(lower, higher, len(tested))
    if len(unsure := tested.drop(sure.index)):
        low, high = unsure["To full, low"].min(), unsure["To full, high"].max()
        sentences.append(
            f"No difference that these seeds can show: {_listed(unsure)}. The intervals reach from "
            f"{signed(low)} to {signed(high)} points, and an effect in there may have gone unseen."
        )
    if len(unknown := removed[removed["p"].isna()]):
        sentences.append(
            "Not to be judged, since it or the full network was trained with one seed only, or has "
            f"the same score with every seed: {', '.join(unknown['Variant'])}."
        )
    if len(tested):
        sentences.append(
            f"With {_counted(len(tested), 'comparison')} at p < {CHANCE}, "
            f"{CHANCE * len(tested):.2g} come out by chance alone on average."
        )
    return sentences


def _sure(lower: pd.DataFrame, higher: pd.DataFrame, tested: int) -> list[str]:
    """The sentences on what chance hardly explains."""
    sentences = []
    if len(lower):
        sentences.append(
            "Leaving these out lowers the score by more than chance between trainings "
            f"(p < {CHANCE}): {_listed(lower)}."
        )
    elif tested:
        sentences.append(
            f"No removal lowers the score by more than chance between trainings (p < {CHANCE}): "
            "these trainings do not show that any part is needed."
        )
    if len(higher):
        sentences.append(
            f"Leaving these out raises it by more than chance (p < {CHANCE}): {_listed(higher)}. "
            "Here the network is better without."
        )
    return sentences


def dual_graph(table: pd.DataFrame) -> str:
    """One sentence on the paper's two graphs: their removal, one by one and together."""
    lines = table.set_index("Variant")
    tested = {
        name: lines.loc[name]
        for name in DUAL_GRAPH
        if name in lines.index and not math.isnan(lines.loc[name, "p"])
    }
    if not tested:
        return (
            "The dual graph: nothing can be said of it, since neither graph's removal, nor that of "
            "both, was trained with two seeds or more."
        )
    found = [f"{DUAL_GRAPH[name]} {_effect(line)}" for name, line in tested.items()]
    lower = [name for name, line in tested.items() if _is_sure(line) and line["To full"] < 0]
    higher = [name for name, line in tested.items() if _is_sure(line) and line["To full"] > 0]
    untold = [name for name in DUAL_GRAPH if name not in tested]
    missing = f"; not judged: {', '.join(untold)}" if untold else ""
    return f"The dual graph: {'; '.join(found)}{missing}. {_conclusion(lower, higher, len(tested))}"


def scales(table: pd.DataFrame) -> str:
    """One sentence on the visual graph's scale, beside the paper's; nothing where none was tried
    with two seeds or more."""
    tested = table[table["Variant"].isin(CHANGES) & table["p"].notna()]
    if tested.empty:
        return ""
    found = "; ".join(
        f"{line['Variant'].removeprefix('visual graph ')} {_effect(line)}"
        for _, line in tested.iterrows()
    )
    sure = tested[tested["p"] < CHANCE]
    better, worse = (len(sure[sure["To full"] * sign > 0]) for sign in (1, -1))
    conclusion = (
        "None differs by more than chance from the paper's form."
        if sure.empty
        else f"{better} better than the paper's form by more than chance, {worse} worse."
    )
    return f"The visual graph's scale: {found}. {conclusion}"


def _conclusion(lower: Sequence[str], higher: Sequence[str], tested: int) -> str:
    both = {"text graph off", "visual graph off"}
    if len(lower) == tested and both <= {*lower}:
        return (
            "The score is lower each time, by more than chance: here the graphs earn their place."
        )
    if not lower and not higher:
        return "None differs by more than chance: here the graphs are not shown to bring anything."
    parts = [f"lower by more than chance {_names(lower)}"] if lower else []
    parts += [f"higher by more than chance {_names(higher)}"] if higher else []
    rest = tested - len(lower) - len(higher)
    parts += ["not told apart from chance otherwise"] if rest else []
    return f"The score is {'; '.join(parts)}."


def _names(variants: Sequence[str]) -> str:
    return " and ".join(DUAL_GRAPH[name] for name in variants)


def signed(value: float) -> str:
    """A difference with its sign, a true minus: "+0.31", "−1.20"."""
    return f"{value:+.2f}".replace("-", "−")


def p_text(value: float) -> str:
    """A p-value for sentences."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _is_sure(line: pd.Series) -> bool:
    return line["p"] < CHANCE


def _effect(line: pd.Series) -> str:
    return f"{signed(line['To full'])} points ({p_text(line['p'])})"


def _listed(lines: pd.DataFrame) -> str:
    return "; ".join(f"{line['Variant']}, {_effect(line)}" for _, line in lines.iterrows())


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
