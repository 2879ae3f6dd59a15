"""The life of one operation, collected from events: effects, what the client has learnt, messages that are left.

A trial that ends as soon as nothing can change any more passes its events to a `Life` object while the trial runs. The
checkers of a fault map pass the whole history to a `Life` object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, Self

from brownout.history.event import Event
from brownout.history.layout import UNACKED
from brownout.history.operation import RANK, SUCCESS, state_of

#: Keys of operations: of the load's only operation, of the warm-up before the load, and of the tasks (probes) that test
#: whether a worker consumes.
OPERATION, WARM, PROBE = "op-1", "warm", "probe"
Answered = Literal["waiting", "accepted", "refused", "unknown"]
Told = Literal["waiting", "read", "unread", "left"]


class Life:
    """Collects the events that belong to one operation. Pass the events in their order; events after `settled` are
    ignored.

    An effect without a key is assigned by its task: the effect belongs to the operation when its task does. While the
    operation's task is not known, every effect that belongs to no other task of the trial counts as an effect of the
    operation. If `by_effect` is False, which is for an application that records no effects, each task that ended with
    success counts as an effect.
    """

    def __init__(self, *, by_effect: bool = True) -> None:
        self._by_effect = by_effect
        self.invoke: Event | None = None
        self._wanted: tuple[str, ...] = (OPERATION,)
        self.answered: Answered = "waiting"
        self.answer: Event | None = None
        self.told: Told = "waiting"  # Whether the client has read the operation's result.
        self.telling: Event | None = None  # The event at which the field `told` changed last.
        self.last_state = ""  # The state of the operation that a client read last.
        self.tasks: tuple[str, ...] = ()  # The ids of the operation's tasks that its caller knows.
        self.published: list[str] = []  # The tasks that the API published for the operation's request.
        self.running: dict[str, Event] = {}  # Maps each task to the events at which its body started.
        self.failures: dict[str, str] = {}  # Maps each task to the error that a worker reported.
        self.exits: list[Event] = []  # The exits of processes that neither a fault nor a shutdown had ended.
        self.stored: Event | None = None
        self.consumes: Event | None = None
        self.settled: Event | None = None
        self.sample: Event | None = None
        self.others: set[str] = set()  # The tasks of warm-ups and probes.
        self._ended: dict[str, Event] = {}  # Maps the key of each other operation to the last event of its client.
        self._tasks: dict[str, set[str]] = {}  # Maps the key of each other operation to its task.
        self._unread: dict[str, str] = {}  # Maps the task of each request without a final status to the request's key.
        self._ids: dict[str, str] = {}  # Ids that the API "told" in an answer, and tasks that a worker "ended".
        self._tells_tasks = False  # Whether an id that the API told was that of a task.
        self._effects: list[Event] = []
        self._rows: list[Event] = []
        self._store: Event | None = None

    @classmethod
    def of(cls, events: Iterable[Event], *, by_effect: bool = True) -> Self:
        """Return the life of the load's only operation, from a complete history."""
        life = cls(by_effect=by_effect)
        life.see(events)
        return life

    def see(self, events: Iterable[Event]) -> None:
        """Take the next events of the history into account."""
        for event in events:
            if self.settled is not None:
                return  # events of the time in which the subject is stopped prove nothing about the subject
            self._client(event) if event.source == "client" else self._inside(event)

    def _client(self, event: Event) -> None:
        if event.kind == "ok" and event.data.get("op") == "http" and event.task and event.key:
            self._unread[event.task] = event.key
            self._tells_tasks |= self._ids.setdefault(event.task, "told") == "ended"
        elif _final(event) and event.task:
            self._unread.pop(event.task, None)
        if event.key != OPERATION:
            if event.task:
                self.others.add(event.task)
                self._tasks.setdefault(str(event.key), set()).add(event.task)
            if (event.key and event.kind in ("fail", "info", "unread", "left")) or _final(event):
                self._ended[str(event.key)] = event
            return
        if event.kind == "invoke":
            self.invoke = event
            self.others |= {effect.task for effect in self._effects if effect.task}  # what came before is not its own
            self._wanted = tuple(event.data.get("effects", (OPERATION,)))
            if event.data.get("op") == "tick" or event.data.get("result") is False:  # no client reads a result
                self.told = "read"
        elif event.kind in ("ok", "fail", "info") and self.answered == "waiting":
            self.answered = "accepted" if event.kind == "ok" else "refused" if event.kind == "fail" else "unknown"
            self.answer = event
            self.tasks = tuple(event.data.get("tasks", (event.task,) if event.task else ()))
            if event.kind == "info" and self.told == "waiting":
                self.told = "left"
        if event.kind == "read" and event.key == OPERATION:
            self.last_state = state_of(event)
        if self.told == "waiting" and (event.kind in ("unread", "left") or _final(event)):
            good = event.kind == "read" and state_of(event) in SUCCESS
            self.told = "read" if good else "left" if event.kind == "left" else "unread"
            self.telling = event

    def _inside(self, event: Event) -> None:
        if event.kind == "started" and event.task:
            self.running[event.task] = event
        elif event.kind in ("ended", "failed", "rejected") and event.task:
            self.running.pop(event.task, None)
            self._tells_tasks |= self._ids.setdefault(event.task, "ended") == "told"
            if event.kind == "failed":
                self.failures[event.task] = str(event.data.get("error"))
            if not self._by_effect and event.kind == "ended" and state_of(event) == "SUCCESS":
                self._effects.append(event)
        elif event.kind == "effect":
            self._effects.append(event)
        elif event.kind == "publish" and event.task and event.key == OPERATION:
            self.published.append(event.task)
        elif event.kind == "publish" and event.task and event.key:  # without a key no request of a client caused it
            self.others.add(event.task)
            self._tasks.setdefault(event.key, set()).add(event.task)
        elif event.kind == "accepted":
            self._rows.append(event)
        elif event.kind == "exit" and not event.data.get("struck") and not event.data.get("orderly"):
            self.exits.append(event)
        elif event.kind == "sample":
            self.sample = event
        elif event.kind == "store-read":
            self._store = event
        elif event.kind in ("stored", "consumes", "settled"):
            setattr(self, event.kind, event)

    # --- effects of the operation

    @property
    def own(self) -> list[Event]:
        """The effects of the operation, in the order of their events."""
        return [event for event, _ in self._named()]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names of the effects that the operation should have."""
        return self._canvas or self._wanted

    @property
    def _canvas(self) -> tuple[str, ...]:
        """The tasks of a chain, a group or a chord that a request has started; empty for any other operation.

        The answer then names a task that the API did not publish itself: a worker publishes it later. An id that may be
        the API's own shows nothing.
        """
        guessed = self.answer is None or self.answer.data.get("guessed")
        # An API that tells ids of its own tells none that a worker ends, not even after the warm-up.
        if self._by_effect or guessed or not self._tells_tasks or {*self.tasks} & {*self.published}:
            return ()
        return tuple(dict.fromkeys((*self.published, *self.tasks))) if self.published else ()

    def _named(self) -> list[tuple[Event, str]]:
        http = self.invoke is not None and self.invoke.data.get("op") == "http"
        own_tasks = self._of_request() if http else set()
        return [(event, name) for event in self._effects if (name := self._name(event, own_tasks))]

    def _of_request(self) -> set[str]:
        """Return the task of the operation's request. If the API answers with an id of its own, this is the first task
        that the API published for the request."""
        told = set(self.tasks)
        if self._canvas:
            return {*self._canvas}
        if self.published:
            return told if told & set(self.published) else {self.published[0]}
        guessed = self.answer is not None and self.answer.data.get("guessed")
        return set() if guessed else told

    def _by_name(self) -> dict[str, list[Event]]:
        effects: dict[str, list[Event]] = {}
        for event, name in self._named():
            effects.setdefault(name, []).append(event)
        return effects

    def _name(self, event: Event, own_tasks: set[str]) -> str | None:
        """Return which of the wanted effects this event shows; None for an effect of another operation."""
        if event.key in self._wanted:
            return event.key
        if event.task in self._canvas:
            return event.task
        of_operation = event.task in own_tasks if own_tasks else event.task not in self.others
        return self.wanted[0] if of_operation and not str(event.key).startswith((WARM, PROBE)) else None

    @property
    def effects(self) -> Counter[str]:
        """The number of times that each wanted effect was done."""
        return Counter(name for _, name in self._named())

    @property
    def missing(self) -> bool:
        """Whether an effect that the operation should have was not done yet."""
        return not set(self.wanted) <= self.effects.keys()

    @property
    def firsts(self) -> list[Event]:
        """The first event of each wanted effect that was done."""
        return [events[0] for events in self._by_name().values()]

    @property
    def repeated(self) -> list[Event]:
        """Two events that show that a wanted effect was done twice; empty when every effect was done at most once."""
        return next((events[:2] for events in self._by_name().values() if len(events) > 1), [])

    def done(self, name: str) -> bool:
        """Whether the task with the id `name`, or an operation with the key `name` (such as a probe), took effect."""
        names = {name, *self._tasks.get(name, ())}
        return any(event.task in names or event.key in names for event in self._effects)

    def failure(self, key: str) -> str:
        """The error of a task of another operation that failed; empty when none did."""
        return next((error for task in self._tasks.get(key, ()) if (error := self.failures.get(task))), "")

    def place(self, key: str) -> str:
        """The queue in which the last sample saw a message of another operation; empty when none was in the broker."""
        places = self.sample.data.get("by_task", {}) if self.sample else {}
        return next((str(places[task]) for task in self._tasks.get(key, ()) if task in places), "")

    def failed(self, key: str) -> bool:
        """Whether the client of another operation, such as a probe, got `fail` or `info` as its answer."""
        return key in self._ended and self._ended[key].kind in ("fail", "info")

    def told_of(self, key: str) -> Event | None:
        """The event that ended another operation for its client: the client read a final status, or learnt that no
        status will come."""
        return self._ended.get(key)

    @property
    def unread(self) -> dict[str, str]:
        """Accepted requests whose final status no client has read yet: a mapping from task to key."""
        return dict(self._unread)

    # --- messages of the operation that are left in the broker

    @property
    def left(self) -> dict[str, str]:
        """The operation's messages that the last sample of the broker showed: a mapping from task to queue (or
        "unacked")."""
        places = self.sample.data.get("by_task", {}) if self.sample else {}
        return {task: place for task, place in places.items() if task not in self.others}

    @property
    def unacked(self) -> int:
        """How many of the operation's messages were delivered to a worker and are not acknowledged yet."""
        return sum(place == UNACKED for place in self.left.values())

    # --- the operation as the client and the application's store know it

    @property
    def recorded(self) -> bool | None:
        """Whether the application's own store has the operation's job, or None when the rows of the store do not show
        this.

        `recorded` (whether the application's store has the job) is False only when every row of the store belongs to
        another task. `recorded` is None when this is not known, for instance when the row of a chain has the id of the
        first task while another task of the chain takes effect, or when a row or effect has no task.
        """
        if self._store is None:
            return None
        jobs = {event.task for event in self._rows} - self.others
        if not jobs:
            return False
        took_effect = {event.task for event in self._effects if event.task} - self.others
        return True if jobs & took_effect or (not took_effect and None not in jobs) else None

    @property
    def record(self) -> list[Event]:
        """The events that show whether the application's own store has the job: the read of the store, and the row of
        the job."""
        rows = [event for event in self._rows if event.task not in self.others]
        return [*([self._store] if self._store else []), *rows[:1]]

    @property
    def obliged(self) -> bool:
        """Whether the subject must do the operation: the operation was accepted, or it got no answer but is in the
        application's store."""
        return self.answered == "accepted" or (self.answered == "unknown" and self.recorded is True)

    @property
    def sent(self) -> int:
        """The time (ns) at which the operation was sent; 0 before it was sent."""
        return self.invoke.at if self.invoke else 0

    @property
    def newest(self) -> int:
        """The time (ns) of the last effect or answer; 0 when there is neither."""
        answers = (event.at for event in (self.answer, self.telling) if event)
        return max([*(event.at for event in self.own), *answers], default=0)


def _final(event: Event) -> bool:
    """Whether a client has read a status that is final."""
    return event.kind == "read" and RANK.get(state_of(event), 0) == 2
