"""The line of time that all charts of a page share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from brownout.report.text.clock import since

WIDTH: Final = 1000  # units of a chart's width, whatever its width on the screen
_STEPS: Final = (1, 2, 5)
_TICKS: Final = 9


@dataclass(frozen=True)
class Scale:
    """From `begin` to `end`; labels count from `zero`. All of them in nanoseconds of the history."""

    begin: int
    end: int
    zero: int

    def x(self, at: int) -> float:
        """The place of a time on the chart; times outside of the chart are at its edges."""
        return round(min(max((at - self.begin) / self.span, 0.0), 1.0) * WIDTH, 1)

    @property
    def span(self) -> int:
        """Nanoseconds from begin to end, at least 1."""
        return max(self.end - self.begin, 1)

    def bin(self, at: int, bins: int) -> int:
        """The number of the bin, of `bins` bins of the same length, that a time falls into."""
        return min(max((at - self.begin) * bins // self.span, 0), bins - 1)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Places and labels for an axis: round times."""
        least = self.span / 1e9 / _TICKS
        power = 10.0 ** len(str(int(least))) / 10 if least >= 1 else 1.0
        while power > least:
            power /= 10
        step = next((n * power for n in _STEPS if n * power >= least), 10 * power)
        n = -int((self.zero - self.begin) / 1e9 / step)
        while (at := self.zero + round(n * step * 1e9)) <= self.end:
            yield self.x(at), f"{n * step:.10g} s"
            n += 1

    def since(self, at: int) -> str:
        """The time since `zero`, as text with a sign."""
        return since(at - self.zero)
