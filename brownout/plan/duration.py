"""Durations as people write them, such as "100ms"."""

from __future__ import annotations

import re

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|m|h)\s*")

Duration = str | int | float


def seconds(value: Duration) -> float:
    """Return a duration in seconds, from a number of seconds or from text such as "100ms", "2s" or "1.5 m".

    Raises ValueError for a text that is no duration, and for a number that is negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"not a time: {value!r}; write seconds as a number, or '100ms', '2s', '5m'")
    if isinstance(value, str):
        match = _FORM.fullmatch(value)
        if not match:
            raise ValueError(f"not a time: {value!r}; write '100ms', '2s' or '5m' (units: {', '.join(_UNITS)})")
        return float(match[1]) * _UNITS[match[2]]
    if not 0 <= value < float("inf"):
        raise ValueError(f"not a time: {value!r}; write a finite number of seconds that is not negative")
    return float(value)


def text(value: float) -> str:
    """Return a duration in seconds as text: "100ms", "2s"."""
    return f"{value * 1000:g}ms" if 0 < value < 1 else f"{value:g}s"
