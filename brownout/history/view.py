"""A history as checkers see it: immutable, sorted, indexed once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from brownout.history.event import Event
from brownout.history.layout import UNACKED
from brownout.history.operation import Operation
from brownout.history.tail import parse

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Window:
    """The time of one fault, in nanoseconds; `stop` is None when it was never healed."""

    fault: str
    start: Event
    acted: tuple[Event, ...]
    stop: Event | None

    @property
    def text(self) -> str:
        """The fault and its target, as far as it is told."""
        on = self.start.data.get("target")
        return f"{self.fault} on {on}" if on else self.fault

    @property
    def number(self) -> str:
        """The place of its injection in the schedule, from 1; empty when it is not told."""
        return str(self.start.data.get("id") or "").rpartition("#")[2]


@dataclass(frozen=True)
class Wait:
    """Between `begin` and `end` (ns) threads waited for a CPU: nanoseconds for each process, None for all of them.

    `longest` is what the one thread waited that waited longest, `late` how late a thread came back that only sleeps.
    """

    begin: int
    end: int
    waited: Mapping[str, int] | None
    longest: int = 0
    late: int = 0

    def of(self, sources: Collection[str]) -> int:
        """What these processes waited together, in nanoseconds; without a name, what the longest wait was."""
        if self.waited is None:
            return self.late
        if not sources:
            return max(self.longest, self.late)
        together = sum(
            waited for name, waited in self.waited.items() if name in sources or name.rpartition("-")[0] in sources
        )
        return max(together, self.late)


class History:
    """Every event of a trial in the order of its time. Each index is built once, in one pass."""

    def __init__(self, events: Iterable[Event] = (), torn: int = 0) -> None:
        self.events = tuple(sorted(events, key=lambda event: event.at))
        self.torn = torn

    @classmethod
    def load(cls, *paths: str | Path) -> History:
        """Read NDJSON files; lines that a killed writer left torn are counted, files that are missing are empty."""
        events: list[Event] = []
        torn = 0
        for path in map(Path, paths):
            more, bad = parse(path.read_bytes()) if path.exists() else ([], 0)
            events += more
            torn += bad
        return cls(events, torn)

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    @property
    def end(self) -> int:
        """The time of the last event, 0 when there is none."""
        return self.events[-1].at if self.events else 0

    @cached_property
    def by_kind(self) -> dict[str, list[Event]]:
        """Events of each kind."""
        return _group((event.kind, event) for event in self.events)

    @cached_property
    def by_source(self) -> dict[str, list[Event]]:
        """Events of each source."""
        return _group((event.source, event) for event in self.events)

    @cached_property
    def by_task(self) -> dict[str, list[Event]]:
        """Events that name a task, for each task."""
        return _group((event.task, event) for event in self.events if event.task)

    def kind(self, *kinds: str, source: str | None = None) -> list[Event]:
        """Events of these kinds in order; `source` keeps those of one source or of its numbered members."""
        if len(kinds) == 1:
            found = self.by_kind.get(kinds[0], [])
        else:
            found = [event for event in self.events if event.kind in kinds]
        return [e for e in found if source is None or e.source == source or e.source.startswith(f"{source}-")]

    @cached_property
    def key_of(self) -> dict[str, str]:
        """The key to which each task belongs, from every event that names both."""
        keys: dict[str, str] = {}
        for event in self.events:
            if event.key and event.task:
                keys.setdefault(event.task, event.key)
        return keys

    @cached_property
    def ops(self) -> dict[str, Operation]:
        """Operations by key: the keys that a client invoked."""
        keys, tasks = self.key_of, _group((key, task) for task, key in self.key_of.items())
        events: dict[str, list[Event]] = {event.key: [] for event in self.kind("invoke") if event.key}
        for event in self.events:
            key = event.key or keys.get(event.task or "")
            if key in events:
                events[key].append(event)
        return {key: Operation(key, tuple(tasks.get(key, ())), tuple(own)) for key, own in events.items()}

    @cached_property
    def faults(self) -> tuple[Window, ...]:
        """Faults in the order in which they began; `data["id"]`, else the fault's name, pairs their events."""
        open_: dict[str, list[Event]] = {}
        done: list[Window] = []

        def close(name: str, stop: Event | None) -> None:
            start, *acted = open_.pop(name)
            done.append(Window(str(start.data.get("fault")), start, tuple(acted), stop))

        for event in self.kind("fault-start", "fault-acted", "fault-stop"):
            name = str(event.data.get("id") or event.data.get("fault"))
            if event.kind == "fault-start":
                if name in open_:
                    close(name, None)
                open_[name] = [event]
            elif name in open_ and event.kind == "fault-acted":
                open_[name].append(event)
            elif name in open_:
                close(name, event)
        for name in list(open_):
            close(name, None)
        return tuple(sorted(done, key=lambda window: window.start.at))

    @cached_property
    def healed_at(self) -> int | None:
        """When the last fault ended, or None when there was none."""
        stops = self.kind("fault-stop")
        return stops[-1].at if stops else None

    @cached_property
    def changed(self) -> dict[str, int]:
        """When each process last became ready or ended: what it ran before that it does not run now."""
        return {event.source: event.at for event in self.kind("ready", "exit", "shutdown")}

    @cached_property
    def waits(self) -> tuple[Wait, ...]:
        """When threads waited for a CPU, in the order of their begin."""
        late = {event.at: int(event.data["ms"] * 1e6) for event in self.kind("machine-late")}
        waits = []
        for event in self.kind("waited"):
            waited = {name: int(ms * 1e6) for name, ms in event.data["ms"].items()}
            longest = int(event.data.get("longest", max(waited.values(), default=0) / 1e6) * 1e6)
            # The same look tells of both, so the same time is not counted twice.
            slept = late.pop(int(event.data.get("late_at", 0)), 0)
            # The kernel adds a wait when it is over: it may have begun before the look that sees it.
            begin = int(event.data["since"]) - max(longest, slept)
            waits.append(Wait(begin, event.at, waited, longest, slept))
        waits += [Wait(at - slept, at, None, late=slept) for at, slept in late.items()]
        return tuple(sorted(waits, key=lambda wait: wait.begin))

    @cached_property
    def longest_wait(self) -> int:
        """The length of the longest of `waits` in nanoseconds."""
        return max((wait.end - wait.begin for wait in self.waits), default=0)

    @cached_property
    def drained(self) -> Event | None:
        """What the run said at the end of its drain."""
        ends = self.kind("drained")
        return ends[-1] if ends else None

    @cached_property
    def readers(self) -> tuple[Event, ...]:
        """The last time that each worker told which queues it reads, when it became ready."""
        told = [event for event in self.kind("ready") if "queues" in event.data.get("layout", ())]
        return tuple({event.source: event for event in told}.values())

    @cached_property
    def queues_read(self) -> frozenset[str] | None:
        """The queues that workers read; None where none has told."""
        told = [event.data["layout"]["queues"] for event in self.readers]
        return frozenset().union(*told) if told else None

    def place(self, name: str) -> str:
        """A place of a sample's `by_task`, as a sentence has it: a queue that no worker reads is called so."""
        return f"queue {name}, which no worker of the scenario reads" if self.unread(name) else name

    def unread(self, queue: str) -> bool:
        """Whether this place is a queue that no worker of the scenario reads."""
        if queue == UNACKED or self.queues_read is None or queue in self.queues_read:
            return False
        return queue not in self._taken_from

    @cached_property
    def _taken_from(self) -> frozenset[str]:
        """Queues that no worker told and that somebody reads all the same: a task left one and was then worked on.

        A worker may begin to read a queue after it became ready (`add_consumer`), and another process may read it. A
        task that stays in the queue while a copy of its message is done proves nothing.
        """
        told, samples = self.queues_read or frozenset(), self.kind("sample")
        places = [each.data.get("by_task") for each in samples]
        found: set[str] = set()
        for sample, now, then in zip(samples, places, places[1:], strict=False):
            if now is None or then is None:  # too many to list
                continue
            for task, queue in now.items():
                if queue in told or queue in found or queue == UNACKED or then.get(task) == queue:
                    continue
                events = self.by_task.get(task, ())
                if any(e.at >= sample.at and e.kind in ("received", "started", "effect") for e in events):
                    found.add(queue)
        return frozenset(found)

    @cached_property
    def blind(self) -> str:
        """Why nobody knows what lies in the broker; empty when a look into it ever succeeded, or none was tried."""
        failed = self.kind("sample-failed")
        if self.kind("sample") or not failed:
            return ""
        return f"nobody could look into the broker: {failed[-1].data.get('error')}"

    @cached_property
    def sample(self) -> Event | None:
        """The last look into the broker; where there was a drain, until its end: beat goes on sending after it."""
        end = self.drained
        samples = [each for each in self.kind("sample") if end is None or each.at <= end.at]
        return samples[-1] if samples else None


def _group(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = defaultdict(list)
    for name, value in pairs:
        groups[name].append(value)
    return dict(groups)
