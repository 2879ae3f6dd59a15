"""JSON whose differences can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def readable(record: Mapping[str, Any]) -> str:
    """An object, each of its items a line of its own, and each item of those."""
    return "{\n" + ",\n".join(f" {_dump(name)}: {_lines(value)}" for name, value in record.items()) + "\n}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(value: Any) -> str:
    """JSON, an item of a list or of an object a line."""
    if isinstance(value, list | tuple) and value:
        return "[\n" + ",\n".join(f"  {_dump(item)}" for item in value) + "\n ]"
    if isinstance(value, Mapping) and value:
        return "{\n" + ",\n".join(f"  {_dump(name)}: {_dump(value[name])}" for name in sorted(value)) + "\n }"
    return _dump(value)
