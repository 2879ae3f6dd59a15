"""Promises as data: claims about the subject, which is the system under test. A checker (a function in the package
`check`) makes promises, and judges whether a history keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def call(name: str, args: Mapping[str, Any]) -> str:
    """Return a fault or promise as its author would write it: `latency(delay=2)`."""
    return f"{name}({', '.join(f'{key}={_text(value)}' for key, value in args.items() if value is not None)})"


def _text(value: Any) -> str:
    """Return `value` as its author would write it: a promise inside another promise as a call, and 11.03 where sums of
    binary fractions gave 11.030000000000001."""
    if isinstance(value, Mapping) and value.keys() == {"name", "args"}:
        return call(value["name"], value["args"])
    return repr(float(f"{value:.12g}") if isinstance(value, float) else value)


@dataclass(frozen=True)
class Promise:
    """A promise is a claim about the subject, which is the system under test.

    `name` is the name of the checker that judges the promise; `args` are its arguments as JSON values, with durations
    in seconds.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return call(self.name, self.args)
