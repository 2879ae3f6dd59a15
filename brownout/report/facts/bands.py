"""The faults of a trial as bands in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brownout.check.interval import readable
from brownout.history.view import History, Window

NS = 1_000_000_000
#: Faults that strike once. Their stop only says when the struck part worked again, so their length says nothing.
INSTANT = frozenset({
    *("kill", "kill_child", "terminate", "cold_shutdown", "flush", "disconnect", "cut", "reset"),
    *("lose_reply", "tear_reply", "error_reply"),
})  # fmt: skip
NAMED = 2  # faults that a sentence names; further faults are only counted


@dataclass(frozen=True)
class Band:
    """One fault. `acted` is when the fault was first seen to act; `end` is None when the fault never healed."""

    name: str
    begin: int
    acted: int | None
    end: int | None
    instant: bool
    evidence: str = ""

    @property
    def seconds(self) -> float | None:
        """The fault's length; None for a fault that strikes once, or that never healed."""
        return None if self.instant or self.end is None else (self.end - self.begin) / NS

    def lasts(self, at: int) -> bool:
        """Whether the fault was on at a time."""
        return not self.instant and self.begin <= at and (self.end is None or at <= self.end)

    @property
    def text(self) -> str:
        """The fault, its target and its length: "refuse() on api->broker for 2.18 s"."""
        if self.seconds is not None:
            return f"{self.name} for {readable(self.seconds)}"
        return self.name if self.instant else f"{self.name}, which never healed"


def bands(history: History) -> tuple[Band, ...]:
    """The faults of a history, by their begin."""
    return tuple(map(_band, history.faults))


def _band(window: Window) -> Band:
    acted = window.acted[0] if window.acted else None
    return Band(
        window.text,
        window.start.at,
        acted.at if acted else None,
        window.stop.at if window.stop else None,
        window.fault.partition("(")[0] in INSTANT,
        str(acted.data.get("evidence") or "") if acted else "",
    )


def listed(faults: Sequence[Band]) -> str:
    """The faults as words of a sentence: "kill() on api and 2 more faults"; "" for no fault."""
    texts = [band.text for band in faults]
    if len(texts) > NAMED:
        rest = len(texts) - NAMED
        return f"{', '.join(texts[:NAMED])} and {rest} more fault{'s' * (rest > 1)}"
    return " and ".join(texts)
