"""A run's report.html and tables, made again from its rows, logs and figures.

dghin report run=demo
dghin report run=demo gallery=docs/gallery    its figures as small copies on a Markdown page
dghin report run=lavt reviewed=PATH           scores on the expressions that Ref-L4's reviewers keep
dghin report run=lavt card=FOLDER             a model card with its scores, and .eval_results
dghin compare demo wide                       one page over several runs
dghin verify reports/demo                     compute every number again from the rows
"""

from collections.abc import Sequence
from pathlib import Path

from data_preprocess.base.errors import UserError
from data_preprocess.base.paths import from_here
from dghin.ablation import speedrun, steadiness
from dghin.ablation.page import ablation_tables, is_ablation, write_ablation_report
from dghin.data.review import store_review
from dghin.report.compare import compare_runs
from dghin.report.gallery import write_gallery
from dghin.report.run_report import verify_report, write_report
from dghin.run.command_line import read_words
from dghin.run.folder import REPORTS


def main(arguments: Sequence[str]) -> None:
    """`dghin report`; see the module's docstring."""
    own = {"run": "demo", "reports": str(REPORTS), "gallery": "", "card": "", "reviewed": ""}
    values, _ = read_words("dghin report", __doc__, own, arguments, settings=False)
    folder = Path(values["reports"]) / values["run"]
    if values["reviewed"]:
        for split, (kept, count) in store_review(folder, Path(values["reviewed"])).items():
            print(f"{split}: {kept:,} of {count:,} reviewed expressions are kept")
    if values["card"]:
        from dghin.report.model_card import write_card

        write_card(values["card"], folder)
        print(Path(values["card"]) / "README.md")
    elif values["gallery"]:
        print(write_gallery(folder, Path(values["gallery"])))
    else:
        print(write_ablation_report(folder) if is_ablation(folder) else write_report(folder))


def compare(arguments: Sequence[str]) -> None:
    """`dghin compare RUN RUN ...`; see the module's docstring."""
    names = [word for word in arguments if "=" not in word and not word.startswith("-")]
    own = {"reports": str(REPORTS), "output": ""}
    rest = [word for word in arguments if word not in names]
    values, _ = read_words("dghin compare RUN RUN", __doc__, own, rest, settings=False)
    output = Path(values["output"]) if values["output"] else None
    print(compare_runs(names, Path(values["reports"]), output))


def verify(arguments: Sequence[str]) -> None:
    """`dghin verify FOLDER`; see the module's docstring."""
    folders = [from_here(word) for word in arguments if not word.startswith("-")]
    rest = [word for word in arguments if word.startswith("-")]
    read_words("dghin verify FOLDER", __doc__, {}, rest, settings=False)
    if len(folders) != 1:
        raise UserError("dghin verify: give one folder, such as: dghin verify reports/demo")
    makers = {
        "ablation": ablation_tables,
        steadiness.KIND: steadiness.study_tables,
        speedrun.KIND: speedrun.speedrun_tables,
    }
    print(verify_report(Path(folders[0]).resolve(), makers))
