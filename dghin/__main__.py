"""The one command: `dghin train`, `dghin evaluate`, ... (`python -m dghin` is the same).

A subcommand's module is imported when it is asked for, so that `dghin --help` is immediate.
"""

import sys
from collections.abc import Sequence

COMMANDS = {  # name: (module, function, what it does)
    "reproduce": ("dghin.commands.reproduce", "main", "run the notebooks, from raw data to report"),
    "data": ("data_preprocess.cli", "main", "fetch, prepare and verify data sets"),
    "train": ("dghin.commands.train", "main", "train in this process, or as one of torchrun's"),
    "launch": ("dghin.commands.launch", "main", "train on all GPUs of this machine, or on nodes"),
    "evaluate": ("dghin.commands.evaluate", "main", "score the masks of a run's splits"),
    "predict": ("dghin.commands.predict", "main", "a photo and a phrase: write the mask"),
    "report": ("dghin.commands.report", "main", "make a run's report.html and tables again"),
    "exam": ("dghin.commands.exam", "main", "does it read? all controls, and a page of verdicts"),
    "compare": ("dghin.commands.report", "compare", "one page over several runs"),
    "verify": ("dghin.commands.report", "verify", "do a report's numbers follow from its rows?"),
    "demo": ("dghin.commands.demo", "main", "a page to try a network in the browser"),
    "export": ("dghin.commands.export", "main", "the network as one ONNX or torch.export file"),
    "convert": ("dghin.commands.convert", "main", "weights of the original: .pth to a folder"),
}


def usage() -> str:
    """What `dghin --help` prints."""
    from dghin import __version__

    lines = ["usage: dghin COMMAND [key=value ...]", ""]
    lines += [f"  {name:<10} {summary}" for name, (_, _, summary) in COMMANDS.items()]
    lines += [
        "",
        "dghin COMMAND --help shows a command's examples and keys.",
        f"dghin {__version__}",
    ]
    return "\n".join(lines)


def run(arguments: Sequence[str]) -> int | None:
    """Run a subcommand with its words; returns its exit status."""
    from importlib import import_module

    from data_preprocess.base.errors import unknown_name
    from dghin import __version__

    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(__version__)
        return 0
    name, *words = arguments
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    module, function, _ = COMMANDS[name]
    return getattr(import_module(module), function)(words)


def main() -> None:
    """The entry point of the command `dghin`.

    Modules are imported in here: Ctrl-C in the middle of that is no traceback either.
    """
    try:
        from dghin.run.command_line import run_cli

        sys.exit(run_cli(run, sys.argv[1:]))
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
