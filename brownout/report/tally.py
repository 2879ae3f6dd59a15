"""Counts the trials of a map that have ended, by the outcome of the task, and tells how long the others will take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from brownout.check.words import BAD, FLAGS, SEVERITY, UNKNOWN, parts, validity_of
from brownout.explore.maps.cell_result import CellResult
from brownout.explore.maps.pairs_map import PairResult
from brownout.run.events import Event, Planned, Purpose, TrialEnded


class Tally:
    """Counts the planned trials that have ended, those that are run again, and those that look for the points."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._planned: Counter[Purpose] = Counter()
        self._seen: Counter[str] = Counter()
        self._looked = 0  # trials that looked for the points and ended
        self._again = 0
        self._clock, self._begin = clock, clock()

    def __call__(self, event: Event) -> None:
        """Count the trials that are planned or ended according to the event."""
        match event:
            case Planned(trials, purpose):
                if not self._planned[purpose]:
                    self._begin = self._clock()
                self._planned[purpose] += trials
            case TrialEnded(again=True):
                self._again += 1
            case TrialEnded(purpose=Purpose.DISCOVERY):
                self._looked += 1
            case TrialEnded(result=result, purpose=Purpose.PLANNED):
                for words in _words(result):
                    for word, times in words.items():
                        self._seen[_counted(word)] += times

    @property
    def total(self) -> int:
        """The planned trials, without those that look for the points."""
        return self._planned[Purpose.PLANNED]

    @property
    def text(self) -> str:
        """The counts, the worst outcome first: `43 of 109 · 12 lost · 31 good · 0 unknown · about 20 s left`.

        Before the points are known: `2 of 4 trials · about 3 s left`; empty before that.
        """
        if not self.total:
            looking = self._planned[Purpose.DISCOVERY]
            return " · ".join([f"{self._looked} of {looking} trials", *self._left(self._looked, looking)]) * bool(
                looking
            )
        bad = [name for name in reversed(SEVERITY) if self._seen[name] and name != UNKNOWN]
        counts = (f"{self._seen[name]} {name}" for name in (*bad, "good", UNKNOWN))
        again = [f"{self._again} run again: the machine is busy"] if self._again else []
        left = self._left(self._seen.total(), self.total)
        return " · ".join([f"{self._seen.total()} of {self.total}", *counts, *again, *left])

    def _left(self, done: int, total: int) -> Iterator[str]:
        if text := left(done, total, self._clock() - self._begin):
            yield text


def left(done: float, total: float, seconds: float) -> str:
    """About how long the rest takes, when `done` of `total` took `seconds`; empty when nobody can tell."""
    if done <= 0 or seconds <= 0 or done >= total:
        return ""
    rest = seconds * (total - done) / done
    return f"about {rest / 60:.0f} min left" if rest >= 90 else f"about {max(1, rest):.0f} s left"


def _words(result: object) -> Iterator[Mapping[str, int]]:
    if isinstance(result, CellResult | PairResult):
        yield result.seen
    if isinstance(result, PairResult):
        yield result.unreached


def _counted(word: str) -> str:
    """Return what a trial with this outcome counts as: "good", "unknown", or the worst word of a bad outcome such as
    "lost+silent"."""
    validity = validity_of(word)
    if validity != "invalid":
        return UNKNOWN if validity == "unknown" else "good"
    return next(part for part in parts(word) if part in BAD or part in FLAGS)
