"""Command lines: `key=value` words, help on one screen, errors without a traceback."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_preprocess.base.errors import Parser, UserError, at_the_edge, unknown_name
from data_preprocess.base.paths import enter_project, from_here, words_from_here
from data_preprocess.base.settings import flatten, path_keys, to_mapping, typed_like

from .config import Config, is_file_name

# keys of commands that name files or folders, and those that may name something else as well
_PATHS = {"reports", "data", "predictions", "write", "gallery", "card", "slurm", *path_keys(Config)}
PERHAPS_PATHS = {"model", "weights.backbone", "weights.text", "data.tokenizer"}
WRITTEN = {"output", "overlay"}  # stand where the user stands, also where they are not given
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
    takes the config's settings, too (`--settings` lists them). After this, the project's root is
    the working folder, and the paths that were given are read from there.
    """
    keys = flatten(to_mapping(Config())) if settings else {}
    parser = _parser(program, description, own, flags, settings)
    parsed = parser.parse_intermixed_args(arguments)  # flags between the words, too
    if settings and parsed.settings:
        print(_listing(keys))
        sys.exit(0)
    values, words = dict(own), []
    for key in WRITTEN & own.keys():
        values[key] = from_here(own[key])
    for word in words_from_here(parsed.words, path_words(parsed.words), PERHAPS_PATHS):
        key, separator, text = word.partition("=")
        if not separator:
            raise UserError(f"'{word}' is not of the form key=value. See --help for the keys.")
        if key in own:
            values[key] = typed_like(key, text, own[key])
        elif key in keys:
            words.append(word)
        else:
            raise unknown_name("key", key, [*own, *keys])
    enter_project()
    return values | {flag: getattr(parsed, flag.replace("-", "_")) for flag in flags}, words


def path_words(words: Sequence[str]) -> set[str]:
    """The keys whose values are files or folders: a config is one where its name ends so."""
    configs = [word for word in words if word.startswith("config=") and is_file_name(word)]
    return _PATHS | WRITTEN | ({"config"} if configs else set())


def _parser(
    program: str,
    description: str | None,
    own: Mapping[str, Any],
    flags: Sequence[str],
    settings: bool,
) -> Parser:
    more = "\nand every setting of the config: --settings lists them" if settings else ""
    parser = Parser(
        prog=program,
        description=description,
        epilog=f"keys and their defaults:\n{_listing(own)}{more}" if own else None,
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
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    return at_the_edge(main, arguments)


def _listing(values: Mapping[str, Any]) -> str:
    return "\n".join(f"  {key}={_shown(value)}" for key, value in values.items())


def _shown(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return "..."
    return "true" if value is True else "false" if value is False else value
