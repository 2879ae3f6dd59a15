"""The life of each process and the depth of the queues over a trial."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from brownout.history.view import History
from brownout.report.facts.bands import Band, bands
from brownout.report.facts.order import natural

#: Sources of events that are no process of the subject.
_WITNESSES = frozenset({"client", "wire", "broker", "effects", "backend", "store", "nemesis", "run"})


@dataclass(frozen=True)
class End:
    """A process ended. `struck`: a fault ended it; `orderly`: it asked its supervisor for a restart."""

    at: int
    code: int
    struck: bool = False
    orderly: bool = False


@dataclass(frozen=True)
class Lane:
    """One process over the trial.

    `signs` are the times at which it was seen to do something: its own events, its connections, its answers.
    `silence` is the longest time without a sign, while the process lived. `frozen` are the spans in which a fault had
    frozen it.
    """

    name: str
    signs: tuple[int, ...]
    ends: tuple[End, ...]
    restarts: int
    alive: bool
    silence: tuple[int, int] | None
    frozen: tuple[tuple[int, int], ...] = ()

    @property
    def last(self) -> int | None:
        """The time of the last sign; None when there was none."""
        return self.signs[-1] if self.signs else None


@dataclass(frozen=True)
class Depth:
    """A sample of the broker: messages that wait in queues, and messages that are delivered and not acknowledged."""

    at: int
    waiting: int
    unacked: int


@dataclass(frozen=True)
class Lanes:
    """All processes of the subject between `begin`, when the load began, and `end`, when the drain ended."""

    begin: int
    end: int
    bands: tuple[Band, ...]
    processes: tuple[Lane, ...]
    depth: tuple[Depth, ...]

    def lane(self, name: str) -> Lane | None:
        """The lane of a process; None for an unknown name."""
        return next((lane for lane in self.processes if lane.name == name), None)


def span(history: History) -> tuple[int, int]:
    """The times at which the load began and the drain ended; the first and last event where there is no such phase."""
    if not len(history):
        return 0, 0
    phases = {str(event.data.get("name")): event.at for event in reversed(history.kind("phase"))}
    begin = phases.get("load", history.events[0].at)
    ends = (history.drained.at if history.drained else None, phases.get("take down"), phases.get("check"), history.end)
    end = next(at for at in ends if at is not None)
    return begin, max(begin, end)


def lanes(history: History, processes: Iterable[str] = ()) -> Lanes:
    """The processes in natural order of their names, each with its signs of life; the samples of the broker.

    `processes` are those that the trial started: one that gave no sign at all has a lane too.
    """
    begin, end = span(history)
    sources = (*processes, *history.by_source)
    signs: dict[str, list[int]] = {source: [] for source in sources if source not in _WITNESSES}
    for name, at in _signs(history):
        signs.setdefault(name, []).append(at)
    names = sorted((name for name in signs if name != "client"), key=natural)
    faults = bands(history)
    return Lanes(
        begin,
        end,
        faults,
        tuple(_lane(name, sorted(signs[name]), history, begin, end) for name in names),
        tuple(
            Depth(sample.at, sum(sample.data.get("queues", {}).values()), sample.data.get("unacked", 0))
            for sample in history.kind("sample")
            if begin <= sample.at <= end
        ),
    )


def _signs(history: History) -> Iterable[tuple[str, int]]:
    """A process and a time at which it did something, for each such event. A stall is a sign of no life."""
    for event in history:
        if event.source not in _WITNESSES:
            if event.kind not in ("exit", "stall", "starved", "paused"):
                yield event.source, event.at
        elif event.kind in ("connected", "refused"):
            yield str(event.data.get("edge", "")).partition("->")[0], event.at
        elif event.source == "client" and event.data.get("status"):
            yield "api", event.at


def _lane(name: str, signs: list[int], history: History, begin: int, end: int) -> Lane:
    own = history.by_source.get(name, [])
    ends = tuple(
        End(event.at, event.data.get("code", 0), bool(event.data.get("struck")), bool(event.data.get("orderly")))
        for event in own
        if event.kind == "exit" and event.at <= end
    )
    within = [at for at in signs if begin <= at <= end]
    restarts = sum(any(after < at for at in signs) for after in (exit.at for exit in ends))
    gaps = [(first, _until(first, then, ends)) for first, then in pairwise([begin, *within, end])]
    longest = max((gap for gap in gaps if gap[1] > gap[0]), key=lambda gap: gap[1] - gap[0], default=None)
    alive = not ends or any(at > ends[-1].at for at in signs)
    return Lane(name, tuple(within), ends, restarts, alive, longest, tuple(_frozen(name, history, end)))


def _until(first: int, then: int, ends: tuple[End, ...]) -> int:
    """When a silence from `first` to `then` was over: a process that has ended is no longer silent."""
    n = bisect_left(ends, first, key=lambda exit: exit.at)
    return min(then, ends[n].at) if n < len(ends) else then


def _frozen(name: str, history: History, end: int) -> Iterable[tuple[int, int]]:
    for window in history.faults:
        target = str(window.start.data.get("target", ""))
        if window.fault.startswith("stop(") and target in (name, name.rpartition("-")[0]):
            yield window.start.at, window.stop.at if window.stop else end


def state(lanes: Lanes, name: str, at: int) -> str:
    """What a process was at a time: "alive", "frozen" or "ended"; "unknown" for a process without a lane."""
    lane = lanes.lane(name)
    if lane is None:
        return "unknown"
    if any(begin <= at <= end for begin, end in lane.frozen):
        return "frozen"
    gone = [end.at for end in lane.ends if end.at <= at]
    back = gone and any(gone[-1] < sign <= at for sign in lane.signs)
    return "ended" if gone and not back else "alive"
