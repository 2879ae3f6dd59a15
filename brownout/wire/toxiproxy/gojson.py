"""Request bodies, decoded as Go's `encoding/json` decodes them into structs (`json.NewDecoder(body).Decode(&struct)`).

Keys match in any case, unknown keys are ignored, null changes nothing, the last of two equal keys wins, and what
follows the first value is not read. The texts of errors begin as Go's do.
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
MAX_DEPTH = 500  # levels of arrays and objects: less than what CPython's decoder can do at any recursion limit in use
BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)  # and strings, in which brackets do not count
WHOLE = re.compile("-?[0-9]+")
INT64 = range(-(1 << 63), 1 << 63)
LONE = re.compile("[\ud800-\udfff]")


class Object(list[tuple[str, Any]]):
    """A JSON object: its pairs in order, equal keys included."""


class Number(str):
    """A JSON number as it is written."""

    __slots__ = ()


class Int64:
    """Stands for Go's int64 among the types of fields."""


class Float32:
    """Stands for Go's float32 among the types of fields."""


Fields = Mapping[str, type]


def parsed(body: bytes) -> Any:
    """The first JSON value of a body. Raises BadRequest."""
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
    """Those of `fields` (name in lower case: str, bool, Int64, Float32, Object) that an object has.

    Raises BadRequest where Go could not decode `data` into a struct with such fields.
    """
    if data is None:
        return {}
    if not isinstance(data, Object):
        raise mismatch(data)
    found: dict[str, Any] = {}
    for key, value in data:
        # Of the letters beyond ASCII, Go folds the long s and the Kelvin sign alone into ASCII; lower() has the second.
        name = key.lower().replace("ſ", "s")
        if name in fields and value is not None:
            value = _converted(name, value, fields[name])
            if isinstance(value, Object) and name in found:
                value = Object(found[name] + value)
            found[name] = value
    return found


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
    """What Go shows of a number that it holds in 32 bits: the shortest decimal. Raises OverflowError."""
    if isinf(value):
        raise OverflowError
    packed = struct.pack("<f", value)
    held = struct.unpack("<f", packed)[0]
    for digits in range(1, 9):
        short = float(f"{held:.{digits}g}")
        with suppress(OverflowError):  # rounded up, it may be more than the largest number of 32 bits
            if struct.pack("<f", short) == packed:
                return short
    return float(f"{held:.9g}")


def mismatch(value: Any, field: str = "") -> BadRequest:
    """The error for a value that has another type than its field."""
    name = "number" if isinstance(value, Number) else "object" if isinstance(value, Object) else GO_NAMES[type(value)]
    return BadRequest(f"bad request body: json: cannot unmarshal {name}" + (f" into field {field}" if field else ""))


def _no_constant(name: str) -> Any:
    raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")


# A byte that is not UTF-8 becomes a lone surrogate, each of which is shown as U+FFFD.
_DECODER = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_no_constant)
