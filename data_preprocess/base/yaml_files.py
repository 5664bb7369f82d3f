"""YAML as people write it: a key that is there twice is an error, numbers can stay as written.

    read_yaml(Path("mine.yaml"), "Correct it.")       # a UserError names the file and the line
    load_yaml("a: 007", as_written=True)              # {"a": Written("007")}

PyYAML alone keeps the last of two equal keys, and makes 20240101 of 2024_01_01.
"""

from pathlib import Path
from typing import Any

import yaml

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_text


class Written(str):
    """Text whose meaning depends on who reads it: 007 may be a name or a number."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses equal keys, keys that are no text, and circles."""

    def __init__(self, stream: Any):
        super().__init__(stream)
        self.open: set[str] = set()  # anchors whose value is being read

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            if event.anchor in self.open:
                raise yaml.MarkedYAMLError(
                    problem=f"*{event.anchor} is inside of what it stands for",
                    problem_mark=event.start_mark,
                )
            return super().compose_node(parent, index)
        anchor = self.peek_event().anchor
        if anchor is None:
            return super().compose_node(parent, index)
        self.open.add(anchor)
        node = super().compose_node(parent, index)
        self.open.discard(anchor)
        return node

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:null":
                raise yaml.MarkedYAMLError(
                    problem="a key that is no text", problem_mark=key.start_mark
                )
            if key.value in first:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key.value}' is there twice, in line {first[key.value]} "
                    f"and in line {line}",
                    problem_mark=key.start_mark,
                )
            first[key.value] = line
        return node


class _AsWritten(_Loader):
    """The same, with numbers, dates and booleans as `Written`."""


for _kind in ("bool", "int", "float", "timestamp"):
    _AsWritten.add_constructor(
        f"tag:yaml.org,2002:{_kind}", lambda loader, node: Written(loader.construct_scalar(node))
    )


def load_yaml(text: str, as_written: bool = False) -> Any:
    """The value of a YAML text; raises yaml.YAMLError, or ValueError for a date there is not.

    as_written: numbers, dates and booleans without quotes as `Written`. Missing (null) is None.
    """
    try:
        return yaml.load(text, Loader=_AsWritten if as_written else _Loader)
    except RecursionError as error:
        raise yaml.YAMLError("nested too deep") from error


def read_yaml(path: Path, remedy: str, as_written: bool = False) -> Any:
    """The value in a YAML file (UTF-8); a UserError says what is wrong in which line."""
    text = read_text(path, remedy, "YAML")
    try:
        return load_yaml(text, as_written)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not readable as YAML ({_problem(error)}). {remedy}") from error


def _problem(error: Exception) -> str:
    """What is wrong, and where, in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}: {error.problem}"
