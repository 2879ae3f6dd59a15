"""Where a job is at the end of a trial: in the application's store, in the broker, and on which worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from brownout.check.accounting import is_over
from brownout.history.event import Event
from brownout.history.layout import UNACKED
from brownout.history.operation import Operation, state_of
from brownout.history.secrets import shown
from brownout.history.view import History
from brownout.report.facts.lanes import Lanes, span, state

VISIBILITY_TIMEOUT = 3600.0  # kombu's default (kombu/transport/redis.py), in seconds
#: Kinds of event by which a worker says that it has a task.
TAKEN = ("received", "started")
#: Kinds of event that tell the name of the task.
NAMED = frozenset({"publish", *TAKEN})


@dataclass(frozen=True)
class Publish:
    """One attempt of a process to publish the job's message. `done` is None when the process had no success; the
    broker may have taken the message all the same, if its answer was lost."""

    at: int
    source: str
    done: int | None


@dataclass(frozen=True)
class Delivery:
    """A worker took the job's message. `pid` is the process that ran it, 0 when no process began with it."""

    at: int
    worker: str
    pid: int
    redelivered: bool


@dataclass(frozen=True)
class Whereabouts:
    """Where the job `key` with the task `task` is at the time `at`.

    `row` are the fields of the job in the application's own store: None when the application gives no such witness,
    empty when the store has no row. `place` is a queue or "unacked", "" when the message is in no queue, and None when
    no sample of the broker tells. `holder` is the worker that took the message and did not finish it; `state` is what
    became of that worker: "alive", "frozen" or "ended". `status` is the last one that a client read, with the job's key
    where `by_key` is true: then nobody knows which task it speaks of. `publishes` is None when no process told of
    publishing. `returns` (s) is the time after which kombu delivers an unacked message again, None when no worker told
    it. `called` is the name of the task.
    """

    key: str | None
    task: str | None
    at: int
    row: Mapping[str, object] | None = field(default=None, hash=False)
    place: str | None = None
    queues: Mapping[str, int] = field(default_factory=dict, hash=False)
    unacked: int = 0
    deliveries: tuple[Delivery, ...] = ()
    holder: str = ""
    state: str = ""
    status: str = ""
    status_at: int | None = None
    by_key: bool = False
    effects: int = 0
    publishes: tuple[Publish, ...] | None = None
    returns: float | None = None
    called: str = ""

    @property
    def name(self) -> str:
        """How a sentence names the job."""
        return self.key or (f"task {self.task[:8]}" if self.task else "the job")


def events_of(history: History, key: str | None, task: str | None) -> list[Event]:
    """All events of a job in order, those that only tell its task as well."""
    op = history.ops.get(key or history.key_of.get(task or "", ""))
    tasks = {*(tasks_of(history, op) if op else ()), *([task] if task else [])}
    found = {id(event): event for name in tasks for event in history.by_task.get(name, ())}
    found |= {id(event): event for event in (op.events if op else ())}
    return sorted(found.values(), key=lambda event: event.at)


def tasks_of(history: History, op: Operation) -> tuple[str, ...]:
    """The tasks of an operation; where its answers name none, those that the API published while it answered."""
    if op.tasks:
        return op.tasks
    return tuple(dict.fromkeys(e.task for e in history.kind("publish") if e.key == op.key and e.task))


def whereabouts(history: History, lanes: Lanes, key: str | None, task: str | None) -> Whereabouts:
    """Where a job is when the drain has ended."""
    events = events_of(history, key, task)
    op = history.ops.get(key or "")
    tasks = tasks_of(history, op) if op else ()
    task = task or next(iter(tasks), next((event.task for event in events if event.task), None))
    at = span(history)[1]
    sample, holder = history.sample, _holder(events)
    place = None
    if sample is not None and "by_task" in sample.data and task:
        places = sample.data["by_task"]
        place = next((places[name] for name in (*tasks, task) if name in places), "")
    reads = [event for event in events if event.kind == "read" and state_of(event)]
    rows = history.kind("row")
    own = [event for event in rows if event.task == task]
    return Whereabouts(
        key,
        task,
        at,
        None if not rows else shown(own[-1].data) if own else {},
        place,
        dict(sample.data.get("queues", {})) if sample else {},
        sample.data.get("unacked", 0) if sample else 0,
        tuple(deliveries(events)),
        holder.source if holder else "",
        _state(history, lanes, holder, at) if holder else "",
        state_of(reads[-1]) if reads else "",
        reads[-1].at if reads else None,
        bool(reads) and reads[-1].data.get("by") == "key",
        sum(event.kind == "effect" for event in events),
        publishes(events) if history.by_kind.get("publish") else None,
        visibility_timeout(history),
        next((str(event.data["name"]) for event in events if event.kind in NAMED and event.data.get("name")), ""),
    )


def celery_settings(history: History) -> Mapping[str, object] | None:
    """The Celery settings that are no defaults, as a worker told them; None when no worker told them."""
    for event in reversed(history.kind("ready", source="worker")):
        settings = event.data.get("conf", {}).get("celery", {})
        if isinstance(settings, Mapping) and settings and "unreadable" not in settings:
            return settings
    return None


def visibility_timeout(history: History) -> float | None:
    """The seconds after which kombu delivers an unacked message again; None when no worker told its settings."""
    settings = celery_settings(history)
    if settings is None:
        return None
    options = settings.get("broker_transport_options")
    value = options.get("visibility_timeout") if isinstance(options, Mapping) else None
    return float(value) if isinstance(value, int | float) else VISIBILITY_TIMEOUT if value is None else None


def deliveries(events: list[Event]) -> list[Delivery]:
    """The deliveries of a task. A `started` of the same worker belongs to the `received` before it."""
    found: list[Delivery] = []
    for event in events:
        if event.kind == "received":
            found.append(Delivery(event.at, event.source, 0, bool(event.data.get("redelivered"))))
        elif event.kind == "started":
            open_ = [n for n, one in enumerate(found) if one.worker == event.source and not one.pid]
            if open_:
                last = found[open_[-1]]
                found[open_[-1]] = Delivery(last.at, last.worker, event.pid, last.redelivered)
            else:
                found.append(Delivery(event.at, event.source, event.pid, bool(event.data.get("redelivered"))))
    return found


def publishes(events: list[Event]) -> tuple[Publish, ...]:
    """The attempts to publish a task. The broker took a message when the same process said so afterwards."""
    found: list[Publish] = []
    for event in events:
        if event.kind == "publish":
            found.append(Publish(event.at, event.source, None))
        elif event.kind == "published":
            open_ = [n for n, one in enumerate(found) if one.source == event.source and one.done is None]
            if open_:
                found[open_[-1]] = Publish(found[open_[-1]].at, event.source, event.at)
    return tuple(found)


def _holder(events: list[Event]) -> Event | None:
    """The last event of a worker that took the task and did not finish it."""
    own = [event for event in events if event.kind in (*TAKEN, "ended", "retry", "rejected") or is_over(event)]
    return own[-1] if own and own[-1].kind in TAKEN else None


def _state(history: History, lanes: Lanes, taken: Event, at: int) -> str:
    died = any(event.kind == "exit" and event.at >= taken.at for event in history.by_source[taken.source])
    return "ended" if died else state(lanes, taken.source, at)


def doer(effect: Event, events: Iterable[Event]) -> str:
    """The worker that had the task when the effect was done; "" when several had it, or none."""
    open_: dict[str, None] = {}
    for event in events:
        if event.at > effect.at:
            break
        if event.kind == "started":
            open_[event.source] = None
        elif event.kind in ("ended", "failed", "retry", "rejected"):
            open_.pop(event.source, None)
    return next(iter(open_)) if len(open_) == 1 else ""


def is_unacked(place: str | None) -> bool:
    """Whether the place is the hash of messages that were delivered and not acknowledged."""
    return place == UNACKED
