"""One page of an ablation: what each part brings, over seeds, and where the numbers come from.

    write_ablation_report(Path("reports/ablation"))     # → reports/ablation/report.html

Made from the trainings in <folder>/runs alone (dghin/ablation/trainings.py): tables/ablation and
tables/seeds
(Markdown, CSV, LaTeX), tables/by_kind and tables/graph_spread where rows and logs know them,
figures/ablation, figures/validation and figures/graph_spread, report.html, provenance.json.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_text
from data_preprocess.base.tables import to_markdown
from dghin.ablation.table import ablation_table, judged_splits, scores
from dghin.report.figures.compare import validation_figure
from dghin.report.figures.curves import read_log
from dghin.report.page import render, save_figures
from dghin.report.proof import PAGE, write_proof
from dghin.report.run_report import verify_report
from dghin.report.tables.latex import to_latex, write_latex_document
from dghin.report.tables.origins import (
    NOT_RECORDED,
    Origin,
    cut_digests,
    environment_table,
    origin_facts,
    origin_warnings,
    read_origin,
)
from dghin.report.tables.scores import remove_table, write_table
from dghin.run.config import settings_with_effect
from dghin.run.folder import RunFolder

from .figure import ablation_figure, seeds_table
from .kinds import kinds_table, shown_kinds, where_graphs_help
from .spread import collapse, spread_figure, spread_log, spread_table
from .trainings import (
    FULL,
    VARIANTS,
    Member,
    folders_of_members,
    in_order,
    member_config,
    missing_members,
    read_members,
)
from .verdict import REMOVES, dual_graph, scales, signed, verdict

TEMPLATE = "ablation.html"
# what differs between trainings in any case, or stands in a table of its own
OWN_FACTS = ("time", "command", "code: commit", "code: changed files", "seeds: training")


def is_ablation(folder: Path) -> bool:
    """Whether reports/<run> holds trainings of an ablation, and is no run itself."""
    return (folder / "runs").is_dir() and not (folder / "rows").exists()


def write_ablation_report(folder: Path, found: Sequence[Member] = ()) -> Path:
    """Write tables, figures and report.html of an ablation's folder; → the page.

    found: the trainings that it is of; empty: all that are finished. UserError where none is; those
    that are not are named on the page.
    """
    folder = Path(folder)
    found = in_order(found) or read_members(folder)
    frame = ablation_table(found)
    tables = _write_tables(found, frame, folder)
    origins = [read_origin(member.folder) for member in found]
    values = {
        "run": folder.name,
        "folder": folder.as_posix(),
        "config": found[0].config,
        "members": found,
        "seeds": sorted({member.seed for member in found}),
        "judged": judged_splits(found),
        "missing": [f"{member.variant}, seed {member.seed}" for member in missing_members(folder)],
        "variants": variants_shown(found),
        "verdict": verdict(frame),
        "sentences": said_of_graphs(found, frame),
        "tables": tables,
        "figures": write_figures(found, folder / "figures"),
        "settings": RunFolder(found[0].folder).config.read_text(encoding="utf-8"),
        "origins": origin_table(found, origins),
        "environment": environment_table(origins, without=OWN_FACTS),
        "warnings": warnings(found, origins),
    }
    write_text(folder / PAGE, render(TEMPLATE, values))
    write_proof(folder, "ablation", [member.folder for member in found])
    return folder / PAGE


def said_of_graphs(found: Sequence[Member], frame: pd.DataFrame) -> list[str]:
    """What the page says of the two graphs: in all, by kind, by the visual graph's scale."""
    by_scale = [scales(frame), collapse(spread_of(found))]
    by_kind = where_graphs_help(kinds_table(found))
    return [dual_graph(frame), *by_kind, *(sentence for sentence in by_scale if sentence)]


def ablation_tables(folder: Path, runs: Sequence[Path], output: Path) -> None:
    """Write the tables of an ablation into <output>/tables.

    For `dghin.report.proof.verify`. runs: the trainings' folders. Parameters are computed from
    their settings and minutes from their logs, all else from rows.
    """
    wanted = {run.resolve() for run in runs}
    found = [one for one in folders_of_members(folder) if one.folder.resolve() in wanted]
    if not found:
        raise UserError(f"{folder / 'runs'}: none of the trainings that the report was made from.")
    _write_tables(found, ablation_table(found), output)


def verify_ablation(folder: Path) -> str:
    """Compute every number of an ablation's report again from the rows, as `verify_report`."""
    return verify_report(folder, {"ablation": ablation_tables})


def _write_tables(
    found: Sequence[Member], frame: pd.DataFrame, output: Path
) -> dict[str, pd.DataFrame]:
    """Write the tables; → them as the page shows them. The ablation's CSV holds its numbers."""
    folder = output / "tables"
    shown, seeds = shown_table(frame), scores(found)
    write_table(frame.assign(p=_p_values(frame)), folder, "ablation")
    write_text(folder / "ablation.md", to_markdown(shown))
    write_text(folder / "ablation.tex", to_latex(shown))
    write_table(seeds, folder, "seeds")
    made = {"ablation": shown, "seeds": seeds}
    for name, table in (("by_kind", kinds_table(found)), ("graph_spread", spread_of(found))):
        if table.empty:
            remove_table(folder, name)
            continue
        write_table(table, folder, name)
        made[name] = shown_kinds(table) if name == "by_kind" else table
    write_latex_document(folder)
    return made


def spread_of(found: Sequence[Member]) -> pd.DataFrame:
    """`spread_table` of trainings."""
    return spread_table(spread_log(found))


def shown_table(frame: pd.DataFrame) -> pd.DataFrame:
    """`ablation_table`'s frame as papers print it: "58.1 ± 0.7", "−1.20 [−2.10, −0.30]"."""
    shown = frame[["Variant", "Protocol", "Seeds"]].copy()
    for split in [name for name in frame if f"{name}, sd" in frame]:
        pairs = zip(frame[split], frame[f"{split}, sd"], strict=True)
        shown[split] = [_with_deviation(mean, sd) for mean, sd in pairs]
    bounds = ("To full", "To full, low", "To full, high")
    shown["To full [95 %]"] = [
        _with_bounds(*line) for line in zip(*(frame[name] for name in bounds), strict=True)
    ]
    shown["p"] = _p_values(frame)
    shown["Parameters"] = frame["Parameters"]
    shown["Minutes"] = [None if pd.isna(value) else f"{value:.1f}" for value in frame["Minutes"]]
    return shown


def _p_values(frame: pd.DataFrame) -> list[str | None]:
    """As text, since a table's two decimals would not show them."""
    return [
        None if pd.isna(value) else f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
        for value in frame["p"]
    ]


def _with_deviation(mean: float, sd: float) -> str | None:
    if pd.isna(mean):
        return None
    return f"{mean:.1f}" if pd.isna(sd) else f"{mean:.1f} ± {sd:.1f}"


def _with_bounds(value: float, low: float, high: float) -> str | None:
    if pd.isna(value):
        return None
    return signed(value) if pd.isna(low) else f"{signed(value)} [{signed(low)}, {signed(high)}]"


def write_figures(found: Sequence[Member], folder: Path) -> dict[str, str]:
    """Save the figures as PNG and PDF; → {name: PNG as a data URI}, without those of no data.

    ablation: every seed of every variant, by split. validation: all variants of the first seed.
    graph_spread: on how many patches the visual graph rests, by its scale.
    """
    first = min(member.seed for member in found)
    logs = {one.variant: one.folder / "train" / "log.jsonl" for one in found if one.seed == first}
    made = {
        "ablation": ablation_figure(seeds_table(scores(found), FULL)),
        "validation": validation_figure({n: read_log(p) for n, p in logs.items() if p.is_file()}),
        "graph_spread": spread_figure(spread_log(found)),
    }
    return save_figures(made, folder)


def variants_shown(found: Sequence[Member]) -> list[dict[str, str]]:
    """The variants that are there: name, the key that makes it, what it leaves out."""
    names = dict.fromkeys(member.variant for member in found)
    return [{"name": name, "key": VARIANTS[name], "removes": REMOVES[name]} for name in names]


def origin_table(found: Sequence[Member], origins: Sequence[Origin]) -> pd.DataFrame:
    """Where every training's rows come from, as they say themselves: a row a training."""
    columns = ("commit", "changed files", "checkpoint", "command")
    lines = []
    for member, origin in zip(found, origins, strict=True):
        facts = origin_facts(origin)
        values = [cut_digests(facts.get(name, NOT_RECORDED)) for name in columns]
        lines.append([member.variant, str(member.seed), *values])
    titles = ["Variant", "Seed", "Commit", "Changed files", "Weights", "Command"]
    return pd.DataFrame(lines, columns=titles)


def warnings(found: Sequence[Member], origins: Sequence[Origin]) -> list[str]:
    """What a reader should know before trusting the table; nothing, if all is well."""
    counts = scores(found).groupby("Split")["Expressions"].nunique()
    uneven = [
        f"{split}: not scored on equally many expressions." for split in counts[counts > 1].index
    ]
    return origin_warnings(origins, "trainings") + uneven + different_settings(found)


def different_settings(found: Sequence[Member]) -> list[str]:
    """The trainings that differ from the first in more than their seed and their variant's key."""
    said = []
    base = next((member for member in found if member.variant == FULL), None)
    for member in found if base else ():
        own = settings_with_effect(member.config)
        wanted = settings_with_effect(member_config(base.config, member))
        keys = [key for key in wanted if own.get(key) != wanted[key]]
        if keys:
            said.append(
                f"{member.folder.name} differs from {base.folder.name} in more than its variant "
                f"and seed: {', '.join(keys)}."
            )
    return said
