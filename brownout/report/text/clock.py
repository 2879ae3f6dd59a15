"""Times for people: since the begin of the load, with at most three significant digits."""

from __future__ import annotations

from brownout.check.interval import readable

NS = 1_000_000_000


def since(ns: int) -> str:
    """A time before or after the begin of the load: "+242 ms", "+18.1 s", "-35 ms"."""
    if abs(ns) < 500_000:
        return "+0 ms"
    if abs(ns) < 999_500_000:
        return f"{ns / 1e6:+.0f} ms"
    return f"{'-' if ns < 0 else '+'}{readable(abs(ns) / NS)}"


def length(ns: int) -> str:
    """A span of time: "18.1 s"."""
    return readable(ns / NS)
