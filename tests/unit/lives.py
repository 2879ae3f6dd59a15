"""Forged histories of one operation: one fact each of what its caller knows, what was done, and what is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from brownout.history.event import Event
from brownout.history.life import Answered, Told
from brownout.history.view import History

MS = 1_000_000
KEY, TASK, WORKER_PID, API_PID = "op-1", "task-1", 101, 102
#: What a caller learns of its result after each answer; nobody who was refused asks for one.
TELLINGS: dict[Answered, tuple[Told, ...]] = {
    "accepted": ("read", "unread", "left", "waiting"),
    "refused": ("waiting",),
    "unknown": ("left",),
    "waiting": ("waiting",),
}
ANSWERS: dict[Answered, str] = {"accepted": "ok", "refused": "fail", "unknown": "info"}


@dataclass(frozen=True)
class Facts:
    """One trial's end in facts; the history that it makes has nothing else in it.

    `effects` is how often each wanted effect was done, `left` where a message of the operation lies, `recorded` whether
    the application's own store has its job (None: it has no store that can be read).
    """

    answered: Answered = "accepted"
    told: Told = "read"
    effects: tuple[int, ...] = (1,)
    left: Literal["", "celery", "unacked"] = ""
    stored: tuple[str, ...] = ("SUCCESS",)
    recorded: bool | None = None
    consuming: bool = True
    died: bool = False
    stalled: bool = False
    again: bool = False
    more: tuple[Event, ...] = field(default=())

    @property
    def names(self) -> list[str]:
        """The wanted effects."""
        return [KEY] if len(self.effects) == 1 else [f"{KEY}.{n + 1}" for n in range(len(self.effects))]

    @property
    def history(self) -> History:
        """The events of these facts."""
        events = [
            at(0, "api", "ready", pid=API_PID),
            at(1, "worker-1", "ready", pid=WORKER_PID),
            at(10, "client", "invoke", KEY, op="call", effects=self.names),
        ]
        if self.recorded is not None:
            events.append(at(2, "store", "store-read"))
        if self.recorded:
            events.append(at(12, "store", "accepted", task=TASK))
        for name, count in zip(self.names, self.effects, strict=True):
            events += [at(30 + n, "effects", "effect", name, TASK) for n in range(count)]
        if self.answered != "waiting":
            accepted = self.answered == "accepted"
            told = {"tasks": [TASK]} if accepted else {}
            events.append(at(20, "client", ANSWERS[self.answered], KEY, TASK if accepted else None, **told))
        if self.told == "read":
            events.append(at(40, "client", "read", KEY, state="SUCCESS"))
        elif self.told in ("unread", "left") and self.answered == "accepted":
            events.append(at(40, "client", self.told, KEY, error="TimeoutError"))
        if self.died:
            events.append(at(50, "worker-1", "exit", pid=WORKER_PID, code=1))
        if self.stalled:
            events.append(at(55, "api", "stall", pid=API_PID, ms=2000, starved_ms=0, stack=["app.py:7"]))
        if self.left:
            events.append(at(60, "broker", "sample", by_task={TASK: self.left}))
        events += [
            at(70, "backend", "stored", states=list(self.stored)),
            at(80, "run", "consumes", ok=self.consuming, why="" if self.consuming else "no task was done"),
            at(90, "run", "settled", again=self.again, left=[self.left] if self.left else []),
            *self.more,
        ]
        return History(events)


def at(when: float, source: str, kind: str, key: str | None = None, task: str | None = None, **data: Any) -> Event:
    """An event at a time in milliseconds."""
    pid = data.pop("pid", 100)
    return Event(int(when * MS), source, kind, key, task, pid, data)
