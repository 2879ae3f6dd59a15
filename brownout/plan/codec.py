"""Converts frozen dataclasses to JSON values and back; the annotations of the fields tell the types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Return `value` converted to values that JSON can express. Leave out the fields of a dataclass that have their
    default value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: (getattr(value, f.name), f) for f in dataclasses.fields(value)}
        changed = {name: encode(v) for name, (v, f) in fields.items() if v != _default(f)}
        return {"is": type(value).__name__} | changed
    if isinstance(value, Mapping):
        return {str(name): encode(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [encode(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return value


def decode(kind: type[T], value: Any) -> T:
    """Return the value of the type `kind` from the JSON values that `encode` made. Raises ValueError for a field that
    the dataclass `kind` does not have."""
    result: T = _decode(kind, value)
    return result


def _decode(kind: Any, value: Any) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        named = [a for a in args if isinstance(value, dict) and getattr(a, "__name__", None) == value.get("is")]
        return _decode((named or [a for a in args if a is not type(None)])[0], value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        fields = {name: item for name, item in value.items() if name != "is"}
        if unknown := fields.keys() - hints.keys():
            raise ValueError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
        return kind(**{name: _decode(hints[name], item) for name, item in fields.items()})
    if origin is tuple:
        return tuple(_decode(args[0], item) for item in value)
    # A JSON array for a field of type Sequence becomes a tuple, because the authors of plans write tuples.
    return tuple(value) if isinstance(value, list) and origin is not None else value


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
