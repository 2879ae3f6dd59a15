"""A history as checkers read it: immutable, sorted by time, with indexes that are built once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from brownout.history.event import FOR_REPORTS, Event
from brownout.history.layout import UNACKED
from brownout.history.operation import Operation
from brownout.history.tail import parse

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Window:
    """The start and the stop of one fault, and the events at which it had an effect; `stop` is None if the fault never
    healed."""

    fault: str
    start: Event
    acted: tuple[Event, ...]
    stop: Event | None

    @property
    def text(self) -> str:
        """The text of the fault with its target, if known: "kill() on worker-1"."""
        target = self.start.data.get("target")
        return f"{self.fault} on {target}" if target else self.fault

    @property
    def number(self) -> str:
        """The number of the injection in the schedule, counted from 1; "" when it is not known."""
        return str(self.start.data.get("id") or "").rpartition("#")[2]


@dataclass(frozen=True)
class Wait:
    """A time span, from `begin` to `end` (ns), in which threads waited for a CPU.

    `waited` has the nanoseconds that each process waited, or is None when only `late` was measured. `longest` (ns) is
    the longest wait of a single thread. `late` (ns) is the delay with which a thread of brownout that only sleeps woke
    up.
    """

    begin: int
    end: int
    waited: Mapping[str, int] | None
    longest: int = 0
    late: int = 0

    def of(self, sources: Collection[str]) -> int:
        """Return the sum (ns) of the waits for a CPU of these processes; if no `sources` are given, the longest wait of
        any thread."""
        if self.waited is None:
            return self.late
        if not sources:
            return max(self.longest, self.late)
        total = sum(
            waited for name, waited in self.waited.items() if name in sources or name.rpartition("-")[0] in sources
        )
        return max(total, self.late)


class History:
    """All events of a trial, sorted by time.

    Each index of the history is built once, by going through all events once.
    """

    def __init__(self, events: Iterable[Event] = (), torn: int = 0) -> None:
        self.events = tuple(sorted(events, key=lambda event: event.at))
        self.torn = torn

    @classmethod
    def load(cls, *paths: str | Path) -> History:
        """Read a history from NDJSON files. `torn` counts lines that were cut off because their writer was killed; a
        missing file counts as empty."""
        events: list[Event] = []
        torn = 0
        for path in map(Path, paths):
            complete, torn_lines = parse(path.read_bytes()) if path.exists() else ([], 0)
            events += complete
            torn += torn_lines
        return cls(events, torn)

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    @property
    def end(self) -> int:
        """The time (ns) of the last event; 0 when the history is empty."""
        return self.events[-1].at if self.events else 0

    @cached_property
    def by_kind(self) -> dict[str, list[Event]]:
        """A mapping from each kind of event to its events."""
        return _group((event.kind, event) for event in self.events)

    @cached_property
    def by_source(self) -> dict[str, list[Event]]:
        """A mapping from each source of events to its events."""
        return _group((event.source, event) for event in self.events)

    @cached_property
    def by_task(self) -> dict[str, list[Event]]:
        """A mapping from each task to the events that name it."""
        return _group((event.task, event) for event in self.events if event.task)

    def kind(self, *kinds: str, source: str | None = None) -> list[Event]:
        """Return the events of these kinds in order; `source` "worker" stands for worker-1, worker-2, ..."""
        if len(kinds) == 1:
            events = self.by_kind.get(kinds[0], [])
        else:
            events = [event for event in self.events if event.kind in kinds]
        return [e for e in events if source is None or e.source == source or e.source.startswith(f"{source}-")]

    @cached_property
    def key_of(self) -> dict[str, str]:
        """A mapping from each task to its key, from the events that name both, and for ids of the API's own from what
        the API published."""
        keys: dict[str, str] = {}
        for event in self.events:
            if event.key and event.task and event.kind not in FOR_REPORTS:
                keys.setdefault(event.task, event.key)
        return {**self._published, **keys}

    @cached_property
    def _published(self) -> dict[str, str]:
        """A mapping to its key from the first task that an API published for a request, where the id in the API's
        answers is not Celery's: no worker, and no process that publishes, has ever named such an id."""
        answers = [e for e in self.kind("ok") if e.data.get("op") == "http" and (e.data.get("guessed") or not e.task)]
        celerys = {e.task for e in self.kind("publish", "received", "started", "ended", "failed") if e.task}
        if any(answer.task in celerys for answer in answers):
            return {}
        own, firsts = {answer.key for answer in answers}, dict[str, str]()
        for event in self.kind("publish"):
            if event.task and event.key in own:
                firsts.setdefault(event.key or "", event.task)
        return {task: key for key, task in firsts.items()}

    @cached_property
    def ops(self) -> dict[str, Operation]:
        """A mapping from each key that a client has sent to its operation."""
        keys, tasks = self.key_of, _group((key, task) for task, key in self.key_of.items())
        events: dict[str, list[Event]] = {event.key: [] for event in self.kind("invoke") if event.key}
        for event in self.events:
            key = event.key or keys.get(event.task or "")
            if key in events and event.kind not in FOR_REPORTS:
                events[key].append(event)
        return {key: Operation(key, tuple(tasks.get(key, ())), tuple(of_key)) for key, of_key in events.items()}

    @cached_property
    def faults(self) -> tuple[Window, ...]:
        """The faults, sorted by their start. Events belong to one fault when they have the same `data["id"]` or,
        without this id, the same name."""
        open_: dict[str, list[Event]] = {}
        windows: list[Window] = []

        def close(name: str, stop: Event | None) -> None:
            start, *acted = open_.pop(name)
            windows.append(Window(str(start.data.get("fault")), start, tuple(acted), stop))

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
        return tuple(sorted(windows, key=lambda window: window.start.at))

    @cached_property
    def healed_at(self) -> int | None:
        """The time (ns) at which the last fault healed, or None when no fault healed."""
        stops = self.kind("fault-stop")
        return stops[-1].at if stops else None

    @cached_property
    def changed(self) -> dict[str, int]:
        """The time (ns) at which each process last became ready or ended: at that time its earlier work had ended."""
        return {event.source: event.at for event in self.kind("ready", "exit", "shutdown")}

    @cached_property
    def waits(self) -> tuple[Wait, ...]:
        """The times in which threads waited for a CPU, sorted by their beginning."""
        late = {event.at: int(event.data["ms"] * 1e6) for event in self.kind("machine-late")}
        waits = []
        for event in self.kind("waited"):
            waited = {name: int(ms * 1e6) for name, ms in event.data["ms"].items()}
            longest = int(event.data.get("longest", max(waited.values(), default=0) / 1e6) * 1e6)
            # This `machine-late` event and this `waited` event were measured at the same time, so their delay counts
            # once.
            slept = late.pop(int(event.data.get("late_at", 0)), 0)
            # The kernel counts a wait for a CPU when the wait ends, so the wait may have begun before `since`.
            begin = int(event.data["since"]) - max(longest, slept)
            waits.append(Wait(begin, event.at, waited, longest, slept))
        waits += [Wait(at - slept, at, None, late=slept) for at, slept in late.items()]
        return tuple(sorted(waits, key=lambda wait: wait.begin))

    @cached_property
    def longest_wait(self) -> int:
        """The length of the longest wait in `waits`, in nanoseconds."""
        return max((wait.end - wait.begin for wait in self.waits), default=0)

    @cached_property
    def drained(self) -> Event | None:
        """The event at the end of the drain, or None when the trial had no drain."""
        ends = self.kind("drained")
        return ends[-1] if ends else None

    @cached_property
    def readers(self) -> tuple[Event, ...]:
        """The last `ready` event of each worker that reported which queues it reads."""
        reports = [event for event in self.kind("ready") if "queues" in event.data.get("layout", ())]
        return tuple({event.source: event for event in reports}.values())

    @cached_property
    def queues_read(self) -> frozenset[str] | None:
        """The queues that workers have reported as the queues they read, or None when no worker has reported its
        queues."""
        queues = [event.data["layout"]["queues"] for event in self.readers]
        return frozenset().union(*queues) if queues else None

    def place(self, name: str) -> str:
        """Return words that say where a message is (a queue or "unacked"), with a note if no worker reads the queue."""
        return f"queue {name}, which no worker of the scenario reads" if self.unread(name) else name

    def unread(self, queue: str) -> bool:
        """Whether `queue` is a queue that no worker of the scenario reads."""
        if queue == UNACKED or self.queues_read is None or queue in self.queues_read:
            return False
        return queue not in self._taken_from

    @cached_property
    def _taken_from(self) -> frozenset[str]:
        """The queues that are read although no worker reported them: a task left such a queue, and then a worker began
        the task.

        A worker may begin to read a queue later (`add_consumer`), and a process that reports nothing may read a queue.
        When a task's message is still in the queue although a worker runs a copy of it, this does not show that the
        queue is read.
        """
        reported, samples = self.queues_read or frozenset(), self.kind("sample")
        places = [sample.data.get("by_task") for sample in samples]
        taken: set[str] = set()
        for sample, now, then in zip(samples, places, places[1:], strict=False):
            if now is None or then is None:  # this sample does not list the tasks, because there were too many
                continue
            for task, queue in now.items():
                if queue in reported or queue in taken or queue == UNACKED or then.get(task) == queue:
                    continue
                events = self.by_task.get(task, ())
                if any(e.at >= sample.at and e.kind in ("received", "started", "effect") for e in events):
                    taken.add(queue)
        return frozenset(taken)

    @cached_property
    def blind(self) -> str:
        """Why the content of the broker is unknown; "" when a sample succeeded or none was tried."""
        failed = self.kind("sample-failed")
        if self.kind("sample") or not failed:
            return ""
        return f"the messages in the broker could not be read: {failed[-1].data.get('error')}"

    @cached_property
    def sample(self) -> Event | None:
        """The last sample of the broker before the end of the drain; later samples do not count, because beat goes on
        sending."""
        end = self.drained
        samples = [sample for sample in self.kind("sample") if end is None or sample.at <= end.at]
        return samples[-1] if samples else None


def _group(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = defaultdict(list)
    for name, value in pairs:
        groups[name].append(value)
    return dict(groups)
