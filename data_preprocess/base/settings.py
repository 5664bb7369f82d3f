"""Frozen dataclasses as settings: YAML files and `key=value` words on top of typed defaults.

    settings = build(Options, {"words": 17}, ["alignment=aligned", "model.width=64"])

Nested dataclasses are reached with dots. Unknown keys and values of the wrong type are refused
with the nearest known key.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import yaml

from data_preprocess.base.errors import UserError, unknown_name

Settings = TypeVar("Settings")


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
        node[leaf] = parse_value(key, text)
    return _from_mapping(cls, tree, "")


def parse_value(key: str, text: str) -> Any:
    """The value of a `key=value` word, read as YAML (numbers, lists, true, null, text)."""
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError as error:
        raise UserError(f"{key}={text}: the value is not readable ({error}).") from error


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
    hints = typing.get_type_hints(cls)
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
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
        origin = typing.get_origin(hint)
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list | tuple):
            raise UserError(f"{key}={value!r}: expected a list.")
        return tuple(_coerce(inner, item, key) for item in values)
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise unknown_name(f"value of {key}:", str(value), map(str, typing.get_args(hint)))
        return value
    return _scalar(hint, value, key)


def _scalar(hint: type, value: Any, key: str) -> Any:
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 3e-5 as text
        try:
            return float(value)
        except ValueError:
            pass
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise UserError(f"{key}={value!r}: expected {hint.__name__}.")
