"""Counts the trials of a map that have ended, by the outcome of the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from brownout.check.words import BAD, FLAGS, SEVERITY, UNKNOWN, parts, validity_of
from brownout.explore.maps.cell_result import CellResult
from brownout.explore.maps.pairs_map import PairResult
from brownout.run.events import Event, Planned, Purpose, TrialEnded


class Tally:
    """Counts the planned trials that have ended, and those that are run again."""

    def __init__(self) -> None:
        self.total = 0  # planned trials
        self._seen: Counter[str] = Counter()
        self._again = 0

    def __call__(self, event: Event) -> None:
        """Count the trials that are planned or ended according to the event."""
        match event:
            case Planned(trials):
                self.total += trials
            case TrialEnded(again=True):
                self._again += 1
            case TrialEnded(result=result, purpose=Purpose.PLANNED):
                for words in _words(result):
                    for word, times in words.items():
                        self._seen[_counted(word)] += times

    @property
    def text(self) -> str:
        """The counts as text, the worst outcome first: `43 of 109 · 12 lost · 38 good · 0 unknown`."""
        bad = [name for name in reversed(SEVERITY) if self._seen[name] and name != UNKNOWN]
        counts = (f"{self._seen[name]} {name}" for name in (*bad, "good", UNKNOWN))
        again = [f"{self._again} run again: the machine is busy"] if self._again else []
        return " · ".join([f"{self._seen.total()} of {self.total}", *counts, *again])


def _words(result: object) -> Iterator[Mapping[str, int]]:
    if isinstance(result, CellResult | PairResult):
        yield result.seen
    if isinstance(result, PairResult):
        yield result.unreached


def _counted(word: str) -> str:
    """The name under which a verdict word is counted: "good", "unknown", or for a bad word its first bad part."""
    validity = validity_of(word)
    if validity != "invalid":
        return UNKNOWN if validity == "unknown" else "good"
    return next(part for part in parts(word) if part in BAD or part in FLAGS)
