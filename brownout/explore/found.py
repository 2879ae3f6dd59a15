"""What a trial of a fault map found."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from brownout.explore.cell import UNKNOWN, Point


@dataclass(frozen=True)
class Found:
    """What a trial found. `word` is the outcome, `why` the reason of an unknown; `points` its trace.

    `samples` are the commands at each point, `times` (s, monotonic clock) when each came. `reached` cells of the
    schedule were struck; the first one always, or it is unknown. `seconds` from the submission to the last effect or
    answer, `took` for all of the trial. `trouble` is the traceback when the trial itself went wrong. `busy` says that
    the machine may be why it is unknown: the trial may be run again. `facts` is what the outcome was made of.
    """

    word: str
    why: str
    seconds: float
    witness: tuple[str, ...]
    points: tuple[Point, ...]
    samples: Mapping[Point, tuple[tuple[bytes, ...], ...]]
    times: Mapping[Point, float]
    reached: int
    took: float
    acked: str = ""  # the message was acknowledged "before" or "after" its effect
    logs: Mapping[str, str] = field(default_factory=dict)  # the ends of all logs, of a trial that is not good
    trouble: str = ""
    busy: bool = False
    facts: str = ""

    @property
    def seen(self) -> str:
        """The word as a map keeps it."""
        return f"{UNKNOWN}: {self.why.splitlines()[0]}" if self.why else self.word

    def void(self, wrong: Exception) -> Found:
        """The same trial without a verdict, because this went wrong in the harness meanwhile."""
        trouble = "".join(traceback.format_exception(wrong)).rstrip()
        return replace(self, word=UNKNOWN, why=f"{type(wrong).__name__}: {wrong}", trouble=trouble, busy=False)

    @property
    def reason(self) -> str:
        """The word and why it is so, in one line."""
        return self.seen if self.why or not self.facts else f"{self.seen} ({self.facts})"

    @property
    def told(self) -> str:
        """All that is known: the reason, the witness, the traceback, the ends of the logs."""
        lines = [self.reason, *(f"      {line}" for line in self.witness)]
        return "\n".join([*lines, *([self.trouble] if self.trouble else ()), *ends(self.logs)])


def ends(logs: Mapping[str, str], lines: int = 20) -> list[str]:
    """The last lines of each log that has any, under its name."""
    shown: list[str] = []
    for name, text in logs.items():
        if last := text.splitlines()[-lines:]:
            shown += [f"--- the end of {name}", *last]
    return shown
