"""Errors for people: one line that names the file, the value and the remedy.

Every command line ends here (`at_the_edge`): what the user can put right is one line and status 2;
anything else is a fault of this kit, and says where to report it.
"""

import argparse
import contextlib
import difflib
import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

INTERRUPTED = 130  # the shell's status for Ctrl-C
_GONE = 141  # and for a reader that went away, as in `dghin ... | head`
_FAULT = (
    "This is a fault of dghin, not of yours. Please report it with the lines above and the "
    "command: the page 'Issues' of the repository that dghin came from."
)
_REMEDIES = {
    errno.ENOSPC: "Make room on the disk, or name another place.",
    errno.EDQUOT: "Make room in your quota, or name another place.",
    errno.EROFS: "The disk is read-only: name another place.",
    errno.EACCES: "Ask for the right to read or write there, or name another place.",
    errno.EPERM: "Ask for the right to read or write there, or name another place.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "A file stands where a folder is expected: check the path.",
    errno.EISDIR: "It is a folder, where a file is expected: check the path.",
    errno.ENOTEMPTY: "Name another place, or empty the folder.",
    errno.EEXIST: "Something else stands there: name another place.",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.ELOOP: "Its links lead in a circle: check the path.",
    errno.EMFILE: "Allow more open files (ulimit -n), or use fewer workers.",
    errno.ENOMEM: "Use fewer workers or smaller batches.",
    errno.EIO: "The disk or its connection failed: check it, or name another place.",
    errno.EADDRINUSE: "Another program uses that port: give another one.",
}


class UserError(Exception):
    """Something the user can put right. The message names the file, the value and the remedy.

    Command lines print it after `error: ` and exit with status 2; notebooks show it as it is.
    """


class Parser(argparse.ArgumentParser):
    """argparse whose errors are those of everything else: one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Refuse a command line."""
        raise UserError(f"{message}. See: {self.prog.split(' CHECKPOINT')[0]} --help")


def unknown_name(kind: str, value: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not known: says the nearest known one and lists all."""
    known = list(known)
    near = [name for name in known if name.lower() == value.lower()]
    near = near or difflib.get_close_matches(value, known, n=1, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return UserError(f"unknown {kind} '{value}'.{hint} Known: {', '.join(known)}.")


def at_the_edge(
    main: Callable[[Sequence[str]], int | None],
    arguments: Sequence[str],
    stopped: str = "stopped",
) -> int:
    """Run a command; → its exit status.

    2 and one line: what the user can put right (`for_the_user`). 130: Ctrl-C. 1 and a traceback: a
    fault of this kit. A command that went to the project's root says from where it sees paths.
    """
    stood = _folder()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for stream in (sys.stdout, sys.stderr):  # a file's name may hold what a terminal cannot show
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main(arguments) or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        _say(stopped)
        return INTERRUPTED
    except BrokenPipeError:  # nobody reads any more: nothing to say, and nobody to say it to
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _GONE
    except Exception as error:
        line = for_the_user(error)
        if line is None:
            traceback.print_exc()
            _say(_FAULT)
            return 1
        if stood != (now := _folder()):
            line += f" (Paths are seen from {now}.)"
        rank = os.environ.get("RANK", "0")  # of torchrun's processes
        _say(f"error: {line}" if rank == "0" else f"error of process {rank}: {line}")
        return 2


def _folder() -> str:
    """Where this process stands; empty where that folder was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def for_the_user(error: Exception) -> str | None:
    """What to tell the user of an error that he can put right; None for a fault of this kit."""
    if isinstance(error, UserError):
        return " ".join(str(error).splitlines())
    if isinstance(error, ModuleNotFoundError):
        return _missing_package(error)
    if isinstance(error, OSError) and error.errno is not None:
        return _of_the_system(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        said = " ".join(str(error).split())[:200]
        return f"not enough memory ({said}). Use smaller batches, fewer workers or smaller photos."
    return None


def one_line(error: BaseException, most: int = 200) -> str:
    """The first line of an error's text that says something, cut to a length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:most]


def _of_the_system(error: OSError) -> str:
    """A full disk, a missing right, ...: the whole path, what the system says, the remedy."""
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    where = " and ".join(os.path.abspath(os.fsdecode(name)) for name in names)
    said = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno, "Check the disk, the path and your rights there.")
    return f"{where}: {said}. {remedy}" if where else f"{said}. {remedy}"


def _missing_package(error: ModuleNotFoundError) -> str | None:
    if not error.name or error.name.split(".")[0] in ("dghin", "data_preprocess"):
        return None
    return (
        f"this command needs the package '{error.name}', which is not installed here. "
        "Install all: pip install 'dghin[all]' (see README); scoring saved masks "
        "(dghin evaluate predictions=PATH) needs no more than pip install 'dghin[score]'."
    )


def _say(text: str) -> None:
    """Print to stderr, if anybody reads there."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
