"""What a trial of a fault map found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from brownout.explore.cell import UNKNOWN, Point


@dataclass(frozen=True)
class Found:
    """What a trial found. `word` is the outcome, `why` the reason of an unknown; `points` its trace.

    `samples` are the commands at each point, `times` (s, monotonic clock) when each came. `reached` cells of the
    schedule were struck; the first one always, or it is unknown. `seconds` from the submission to the last effect or
    answer, `took` for all of the trial.
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
    logs: Mapping[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> str:
        """The word as a map keeps it."""
        return f"{UNKNOWN}: {self.why.splitlines()[0] if self.why else 'nobody knows why'}" if self.why else self.word
