"""What a paper claims, beside what this run measures, each with a verdict.

    claims = read_claims(RunFolder(folder).claims)                    # reports/<run>/claims.yaml
    claims_table(results, config, about, claims, folder)              # a DataFrame, in percent

claims.yaml is a list; an entry is a `Claim`. Runs of DGHIN get the paper's (claims.yaml beside this
module) from `dghin report`, unless they have their own; other models' runs have those one writes.

The verdict is about one number under one protocol:

reproduced       the claimed value lies within the 95 % interval of the measured one (bootstrap over
                 images, ends included), or no further from it than `tolerance` points. With
                 `better_than`: the 95 % interval of the difference (paired, over images) lies
                 above 0.
not reproduced   otherwise, be the measured value too low or too high.
not comparable   something else was measured, or the value is not public: the column Why says what.
                 Nothing is said of the claim then.

The interval covers the choice of images, not that of another training (its seed).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.files import write_text
from data_preprocess.base.settings import build, difference, to_mapping
from data_preprocess.base.yaml_files import read_yaml
from data_preprocess.raw.datasets import JOINT, KNOWN, MEMBERS, is_drawn
from dghin.evaluation.answers import check_protocol
from dghin.evaluation.metrics import metrics_from_rows, protocols_of, score_parts
from dghin.evaluation.provenance import read_rows, rows_digest
from dghin.evaluation.segmenters.about import About
from dghin.evaluation.uncertainty import bootstrap, paired_difference
from dghin.run.config import Config, ModelConfig
from dghin.run.folder import RunFolder

from .origins import DIGITS
from .published import METRICS, OTHER_NAMES
from .scores import HIGH, LOW, Results, percent

SHIPPED = Path(__file__).with_suffix(".yaml")  # DGHIN's own, as far as they are public
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
NOT_COMPARABLE = "not comparable"
OTHER_DATA = ("embedded data set", "other data set")  # so begins why such a claim says nothing here
ROUNDING = 1e-9  # points; sums of floats differ by less
MEASURED = "Measured"
NUMBERS = ("Expected", MEASURED, MEASURED + LOW, MEASURED + HIGH)
COLUMNS = ("Claim", "Where", "Split", "Metric", "Protocol", *NUMBERS, "Verdict", "Why", "Evidence")


@dataclass(frozen=True)
class Claim:
    """An entry of claims.yaml."""

    claim: str = ""  # a sentence
    where: str = ""  # the section or table that says it, and of what
    dataset: str = ""  # as in data.dataset; `shapes` is the embedded one
    split: str = ""
    metric: str = ""  # oiou, miou, pr50 .. pr90, giou, ciou, n_acc, t_acc
    protocol: str = ""  # the one of ours that the value was scored under
    expected: float | None = None  # percent; None: not public
    tolerance: float = 0.0  # points by which the measured value may differ
    trained_on: Literal["", "single", "mixed"] = ""  # one data set or several; empty: any
    network: Literal["any", "paper"] = "any"  # paper: DGHIN with the paper's settings, no other
    better_than: str = ""  # instead of `expected`: a run's folder, seen from this run's (../NAME)


def read_claims(path: Path) -> list[Claim]:
    """The claims of a file; an error names the file, the entry and the remedy."""
    remedy = "Correct it, or remove the file: dghin report writes DGHIN's own anew."
    values = read_yaml(path, remedy, as_written=True)
    if not isinstance(values, list):
        raise UserError(f"{path}: expected a list of claims ('- claim: ...'). {remedy}")
    return [_claim(f"{path}: claim {number}", value) for number, value in enumerate(values, 1)]


def _claim(place: str, values: Any) -> Claim:
    if not isinstance(values, Mapping):
        raise UserError(f"{place}: expected keys with values, not {values!r}. Write 'claim: ...'.")
    try:
        found = build(Claim, {str(key): value for key, value in values.items()})
        _check(found)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    return found


def _check(claim: Claim) -> None:
    for name in ("claim", "where", "dataset", "split", "metric", "protocol"):
        if not getattr(claim, name).strip():
            raise UserError(f"no '{name}'. Every claim needs one.")
    if claim.metric not in METRICS:
        raise unknown_name("metric", claim.metric, METRICS)
    check_protocol(claim.protocol)
    dataset = KNOWN.get(claim.dataset)  # none: a data set of one's own
    if dataset and claim.split not in (*dataset.splits, "val"):
        raise unknown_name(f"split of {dataset.name}:", claim.split, dataset.splits)
    for name in ("expected", "tolerance"):
        value = getattr(claim, name)
        if value is not None and not 0 <= value <= 100:
            raise UserError(f"{name}: {value} is no number from 0 to 100. Give percent.")
    if claim.better_than and claim.expected is not None:
        raise UserError("both 'expected' and 'better_than' are given. Leave one out.")


def provide_claims(folder: Path, about: About) -> None:
    """Write DGHIN's own claims into a DGHIN run's folder that has none."""
    path = RunFolder(folder).claims
    if about.is_dghin and not path.exists():
        write_text(path, SHIPPED.read_text(encoding="utf-8"))


def run_claims(folder: Path) -> list[Claim]:
    """The claims in a run's folder; none where it has no such file."""
    path = RunFolder(folder).claims
    return read_claims(path) if path.is_file() else []


def compared_runs(folder: Path) -> list[Path]:
    """The folders of the runs that claims compare this one with, of those that have rows."""
    others = dict.fromkeys(folder / claim.better_than for claim in run_claims(folder)
                           if claim.better_than)  # fmt: skip
    return [other for other in others if RunFolder(other).all_rows.is_dir()]


def claims_table(
    results: Results, config: Config, about: About, claims: Sequence[Claim], folder: Path
) -> pd.DataFrame:
    """A line a claim: COLUMNS, scores in percent. folder: the run's, for digests of its rows and
    for the runs that claims compare it with.

    Measured is there wherever the rows have it, even if it does not compare; a difference in points
    where the claim is about two runs. Evidence: the rows files and what their digests begin with.
    """
    lines = []
    for claim in claims:
        split = split_of(claim, config)
        rows = results[""].get(split)
        measured, lacking = _measure(claim, rows, folder, split)
        reasons = [*_reasons(claim, config, about), *([lacking] if lacking else [])]
        if claim.expected is None and not claim.better_than:
            reasons.append("value not public: fill in 'expected' in claims.yaml")
        if split is None:
            reasons = [_other_data(config)]
        verdict, why = (NOT_COMPARABLE, "; ".join(reasons)) if reasons else judge(claim, *measured)
        metric = ("Δ " if claim.better_than else "") + METRICS[claim.metric]
        expected = math.nan if claim.expected is None else claim.expected
        line = [claim.claim, claim.where, f"{claim.dataset} {claim.split}", metric, claim.protocol]
        evidence = "" if rows is None else _evidence(claim, folder, split)
        lines.append([*line, expected, *measured, verdict, why, evidence])
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(dict.fromkeys(NUMBERS, float))


def judge(claim: Claim, measured: float, low: float, high: float) -> tuple[str, str]:
    """The verdict on a value, or a difference, that compares, and why; see the module."""
    if claim.better_than:
        if math.isnan(low):
            return NOT_COMPARABLE, "fewer than two images: no interval"
        if low > 0:
            return REPRODUCED, "the interval of the difference is above 0"
        where = "is below" if high < 0 else "reaches"
        return NOT_REPRODUCED, f"the interval of the difference {where} 0"
    gap = measured - claim.expected
    if low - ROUNDING <= claim.expected <= high + ROUNDING:
        return REPRODUCED, "the interval holds the claimed value"
    if claim.tolerance and abs(gap) <= claim.tolerance + ROUNDING:
        return REPRODUCED, f"within {claim.tolerance:g} points"
    if math.isnan(low) and not claim.tolerance:
        return NOT_COMPARABLE, "fewer than two images: no interval. Give a tolerance"
    return NOT_REPRODUCED, f"{abs(gap):.2f} points {'higher' if gap > 0 else 'lower'} than claimed"


def split_of(claim: Claim, config: Config) -> str | None:
    """The run's name of a claim's split (`joint` calls it refcoco_testA); None: other data."""
    data = config.data
    if claim.dataset == data.dataset and is_drawn(claim.dataset) == data.drawn:
        return claim.split
    members = (data.members or MEMBERS) if data.dataset == JOINT and not data.drawn else ()
    return f"{claim.dataset}_{claim.split}" if claim.dataset in members else None


def _other_data(config: Config) -> str:
    if config.data.drawn:
        return f"{OTHER_DATA[0]} of drawn scenes"
    return f"{OTHER_DATA[1]}: this run's is {config.data.dataset}"


def _reasons(claim: Claim, config: Config, about: About) -> Iterator[str]:
    """What keeps a claim from comparing, whatever the rows hold; nothing: they decide."""
    if config.evaluate.expressions:
        yield f"only the first {config.evaluate.expressions} expressions of a split were scored"
    if claim.trained_on and claim.trained_on != about.training_data:
        own = about.training_data or "on what is not stated"
        yield f"other training data: {own}, not {claim.trained_on}"
    if claim.network == "paper":
        other = difference(to_mapping(config.model), to_mapping(ModelConfig()))
        if not about.is_dghin:
            yield f"other model: {about.name or 'without a name'}"
        elif other:
            yield f"other settings of the network: {', '.join(other)}"


def _measure(
    claim: Claim, rows: pd.DataFrame | None, folder: Path, split: str | None
) -> tuple[Sequence[float], str]:
    """The value and the ends of its interval (percent, or points), and what is lacking ("": all
    is there)."""
    unknown = [math.nan] * 3
    if rows is None:
        return unknown, f"split {claim.split} was not scored"
    if claim.protocol not in protocols_of(rows):
        return unknown, f"the rows have no protocol {claim.protocol}: score the run again"
    parts = score_parts(rows, claim.protocol)
    name = claim.metric if claim.metric in parts else OTHER_NAMES.get(claim.metric, "")
    if name not in parts:
        return unknown, f"the rows have no {METRICS[claim.metric]}"
    if not claim.better_than:
        interval = bootstrap(rows, claim.protocol, [name])[name]
        values = (metrics_from_rows(rows, claim.protocol)[name], *interval)
        return [percent(value) for value in values], ""
    other = RunFolder(folder / claim.better_than).rows(split)
    if not other.is_file():
        return unknown, f"no rows of the other run: {claim.better_than}"
    try:
        found = paired_difference(rows, read_rows(other), claim.protocol, name)
    except UserError as error:
        return unknown, f"{claim.better_than}: {error}"
    return [percent(value) for value in found[:3]], ""


def _evidence(claim: Claim, folder: Path, split: str) -> str:
    """The rows files that the measured value is of, each with the first digits of its digest."""
    files = {f"rows/{split}.parquet": RunFolder(folder).rows(split)}
    if claim.better_than:
        name = f"{claim.better_than}/rows/{split}.parquet"
        files[name] = RunFolder(folder / claim.better_than).rows(split)
    found = {name: path for name, path in files.items() if path.is_file()}
    return ", ".join(f"{name} {rows_digest(path)[:DIGITS]}" for name, path in found.items())


def sort_claims(frame: pd.DataFrame) -> dict[str, Any]:
    """What a page shows: the claims about this run's data, and how many are about others'."""
    other = frame["Why"].str.startswith(OTHER_DATA)
    verdicts = frame["Verdict"].value_counts().to_dict()
    return {"shown": frame[~other], "left_out": int(other.sum()), "verdicts": verdicts}
