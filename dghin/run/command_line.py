"""Command lines: `key=value` words, help on one screen, errors without a traceback."""

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.settings import flatten, parse_value, to_mapping

from .config import Config

QUIET = ("httpx", "transformers", "timm", "torch.distributed", "fontTools")  # only their errors


def read_words(
    program: str,
    description: str | None,
    own: Mapping[str, Any],
    arguments: Sequence[str] | None,
    flags: Sequence[str] = (),
    settings: bool = True,
) -> tuple[dict[str, Any], list[str]]:
    """The command's own keys and flags (with defaults), and the words for the config.

    A word whose key is neither is refused with the nearest known key. settings: whether the command
    takes the config's settings, too (`--settings` lists them).
    """
    keys = flatten(to_mapping(Config())) if settings else {}
    parser = _parser(program, description, own, flags, settings)
    parsed = parser.parse_intermixed_args(arguments)  # flags between the words, too
    if settings and parsed.settings:
        print(_listing(keys))
        sys.exit(0)
    values, words = dict(own), []
    for word in parsed.words:
        key, separator, text = word.partition("=")
        if not separator:
            raise UserError(f"'{word}' is not of the form key=value. See --help for the keys.")
        if key in own:
            values[key] = str(text) if isinstance(own[key], str) else parse_value(key, text)
        elif key in keys:
            words.append(word)
        else:
            raise unknown_name("key", key, [*own, *keys])
    return values | {flag: getattr(parsed, flag.replace("-", "_")) for flag in flags}, words


def _parser(
    program: str,
    description: str | None,
    own: Mapping[str, Any],
    flags: Sequence[str],
    settings: bool,
) -> argparse.ArgumentParser:
    more = "\nand every setting of the config: --settings lists them" if settings else ""
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"keys and their defaults:\n{_listing(own)}{more}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value")
    for flag in flags:
        parser.add_argument(f"--{flag}", action="store_true")
    if settings:
        parser.add_argument("--settings", action="store_true", help="list the config's settings")
    return parser


def run_cli(main: Callable[[Sequence[str]], int | None], arguments: Sequence[str]) -> int:
    """Run a command; returns its exit status. Errors for people are one line and status 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return main(arguments) or 0
    except UserError as error:
        rank = os.environ.get("RANK", "0")  # of torchrun's processes
        print(f"error: {error}" if rank == "0" else f"error of process {rank}: {error}",
              file=sys.stderr)  # fmt: skip
        return 2
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] in ("dghin", "data_preprocess"):
            raise  # a fault of ours
        print(
            f"error: this command needs the package '{error.name}', which is not installed here. "
            "Install all: pip install 'dghin[all]' (see README); scoring saved masks "
            "(dghin evaluate predictions=PATH) needs no more than pip install 'dghin[score]'.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _listing(values: Mapping[str, Any]) -> str:
    return "\n".join(f"  {key}={_shown(value)}" for key, value in values.items())


def _shown(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return "..."
    return "true" if value is True else "false" if value is False else value
