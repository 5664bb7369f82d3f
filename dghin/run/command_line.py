"""Command lines: `key=value` words, help that lists every key, errors without a traceback."""

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_preprocess.base.common import UserError, unknown_name
from data_preprocess.base.settings import flatten, parse_value, to_mapping

from .config import Config


def read_words(
    program: str,
    description: str | None,
    own: Mapping[str, Any],
    arguments: Sequence[str] | None,
    flags: Sequence[str] = (),
) -> tuple[dict[str, Any], list[str]]:
    """The command's own keys and flags (with defaults), and the words for the config.

    A word whose key is neither is refused with the nearest known key.
    """
    keys = flatten(to_mapping(Config()))
    listing = "\n".join(f"  {key}={_shown(value)}" for key, value in {**own, **keys}.items())
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog=f"keys and their defaults (a config file may set others):\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value")
    for flag in flags:
        parser.add_argument(f"--{flag}", action="store_true")
    parsed = parser.parse_args(arguments)
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


def run_cli(main: Callable[[Sequence[str] | None], None]) -> None:
    """Run a command: errors for people go to stderr in one line, with exit status 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in ("httpx", "transformers", "timm", "torch.distributed", "fontTools"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        main(None)
    except UserError as error:
        rank = os.environ.get("RANK", "0")  # of torchrun's processes
        print(f"error: {error}" if rank == "0" else f"error of process {rank}: {error}",
              file=sys.stderr)  # fmt: skip
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def _shown(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return "..."
    return "true" if value is True else "false" if value is False else value
