"""Anomalies of one operation, planted in the healthy trial of check_specimens.py: what the promises of a map find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from brownout.check import promises as p
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.promise import Promise

MS = 1_000_000
OPERATION, OWN = "op-1", "task-of-op-1"
WORKED = ("received", "started", "effect", "ended")
Plant = Callable[[History], History]


def changed(history: History, kind: str, change: Callable[[Event], Event | None]) -> History:
    """Each event of a kind of the operation, or of what is said at the end, changed; None takes it out."""
    found = []
    for event in history:
        mine = event.key == OPERATION or event.task == OWN or kind in ("stored", "consumes", "store-read")
        kept = change(event) if mine and event.kind == kind else event
        found += [kept] if kept else []
    return History(found)


def without(history: History, *kinds: str) -> History:
    """The history without events of these kinds of the operation."""
    for kind in kinds:
        history = changed(history, kind, lambda _: None)
    return history


def plus(history: History, at: int, source: str, kind: str, **data: Any) -> History:
    """The history and one event more."""
    return History([*history, Event(at, source, kind, data=data)])


def answered(kind: str) -> Plant:
    """The caller got another answer, and never read a status."""
    return lambda history: without(changed(history, "ok", lambda e: replace(e, kind=kind, task=None)), "read")


def unanswered(history: History) -> History:
    """The caller never got an answer."""
    return without(history, "ok", "read")


def undone(history: History) -> History:
    """No worker has done it."""
    return without(history, *WORKED)


def unrecorded(history: History) -> History:
    """The application's own store does not have it."""
    return without(history, "accepted")


def left(history: History, place: str = "unacked") -> History:
    """A message of it lies in the broker."""
    last = history.kind("settled")[0].at - 1
    return plus(history, last, "broker", "sample", by_task={OWN: place}, queues={}, unacked=1)


def stored(*states: str) -> Plant:
    """Other states are stored."""
    return lambda history: changed(history, "stored", lambda e: replace(e, data={"states": list(states)}))


def silent(history: History) -> History:
    """No worker consumes any more."""
    why = {"ok": False, "why": "a task that was sent at the end was not done within 6 s"}
    return changed(history, "consumes", lambda e: replace(e, data=why))


def again(history: History) -> History:
    """It was done once more."""
    effect = next(event for event in history.kind("effect") if event.key == OPERATION)
    return History([*history, replace(effect, at=effect.at + 90 * MS)])


def all_of(*plants: Plant) -> Plant:
    """One after the other."""

    def plant(history: History) -> History:
        for one in plants:
            history = one(history)
        return history

    return plant


def dead(history: History) -> History:
    """A worker ended by itself."""
    return plus(history, 3_000 * MS, "worker-2", "exit", code=1)


ONCE, TRUTH = p.took_effect_once(), p.told_truly()
LIVES: tuple[tuple[Promise, str, Plant], ...] = (
    (ONCE, "duplicate", again),
    (ONCE, "duplicate", all_of(answered("fail"), again)),
    (ONCE, "lost", undone),
    (ONCE, "lost", all_of(answered("info"), undone)),
    (ONCE, "lost", all_of(unanswered, undone, silent)),
    (ONCE, "stuck", all_of(undone, left)),
    (ONCE, "stuck", all_of(answered("info"), undone, left)),
    (ONCE, "stuck", all_of(unanswered, undone, left)),
    (ONCE, "duplicate-later", left),
    (ONCE, "duplicate-later", all_of(answered("info"), left)),
    (p.took_effect_once(proof="ended"), "lost", undone),
    (TRUTH, "misreported", answered("fail")),
    (TRUTH, "misreported", all_of(answered("fail"), undone, left)),
    (TRUTH, "misreported", all_of(answered("info"), unrecorded)),
    (TRUTH, "misreported", all_of(answered("info"), unrecorded, undone, left)),
    (TRUTH, "misreported", stored("FAILURE")),
    (TRUTH, "misreported", stored()),
    (TRUTH, "misreported", stored("FAILURE", "SUCCESS")),
    (TRUTH, "hangs", unanswered),
    (TRUTH, "unread", lambda h: without(h, "read")),
    (TRUTH, "unread", lambda h: changed(h, "read", lambda e: replace(e, kind="unread", data={"error": "TimeOut"}))),
    (p.workers_survive(), "worker-dead", dead),
    (p.workers_consume(), "silent", silent),
)  # fmt: skip
