"""Run the notebooks in order, from a raw data set to the report.

    dghin reproduce run=demo                       the embedded data set
    dghin reproduce run=refcoco data=/path         the paper's run on real data
    dghin reproduce run=ablation                   what each part of the network brings
    dghin reproduce run=demo train.iterations=100  any setting of the config
    dghin reproduce run=demo --force               repeat what is up to date, too

A key is a parameter of a notebook, given to every notebook that has it, or a setting of the
config. Executed notebooks and everything they make stand in reports/<run>. Run again, only what
is out of date is repeated; after a failure it goes on from the notebook that failed.
"""

import argparse
import os
from collections.abc import Sequence

from data_preprocess.base.errors import Parser
from data_preprocess.base.paths import enter_project, words_from_here
from dghin.reproduce import closing_words, parameter_listing, reproduce, show_output
from dghin.run.command_line import PERHAPS_PATHS, path_words
from dghin.run.environment import STARTED_BY, command


def main(arguments: Sequence[str]) -> None:
    """`dghin reproduce`; see the module's docstring."""
    show_output()  # first: papermill logs what it inspects for the help
    arguments = words_from_here(arguments, path_words(arguments), PERHAPS_PATHS)
    enter_project()
    parser = Parser(
        prog="dghin reproduce",
        description=__doc__,
        epilog=parameter_listing(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--force", action="store_true", help="repeat what is up to date, too")
    parsed = parser.parse_args(arguments)
    os.environ.setdefault(STARTED_BY, command())  # notebooks and the trainer record it
    folder = reproduce(parsed.words, parsed.force)
    print(closing_words(folder))
