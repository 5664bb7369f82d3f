"""Frozen dataclasses as settings: YAML files and `key=value` words on top of typed defaults.

    settings = build(Options, {"words": 17}, ["alignment=aligned", "model.width=64"])

Nested dataclasses are reached with dots. Unknown keys and values of the wrong type are refused
with the nearest known key. What a value means is decided by its field: where that is text, the
value is what was written (2024_01_01 stays 2024_01_01); elsewhere it is read as YAML.
"""

import dataclasses
import os
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

import yaml

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.yaml_files import Written, load_yaml

Settings = TypeVar("Settings")
PathText = Annotated[str, "path"]  # a field of text that names a file or folder: ~ is expanded


def build(
    cls: type[Settings], values: Mapping[str, Any] = {}, overrides: Iterable[str] = ()
) -> Settings:
    """An instance of the dataclass `cls` from a nested mapping, then `key=value` overrides."""
    tree = _nested(values)
    for word in overrides:
        key, separator, text = word.partition("=")
        if not separator:
            raise UserError(f"'{word}' is not of the form key=value. Keys: {_keys(cls)}.")
        node = tree
        *path, leaf = key.split(".")
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise UserError(f"'{key}': '{part}' is a value, not a group of settings.")
        node[leaf] = Written(text)
    return _from_mapping(cls, tree, "")


def parse_value(key: str, text: str, as_written: bool = False) -> Any:
    """The value of a `key=value` word, read as YAML (numbers, lists, true, null, text).

    as_written: the numbers in it as `Written`, for fields that may be text.
    """
    try:
        return load_yaml(text, as_written) if text else ""
    except (yaml.YAMLError, ValueError) as error:  # 2024-13-45 is a ValueError: no date
        problem = " ".join(str(error).split())
        raise UserError(f"{key}={text}: the value is not readable ({problem}).") from error


def typed_like(key: str, text: str, default: Any) -> Any:
    """The value of a `key=value` word, of its default's type; another one is refused.

    Text is taken as it was written; one text where a list is expected is that list of one.
    """
    if isinstance(default, str):
        return text
    if isinstance(default, list | tuple):
        return as_list(key, text, type(default[0]) if default else str)
    try:
        return _coerce(type(default), Written(text), key)
    except UserError:
        shown = str(default).lower()
        raise UserError(f"{key}={text}: expected {_kind(type(default))}, as {shown}.") from None


def as_list(name: str, value: Any, of: type = str) -> list[Any]:
    """A notebook's parameter that is a list: papermill gives one value, or [a,b] as text."""
    if isinstance(value, str):
        value = Written(value)
    elif value is None:
        value = []
    elif not isinstance(value, list | tuple):
        value = [value]
    return list(_coerce(tuple[of, ...], value, name))


def path_keys(cls: type) -> list[str]:
    """The dotted keys of a settings class that name files or folders (`PathText`)."""
    found = []
    for key, hint in typing.get_type_hints(cls, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            found += [f"{key}.{inner}" for inner in path_keys(hint)]
        elif hint == PathText:
            found.append(key)
    return found


def to_mapping(settings: Any) -> dict[str, Any]:
    """The nested mapping of a dataclass instance: what `build` accepts, ready for YAML and JSON."""
    return _plain(dataclasses.asdict(settings))


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted keys whose values differ, with both values."""
    flat_one, flat_other = flatten(one), flatten(other)
    keys = sorted(flat_one.keys() | flat_other.keys())
    pairs = {key: (flat_one.get(key), flat_other.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _nested(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _keys(cls: type) -> str:
    return ", ".join(field.name for field in dataclasses.fields(cls))


def _from_mapping(cls: type[Settings], values: Mapping[str, Any], prefix: str) -> Settings:
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    arguments = {}
    for key, value in values.items():
        if key not in names:
            raise unknown_name("key", prefix + key, [prefix + name for name in names])
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise UserError(f"'{prefix}{key}' is a group of settings: {_keys(hint)}.")
            arguments[key] = _from_mapping(hint, value, f"{prefix}{key}.")
        else:
            arguments[key] = _coerce(hint, value, prefix + key)
    return cls(**arguments)


def _coerce(hint: Any, value: Any, key: str) -> Any:
    """The value as the type that the field declares, or an error that names both."""
    if hint == PathText:
        return os.path.expanduser(_scalar(str, value, key))
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        value = _parsed(value, key)
        if value is None:
            return None
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
        origin = typing.get_origin(hint)
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_coerce(inner, item, key) for item in _listed(value, key))
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if not all(isinstance(choice, str) for choice in choices):
            value = _parsed(value, key)
        if value not in choices:
            raise unknown_name(f"value of {key}:", str(value), map(str, choices))
        return next(choice for choice in choices if choice == value)
    return _scalar(hint, value, key)


def _listed(value: Any, key: str) -> list[Any] | tuple[Any, ...]:
    """A list as it is, [a, b] read as one; other text is a list of one, an empty one of none."""
    if isinstance(value, Written) and value.lstrip().startswith("["):
        value = parse_value(key, value, as_written=True)
    if isinstance(value, str):
        return [value] if value else []
    if not isinstance(value, list | tuple):
        raise UserError(f"{key}={value!r}: expected a list, such as {key}=[a,b].")
    return value


def _parsed(value: Any, key: str) -> Any:
    """What was written, read as YAML; any other value as it is."""
    return parse_value(key, str(value)) if isinstance(value, Written) else value


def _scalar(hint: type, value: Any, key: str) -> Any:
    if hint is str and isinstance(value, Written):
        return str(value)
    value = _parsed(value, key)
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 3e-5 as text
        try:
            value = float(value)
        except ValueError:
            pass
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise UserError(f"{key}={value!r}: expected {_kind(hint)}.")


def _kind(hint: type) -> str:
    """A type in plain words."""
    words = {
        str: "text (in quotes, where it looks like something else)", int: "a whole number",
        float: "a number", bool: "true or false",
    }  # fmt: skip
    return words.get(hint, hint.__name__)
