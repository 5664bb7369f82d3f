"""Paths: names and ids from files that stay inside their folder; the project's root; ~.

What a command line names is where the user stands; defaults (`data`, `reports`) are in the
project's root: `words_from_here`, then `enter_project`.
"""

import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from data_preprocess.base.errors import UserError

from .values import LARGEST, is_text, shown, whole

_LONGEST = 200  # bytes of one part: file systems end at 255, and suffixes are added


def project_root() -> Path | None:
    """The nearest folder up, from where one stands, that is a checkout of this project."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    return None


def enter_project() -> Path:
    """Make the project's root the working folder, where there is one; → the working folder.

    So `data` and `reports` mean the same wherever one stands in a checkout.
    """
    root = project_root()
    if root is not None:
        os.chdir(root)
    return root or Path.cwd()


def from_here(path: str) -> str:
    """A path that the user gave, as it is read in the project's root; ~ is expanded.

    One inside of the root stays relative to it: records are to hold no absolute paths.
    """
    path, root = os.path.expanduser(path), project_root()
    here = Path.cwd()
    if not path or os.path.isabs(path) or root is None or root == here:
        return path
    whole = os.path.normpath(here / path)
    return os.path.relpath(whole, root) if Path(whole).is_relative_to(root) else whole


def words_from_here(
    words: Iterable[str], paths: Container[str], perhaps: Container[str] = ()
) -> list[str]:
    """`key=value` words with the paths among their values as in `from_here`.

    perhaps: keys whose value may be a path, or a name of another kind (of a preset, of the hub):
    a path where it exists.
    """
    changed = []
    for word in words:
        key, separator, value = word.partition("=")
        moves = key in paths or (key in perhaps and _exists(os.path.expanduser(value)))
        changed.append(f"{key}={from_here(value)}" if separator and moves else word)
    return changed


def _exists(path: str) -> bool:
    try:
        return bool(path) and os.path.exists(path)
    except ValueError:  # a NUL in it
        return False


def safe_path(name: Any, where: str, what: str = "the file name") -> str:
    """A relative name, which may have folders in it (a/b.jpg); one that leads out is an error."""
    problem = _problem(name, folders=True)
    if problem is not None:
        raise UserError(
            f"{where}: {what} {shown(name)} {problem}. Give a plain name, relative to its folder."
        )
    return name


def safe_id(value: Any, where: str, what: str) -> int | str:
    """A whole number of 64 bits, or text that can be a file's name; anything else is an error."""
    if isinstance(value, str):
        problem = _problem(value, folders=False)
    else:
        fits = type(value) is int and -LARGEST <= value <= LARGEST
        problem = None if fits else "is no whole number (nor text)"
    if problem is not None:
        raise UserError(
            f"{where}: {what} {shown(value)} {problem}. Masks are named by such ids: give a whole "
            "number, or a name of letters and digits."
        )
    return value


def known_id(number: Any, known: Mapping[Any, Any]) -> int | str | None:
    """The id among the known ones that is meant; None if none is. Files of people's own hold them
    as text or as 11.0, too: 11, 11.0 and "11" are the same, unless both a number and its text are
    known."""
    number = plain_id(number)
    if not isinstance(number, int | str) or isinstance(number, bool):
        return None
    if number in known:
        return number
    if isinstance(number, int):
        other: int | str = str(number)
    else:
        is_whole = number.isascii() and number.isdigit() and len(number) < 19
        other = int(number) if is_whole else number
    return other if other in known else None


def plain_id(value: Any) -> Any:
    """An id that a program wrote as 11.0, as 11; any other value as it is."""
    return whole(value) if type(value) is float and whole(value) is not None else value


def _problem(name: Any, folders: bool) -> str | None:
    """What is wrong with a name; None if it is safe."""
    if not is_text(name) or not name.strip():
        return "is no name"
    if not name.isprintable():
        return "has characters that cannot be printed"
    if "\\" in name or name.startswith("/") or PureWindowsPath(name).drive:
        return "is no relative name with plain slashes"
    parts = name.split("/")
    if len(parts) > 1 and not folders:
        return "has a slash in it"
    if folders and name.startswith("./"):
        return "begins with './' (leave that out; a name may lead out of the folder)"
    if any(part in ("", ".", "..") for part in parts):
        return "may lead out of the folder"
    if len(parts) > 10 or max(len(part.encode()) for part in parts) > _LONGEST:
        return "is too long"
    return "begins with a dot" if not folders and name.startswith(".") else None
