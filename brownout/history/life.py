"""The life of one operation, put together from events as they come: what took effect, who knows what, what is left.

A trial that settles by evidence feeds it while it runs, and the checkers of a map feed it with the whole history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, Self

from brownout.history.event import Event
from brownout.history.layout import UNACKED
from brownout.history.operation import RANK, SUCCESS, state_of

#: The operation of the load, and what the trial itself sends: before the load, and to see whether a worker consumes.
OPERATION, WARM, PROBE = "op-1", "warm", "probe"
Answered = Literal["waiting", "accepted", "refused", "unknown"]
Told = Literal["waiting", "read", "unread", "left"]


class Life:
    """Feed it with events in their order; what comes after `settled` is left out.

    Effects that bear no key are told by their task: they are the operation's when they are of its own task, or, as long
    as that is not known, of no other task of the trial. Where the application records no effects (`by_effect` False),
    a task that ended with success counts as one.
    """

    def __init__(self, *, by_effect: bool = True) -> None:
        self._by_effect = by_effect
        self.invoke: Event | None = None
        self.wanted: tuple[str, ...] = (OPERATION,)
        self.answered: Answered = "waiting"
        self.answer: Event | None = None
        self.told: Told = "waiting"
        self.telling: Event | None = None  # what told
        self.last_state = ""  # of the operation, as a client read it last
        self.tasks: tuple[str, ...] = ()  # of the operation, as its caller learnt them
        self.running: dict[str, Event] = {}  # task: the start of its body
        self.exits: list[Event] = []  # of processes that ended by themselves
        self.stored: Event | None = None
        self.consumes: Event | None = None
        self.settled: Event | None = None
        self.sample: Event | None = None
        self.others: set[str] = set()  # tasks of what the trial itself sends
        self._ended: dict[str, Event] = {}  # key of another operation: what its client learnt last
        self._tasks: dict[str, set[str]] = {}  # key of another operation: its tasks
        self._unread: dict[str, str] = {}  # task of a request: its key, while no final status was read
        self._effects: list[Event] = []
        self._rows: list[Event] = []
        self._store: Event | None = None

    @classmethod
    def of(cls, events: Iterable[Event], *, by_effect: bool = True) -> Self:
        """Of a whole history."""
        life = cls(by_effect=by_effect)
        life.see(events)
        return life

    def see(self, events: Iterable[Event]) -> None:
        """What happened since."""
        for event in events:
            if self.settled is not None:
                return  # what the trial itself does when it takes everything down proves nothing
            self._client(event) if event.source == "client" else self._inside(event)

    def _client(self, event: Event) -> None:
        if event.kind == "ok" and event.data.get("op") == "http" and event.task and event.key:
            self._unread[event.task] = event.key
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
            self.wanted = tuple(event.data.get("effects", (OPERATION,)))
            if event.data.get("op") == "tick":  # its schedule is the promise, and nobody reads its result
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
            if not self._by_effect and event.kind == "ended" and state_of(event) == "SUCCESS":
                self._effects.append(event)
        elif event.kind == "effect":
            self._effects.append(event)
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

    # --- what took effect

    @property
    def own(self) -> list[Event]:
        """The effects of the operation, in the order in which they came."""
        return [event for event, _ in self._named()]

    def _named(self) -> list[tuple[Event, str]]:
        own = set(self.tasks) if self.invoke and self.invoke.data.get("op") == "http" else set()
        return [(event, name) for event in self._effects if (name := self._name(event, own))]

    def _by_name(self) -> dict[str, list[Event]]:
        found: dict[str, list[Event]] = {}
        for event, name in self._named():
            found.setdefault(name, []).append(event)
        return found

    def _name(self, event: Event, own: set[str]) -> str | None:
        """Which of the wanted effects it is; None for what is another operation's."""
        if event.key in self.wanted:
            return event.key
        mine = event.task in own if own else event.task not in self.others
        return self.wanted[0] if mine and not str(event.key).startswith((WARM, PROBE)) else None

    @property
    def effects(self) -> Counter[str]:
        """How often each wanted effect was done."""
        return Counter(name for _, name in self._named())

    @property
    def missing(self) -> bool:
        """Whether an effect is not there yet."""
        return not set(self.wanted) <= self.effects.keys()

    @property
    def firsts(self) -> list[Event]:
        """The first effect of each name, as many as there are."""
        return [events[0] for events in self._by_name().values()]

    @property
    def repeated(self) -> list[Event]:
        """Two effects of one name; empty when each was done once at most."""
        return next((events[:2] for events in self._by_name().values() if len(events) > 1), [])

    def done(self, name: str) -> bool:
        """Whether a task, or the operation of a key, took effect: the probe's, for instance."""
        names = {name, *self._tasks.get(name, ())}
        return any(event.task in names or event.key in names for event in self._effects)

    def failed(self, key: str) -> bool:
        """Whether the client of another operation, such as a probe, got no good answer."""
        return key in self._ended and self._ended[key].kind in ("fail", "info")

    def told_of(self, key: str) -> Event | None:
        """What ended another operation for its client: a final status, or that there will be none."""
        return self._ended.get(key)

    @property
    def unread(self) -> dict[str, str]:
        """Requests that were accepted and whose final status nobody has read: task and key."""
        return dict(self._unread)

    # --- what is left

    @property
    def left(self) -> dict[str, str]:
        """Where messages of the operation lie: task and place."""
        found = self.sample.data.get("by_task", {}) if self.sample else {}
        return {task: place for task, place in found.items() if task not in self.others}

    @property
    def unacked(self) -> int:
        """How many of them are delivered and not acknowledged."""
        return sum(place == UNACKED for place in self.left.values())

    # --- who knows of it

    @property
    def recorded(self) -> bool | None:
        """Whether the application's own store has the operation's job; None where nobody can tell.

        The store has none only when every row is another task's. The row of a chain may have the root's id while a
        child takes effect; a row may have no task, an effect only a key.
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
        """What proves `recorded`: the look into the application's own store, and the row of the job."""
        rows = [event for event in self._rows if event.task not in self.others]
        return [*([self._store] if self._store else []), *rows[:1]]

    @property
    def obliged(self) -> bool:
        """Whether the operation must be done: it was accepted, or its caller got no answer and the store has it."""
        return self.answered == "accepted" or (self.answered == "unknown" and self.recorded is True)

    @property
    def sent(self) -> int:
        """When the operation was sent (ns), 0 before."""
        return self.invoke.at if self.invoke else 0

    @property
    def newest(self) -> int:
        """When the last effect or answer came (ns), 0 without one."""
        answers = (event.at for event in (self.answer, self.telling) if event)
        return max([*(event.at for event in self.own), *answers], default=0)


def _final(event: Event) -> bool:
    """Whether a client has read a status that is final."""
    return event.kind == "read" and RANK.get(state_of(event), 0) == 2
