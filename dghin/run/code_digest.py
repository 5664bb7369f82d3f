"""What our code means, as one digest: comments, docstrings and layout do not count.

    code_digest(["dghin.training.losses"])    of a module and of all of ours that it imports

A result that stands on the disk is still right after a comment was added to the code that made it,
and is not after a number in it was changed.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from .environment import CODE, ROOT


def code_digest(names: Iterable[str], inner: bool = True, without: Collection[str] = ()) -> str:
    """The digest of what the modules say that `module_files` finds."""
    digest = hashlib.sha256()
    for path in sorted(module_files(names, inner, without)):
        said = meaning(path.read_text(encoding="utf-8"))
        digest.update(f"{path.relative_to(ROOT).as_posix()} {said}\n".encode())
    return digest.hexdigest()


@functools.cache
def meaning(source: str) -> str:
    """The digest of a source's syntax tree without its docstrings.

    It is the same under every version of Python whose parser gives the same tree.
    """
    return hashlib.sha256(json.dumps(_as_lists(ast.parse(source))).encode()).hexdigest()


def _as_lists(node: Any) -> Any:
    """A syntax tree as lists of its names and values. (`ast.dump` depends more on the version of
    Python: new ones add empty fields, which are left out here.)"""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
        return [type(node).__name__, *([name, _as_lists(value)] for name, value in fields)]
    if isinstance(node, list):
        return [_as_lists(part) for part in node if not _is_text(part)]
    return repr(node)


def _is_text(node: Any) -> bool:
    """Whether a statement is a string alone, as docstrings are: it does nothing."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def module_files(
    names: Iterable[str], inner: bool = True, without: Collection[str] = ()
) -> set[Path]:
    """The files of these modules and of all modules of ours that they import.

    inner: also those that they import inside functions. without: modules that are left out, with
    what only they import.
    """
    pending, seen = list(names), set(without)
    files: set[Path] = set()
    while pending:
        name = pending.pop()
        path = module_file(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        files.add(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        pending += imported_modules(path.read_text(encoding="utf-8"), package, inner)
    return files


def module_file(name: str) -> Path | None:
    """The source file of one of our modules; None if it is no module of ours."""
    base = ROOT / Path(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file() and name.split(".")[0] in CODE:
            return path
    return None


@functools.cache
def imported_modules(source: str, package: str = "", inner: bool = True) -> frozenset[str]:
    """Names that a source imports from our packages; inner: also inside functions.

    `from x import y` counts both x and x.y, since y may be a module.
    """
    names: set[str] = set()
    tree = ast.parse(source)
    for node in ast.walk(tree) if inner else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], base]).rstrip(".")
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(name for name in names if name.split(".")[0] in CODE)
