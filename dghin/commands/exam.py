"""Does a model read? It is scored under all controls of the exam; reports/<run>/exam.html says it.

    dghin exam run=demo                                   the run's best weights
    dghin exam run=demo split=testA                       one split
    dghin exam run=mine config=refcoco model=hf:NAME      a model of others, as in dghin evaluate
    dghin exam run=perfect config=demo model=reference:perfect       or deaf, deaf-to-place
    dghin exam runs=demo,mine                             several models on one card

What is scored already is not scored again; where nothing is missing, only report and page are made.
On several GPUs, score first: torchrun ... -m dghin evaluate run=demo control=exam.
A model of files answers the questions of `dghin evaluate control=exam write=FILE`; once its answers
are scored (`dghin evaluate control=exam predictions=PATH`), `dghin exam run=RUN` makes the page.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dghin.data.split import open_split
from dghin.evaluation.controls import EXAM, alter
from dghin.evaluation.evaluate import possible_controls
from dghin.evaluation.provenance import read_rows
from dghin.report.exam import check_scored, compare_exams
from dghin.report.proof import EXAM_PAGE
from dghin.report.run_report import write_report
from dghin.report.tables.exam import has_exam
from dghin.report.tables.scores import read_results
from dghin.run.command_line import read_words
from dghin.run.config import Config
from dghin.run.folder import REPORTS, RunFolder

from .evaluate import main as evaluate
from .evaluate import settings_of

OWN = {
    "run": "demo", "runs": "", "split": "", "model": "", "options": "", "config": "",
    "reports": str(REPORTS),
}  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """`dghin exam`; see the module's docstring."""
    values, words = read_words("dghin exam", __doc__, OWN, arguments)
    reports, split = Path(values["reports"]), values["split"]
    if values["runs"]:
        names = [name.strip() for name in values["runs"].split(",") if name.strip()]
        print(compare_exams(names, reports, split))
        return
    folder = reports / values["run"]
    config = settings_of(folder, values["config"], words)
    if values["model"] or RunFolder(folder).best.is_dir():
        for _ in range(2):  # where the plain rows were of other weights, all others were, too
            for name, controls in missing(folder, config, split).items():
                evaluate(_words(values, words, name, controls))
    check_scored(folder, has_exam(read_results(folder)))
    write_report(folder, split)  # the page is made with it: one proof is of both
    print(folder / EXAM_PAGE)


def missing(folder: Path, config: Config, split: str = "") -> dict[str, list[str]]:
    """The controls that are still to be scored, by split (default: val and the test splits).

    Rows count that are of the same weights as the split's plain rows. A control that changes no
    expression of the split, or needs a second photo where there is one, is not missing.
    """
    names = [split] if split else config.data.scored_splits
    found = {}
    for name in names:
        plain = _checkpoint(RunFolder(folder).rows(name))
        left = [
            control
            for control in EXAM
            if plain is None or _checkpoint(RunFolder(folder).rows(name, control)) != plain
        ]
        if left and (left := _that_can_be(config, name, left)):
            found[name] = left
    return found


def _checkpoint(rows: Path) -> str | None:
    """The digest of the weights that rows are of, "" where they do not say it; None: no rows."""
    if not rows.is_file():
        return None
    return read_rows(rows).attrs.get("provenance", {}).get("checkpoint") or ""


def _that_can_be(config: Config, name: str, controls: Sequence[str]) -> list[str]:
    """Those of the controls under which some expression of the split can be scored."""
    split = open_split(config, name, checked=False)
    possible = possible_controls(split, controls)
    return [one for one in possible if len(alter(split, one, config, encode=False).indices)]


def _words(
    values: Mapping[str, Any], words: Sequence[str], split: str, controls: Sequence[str]
) -> list[str]:
    """The words of `dghin evaluate` for a split and controls."""
    own = {key: values[key] for key in ("run", "model", "options", "config", "reports")}
    own |= {"split": split, "control": ",".join(controls)}
    return [*(f"{key}={value}" for key, value in own.items() if value), *words]
