"""Decodes request bodies as Go's `encoding/json` decodes into structs (`json.NewDecoder(body).Decode(&struct)`).

Keys match in any case, unknown keys are ignored, null changes nothing, the last of two equal keys counts, and bytes
after the first value are not read. The texts of errors begin like those of Go's decoder.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from math import isinf
from typing import Any

from brownout.wire.errors import BadRequest

GO_NAMES = {list: "array", str: "string", bool: "bool"}
SPACE = " \t\r\n"
# the limit for nested arrays and objects, which CPython's decoder can handle with the usual recursion limit
MAX_DEPTH = 500
# This pattern also matches whole strings, because brackets inside a string do not count as levels
BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)
WHOLE = re.compile("-?[0-9]+")
INT64 = range(-(1 << 63), 1 << 63)
LONE = re.compile("[\ud800-\udfff]")


class Object(list[tuple[str, Any]]):
    """A JSON object, as a list of key and value in order; keys may be repeated."""


class Number(str):
    """A JSON number, as the text that the client wrote."""

    __slots__ = ()


class Int64:
    """A type of fields that stands for Go's int64."""


class Float32:
    """A type of fields that stands for Go's float32."""


Fields = Mapping[str, type]


def parsed(body: bytes) -> Any:
    """Return the first JSON value of a request's body. Raises BadRequest if the body contains no JSON value."""
    text = body.decode("utf-8", "surrogateescape").lstrip(SPACE)
    if not text:
        raise BadRequest("bad request body: EOF")
    if _too_deep(text):
        raise BadRequest("bad request body: nested too deeply")
    try:
        return _DECODER.raw_decode(text)[0]
    except ValueError as wrong:
        raise BadRequest(f"bad request body: {wrong}") from None


def _too_deep(text: str) -> bool:
    """Whether the first value of `text` has more than MAX_DEPTH levels."""
    if text[0] not in "[{" or text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth == 0 or depth > MAX_DEPTH:
            return depth > 0
    return False


def decoded(data: Any, fields: Fields) -> dict[str, Any]:
    """Return the values of the `fields` that `data` has. `fields` maps a name in lower case to a type.

    The types of fields are str, bool, Int64, Float32 and Object. Raises BadRequest if Go could not decode `data` into a
    struct with these fields.
    """
    if data is None:
        return {}
    if not isinstance(data, Object):
        raise mismatch(data)
    values: dict[str, Any] = {}
    for key, value in data:
        # Go folds two letters beyond ASCII into ASCII: the long s, and the Kelvin sign, which lower() folds too.
        name = key.lower().replace("ſ", "s")
        if name in fields and value is not None:
            value = _converted(name, value, fields[name])
            if isinstance(value, Object) and name in values:
                value = Object(values[name] + value)
            values[name] = value
    return values


def _converted(name: str, value: Any, kind: type) -> Any:
    if kind is Int64 and isinstance(value, Number) and WHOLE.fullmatch(value) and len(value) <= 20:
        if int(value) in INT64:
            return int(value)
    elif kind is Float32 and isinstance(value, Number):
        try:
            return float32(float(value))
        except OverflowError:
            pass
    elif type(value) is kind:
        return LONE.sub("\ufffd", value) if isinstance(value, str) else value
    raise mismatch(value, name)


def float32(value: float) -> float:
    """Return the shortest decimal that Go writes for `value` as a 32-bit float. Raises OverflowError for a number
    beyond 32-bit floats."""
    if isinf(value):
        raise OverflowError
    packed = struct.pack("<f", value)
    held = struct.unpack("<f", packed)[0]
    for digits in range(1, 9):
        short = float(f"{held:.{digits}g}")
        with suppress(OverflowError):  # a decimal that is rounded up may exceed the largest 32-bit float
            if struct.pack("<f", short) == packed:
                return short
    return float(f"{held:.9g}")


def mismatch(value: Any, field: str = "") -> BadRequest:
    """Return the error for a value whose type does not fit its field."""
    name = "number" if isinstance(value, Number) else "object" if isinstance(value, Object) else GO_NAMES[type(value)]
    return BadRequest(f"bad request body: json: cannot unmarshal {name}" + (f" into field {field}" if field else ""))


def _no_constant(name: str) -> Any:
    raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")


# `parsed` turns a byte that is not UTF-8 into a lone surrogate; `_converted` turns lone surrogates into U+FFFD.
_DECODER = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_no_constant)
