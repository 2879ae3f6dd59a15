"""A claim about the subject, as data; a checker makes such values, and judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def call(name: str, args: Mapping[str, Any]) -> str:
    """A value as its author would write it: `latency(delay=2)`."""
    return f"{name}({', '.join(f'{key}={_text(value)}' for key, value in args.items() if value is not None)})"


def _text(value: Any) -> str:
    """A value as Python has it; a promise inside of another one as its author would write it."""
    if isinstance(value, Mapping) and value.keys() == {"name", "args"}:
        return call(value["name"], value["args"])
    return repr(value)


@dataclass(frozen=True)
class Promise:
    """`name` picks the checker; `args` are JSON values, times in seconds."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return call(self.name, self.args)
