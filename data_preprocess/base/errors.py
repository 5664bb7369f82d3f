"""Errors for people: one line that names the file, the value and the remedy."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right. The message names the file, the value and the remedy.

    Command lines print it after `error: ` and exit with status 2; notebooks show it as it is.
    """


def unknown_name(kind: str, value: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not known: says the nearest known one and lists all."""
    known = list(known)
    near = [name for name in known if name.lower() == value.lower()]
    near = near or difflib.get_close_matches(value, known, n=1, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return UserError(f"unknown {kind} '{value}'.{hint} Known: {', '.join(known)}.")
