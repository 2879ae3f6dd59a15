"""Forged histories: a healthy trial, and for each kind of anomaly a way to plant it there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from brownout.check import promises as p
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.promise import Promise
from tests.unit.life_specimens import LIVES, OPERATION, OWN

MS = 1_000_000
TASK = "tasks.process"


class Story:
    """Events by hand; times are milliseconds."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def say(
        self, at: float, source: str, kind: str, key: str | None = None, task: str | None = None, **data: Any
    ) -> None:
        self.events.append(Event(int(at * MS), source, kind, key, task, 100 + len(source), data))

    def get(self, at: float, key: str, took: float = 3) -> None:
        self.say(at, "client", "invoke", key, op="http", method="GET", path="/health-check", intended=int(at * MS))
        self.say(at + took, "client", "ok", key, status=200, body={"status": "ok"})

    def post(
        self, at: float, key: str, task: str, outcome: str = "ok", status: int | None = 202, took: float = 10,
        **more: Any,
    ) -> None:  # fmt: skip
        self.say(at, "client", "invoke", key, op="http", method="POST", path="/process-data", intended=int(at * MS))
        body = {"job_id": task, "echo": key} if outcome == "ok" else None
        known = task if outcome == "ok" else None
        self.say(at + took, "client", outcome, key, known, status=status, body=body, **more)

    def deliver(
        self, at: float, task: str, worker: str = "worker-1", retries: int = 0, redelivered: bool = False
    ) -> None:
        self.say(at, worker, "received", task=task, name=TASK, retries=retries, redelivered=redelivered)

    def run(self, at: float, task: str, worker: str = "worker-1", retries: int = 0, *, key: str | None = None) -> None:
        """A start with its effect and its end; with `key` None the effect names the task alone."""
        self.say(at, worker, "started", task=task, name=TASK, retries=retries)
        self.say(at + 40, "effects", "effect", key, task, name="processed", value=key)
        self.say(at + 50, worker, "ended", task=task, name=TASK, state="SUCCESS", retries=retries)

    def retry(self, at: float, task: str, worker: str = "worker-1", retries: int = 0, countdown: float = 1) -> None:
        self.say(at, worker, "started", task=task, name=TASK, retries=retries)
        self.say(at + 5, worker, "retry", task=task, retries=retries, countdown=countdown)
        self.say(at + 6, worker, "ended", task=task, name=TASK, state="RETRY", retries=retries)

    def fault(self, start: float, stop: float, name: str = "kill") -> None:
        self.say(start, "nemesis", "fault-start", fault=name, target="worker-1")
        self.say(start + 1, "nemesis", "fault-acted", fault=name, evidence="signal 9")
        self.say(stop, "nemesis", "fault-stop", fault=name)

    def sample(self, at: float, **by_task: str) -> None:
        queued = sum(place == "celery" for place in by_task.values())
        unacked = sum(place == "unacked" for place in by_task.values())
        counts: dict[str, Any] = {"queues": {"celery": queued}, "unacked": unacked, "unacked_index": unacked}
        self.say(at, "broker", "sample", **counts, clients=4, by_task=by_task)

    def hold(self, at: float, **resources: float) -> None:
        self.events.append(Event(int(at * MS), "run", "resources", pid=103, data={"process": "api", **resources}))

    @property
    def history(self) -> History:
        return History(self.events)


def key(n: int) -> str:
    return f"op-{n:06d}"


def task(n: int) -> str:
    return f"task-{n:06d}"


LAST = 29
"""Number of the last POST of the healthy trial; it is invoked after the fault has healed."""


def _mapped(story: Story) -> None:
    """The operation on which the promises of a map are made; the application's own store has its job."""
    story.say(4, "store", "store-read")
    story.post(5, OPERATION, OWN)
    story.say(6, "store", "accepted", OPERATION, OWN)
    story.deliver(7, OWN, "worker-2")
    story.run(8, OWN, "worker-2", key=OPERATION)
    story.say(70, "client", "read", OPERATION, OWN, state="SUCCESS", result={"echo": OPERATION})


def healthy(scale: int = 1) -> History:
    """Three seconds of GETs and POSTs, worker-1 killed from 1000 to 1500 ms; `scale` makes it longer."""
    story = Story()
    story.say(0, "api", "ready", watch=True)
    story.say(1, "worker-1", "ready")
    story.say(2, "worker-2", "ready")
    story.say(3, "run", "phase", name="load")
    story.fault(1000, 1500)
    story.say(1002, "worker-1", "exit", code=-9, struck=True)
    story.say(1499, "worker-1", "ready")
    _mapped(story)
    for n in range(150 * scale):
        story.get(10 + 20 * n, f"get-{n:06d}")
    for n in range(30 * scale):
        at = 12 + 100 * n
        story.post(at, key(n), task(n))
        if n == 9:  # begun on worker-1 at 980, killed, delivered again
            story.deliver(at + 60, task(n))
            story.say(at + 68, "worker-1", "started", task=task(n), name=TASK, retries=0)
            story.deliver(at + 560, task(n), "worker-2", redelivered=True)
            story.run(at + 561, task(n), "worker-2", key=key(n))
        elif n % 5 == 1:
            story.deliver(at + 15, task(n), "worker-2")
            story.retry(at + 16, task(n), "worker-2", countdown=n // 5 % 2)
            story.deliver(at + 30, task(n), "worker-2", retries=1)
            story.run(at + 31, task(n), "worker-2", retries=1, key=key(n))
        else:
            story.deliver(at + 15, task(n), "worker-2")
            story.run(at + 20, task(n), "worker-2", key=key(n))
        story.say(
            at + 80 if n != 9 else at + 640, "client", "read", key(n), task(n), state="SUCCESS", result={"echo": key(n)}
        )
    end = 20 + 20 * 150 * scale
    for n in range(15 * scale):
        story.hold(20 + 200 * n, megabytes=80 + n % 3, descriptors=20, connections=6)
    story.sample(end + 400)
    story.sample(end + 500)
    story.say(end + 510, "run", "drained", ok=True, left={})
    story.say(end + 520, "backend", "stored", states=["SUCCESS"])
    story.say(end + 530, "run", "consumes", ok=True, why="")
    story.say(end + 540, "run", "settled", again=False, left=[])
    story.say(end + 600, "client", "read", key(LAST), task(LAST), state="SUCCESS", result={"echo": key(LAST)})
    story.say(end + 700, "worker-2", "shutting-down", how="Warm", signal="SIGTERM")
    story.say(end + 800, "worker-2", "shutdown")
    return story.history


PROMISED: dict[str, Promise] = {
    promise.name: promise
    for promise in (
        p.at_least_once(within="1s"),
        p.at_most_once(),
        p.effectively_once(by="idempotency_key", within="1s"),
        p.drained(),
        p.nothing_stuck(),
        p.answers({202, 503}, within="1s"),
        p.status_monotone(),
        p.status_truthful(),
        p.attempts_within(3, starts=4),
        p.backoff_within(factor=1, maximum=600),
        p.no_cross_talk(),
        p.loop_never_stalls("100ms"),
        p.nothing_raised(),
        p.nothing_leaks(lasting="2s"),
        p.p99("/health-check", times=3, floor="50ms"),
        p.recovers(within="1s"),
        p.graceful(within="1s"),
        p.conservation(),
        p.faults_acted(),
        p.backlog_within(10),
        p.queued_within("1s"),
        p.took_effect_once(),
        p.told_truly(),
        p.workers_survive(),
        p.workers_consume(),
    )
}
# A hole that the healthy trial has: the killed body was begun again.
PROMISED["must_show"] = p.must_show("duplicate", under=p.at_most_once(of="started"))

Plant = Callable[[History], History]


def without(history: History, *kinds: str, of: int, after: int = -1) -> list[Event]:
    """The events but those of the given kinds of one operation."""
    return [e for e in history if not (e.kind in kinds and (e.key == key(of) or e.task == task(of)) and e.at > after)]


def plus(history: History, at: float, source: str, kind: str, n: int | None = None, **data: Any) -> History:
    story = Story()
    mine = {} if n is None else {"key": key(n), "task": task(n)}
    story.say(at, source, kind, **mine, **data)
    return History([*history, *story.events])


def changed(history: History, kind: str, n: int, change: Callable[[Event], Event]) -> History:
    """Change the first event of a kind of one operation."""
    target = next(e for e in history.kind(kind) if e.key == key(n) or e.task == task(n))
    return History([change(e) if e is target else e for e in history])


def later(ms: float) -> Callable[[Event], Event]:
    return lambda event: replace(event, at=event.at + int(ms * MS))


WORK = ("received", "started", "effect", "ended", "read", "retry")


def _growing(name: str, step: float) -> Plant:
    """The process has more of it with every sample."""

    def plant(history: History) -> History:
        samples = history.kind("resources")
        rest = [event for event in history if event.kind != "resources"]
        grown = [replace(e, data={**e.data, name: e.data[name] + step * n}) for n, e in enumerate(samples)]
        return History([*rest, *grown])

    return plant


def _late(history: History) -> History:
    return changed(History(without(history, "read", of=3)), "effect", 3, later(3000))


def _lost_in_account(history: History) -> History:
    return History(e for e in without(history, *WORK, of=3) if e.kind != "drained")


def _stuck(history: History) -> History:
    story = Story()
    story.events = [e for e in without(history, *WORK, of=3) if e.kind not in ("sample", "drained")]
    story.sample(3400, **{task(3): "unacked"})
    story.say(3500, "run", "drained", ok=False, left={"unacked": 1})
    return story.history


def _misrouted(history: History) -> History:
    """The worker reads `celery`, and the message lies in `mail`."""
    story = Story()
    story.events = [e for e in without(history, *WORK, of=3) if e.kind not in ("sample", "drained")]
    story.say(1500, "worker-1", "ready", layout={"queues": ["celery"]})
    story.sample(3400, **{task(3): "mail"})
    story.say(3500, "run", "drained", ok=False, left=key(3))
    return story.history


def _abandoned(history: History) -> History:
    kept = without(history, "ok", "effect", "ended", "read", of=3)
    story = Story()
    story.say(330, "client", "info", key(3), task(3), error="ReadTimeout")
    return History([*kept, *story.events])


def _outcome(kind: str, at: float | None = None, **data: Any) -> Plant:
    def change(event: Event) -> Event:
        return replace(event, kind=kind, task=None, at=event.at if at is None else int(at * MS), data=data)

    return lambda history: changed(history, "ok", 3, change)


def _slow_gets(history: History) -> History:
    begin, stop = 1000 * MS, 1500 * MS
    return History(
        replace(e, at=e.at + 400 * MS)
        if e.kind == "ok" and (e.key or "").startswith("get-") and begin < e.at < stop
        else e
        for e in history
    )


def _uniform_zero(history: History) -> History:
    story = Story()
    for n in range(400):
        story.say(50 + n, "worker-2", "retry", task=f"other-{n}", retries=3, countdown=0)
    return History([*history, *story.events])


def _interrupted(history: History) -> History:
    shut = next(e for e in history.kind("shutting-down")).at
    return plus(plus(history, shut / MS - 5, "worker-2", "started", LAST, name=TASK, retries=0), 9000, "run", "note")


def _slow_shutdown(history: History) -> History:
    return History(replace(e, at=e.at + 5000 * MS) if e.kind == "shutdown" else e for e in history)


def _undrained(history: History) -> History:
    story = Story()
    story.sample(3529, other="celery", another="unacked")
    return History([*history, *story.events])


def _backlog(history: History) -> History:
    story = Story()
    story.sample(900, **{f"t{n}": "celery" for n in range(11)})
    return History([*history, *story.events])


def _delivered_late(history: History) -> History:
    return changed(History(without(history, "started", of=3)), "received", 3, later(1200))


def _never_delivered(history: History) -> History:
    story = Story()
    story.events = [e for e in without(history, *WORK, of=3) if e.kind != "sample"]
    story.sample(3400, **{task(3): "celery"})
    return story.history


def _stray(history: History) -> History:
    return plus(plus(history, 390, "worker-2", "started", 999), 400, "effects", "effect", 999, name="processed")


def _refused(history: History) -> History:
    return _outcome("fail", status=422)(history)


def _unrecovered(history: History) -> History:
    return History(without(history, *WORK, of=LAST))


def _unrecovered_in_time(history: History) -> History:
    return plus(History(e for e in _unrecovered(history) if e.kind != "drained"), 9000, "run", "note")


def _no_restart(history: History) -> History:
    """No body is begun twice, so the hole that is written down does not show."""
    return History(e for e in history if not (e.kind == "started" and e.source == "worker-1"))


def _failed(history: History) -> History:
    story = Story()
    story.say(390, "worker-2", "failed", task=task(3), name=TASK, error="TypeError")
    story.say(391, "worker-2", "ended", task=task(3), name=TASK, state="FAILURE", retries=0)
    return History([*without(history, "effect", "ended", "read", of=3), *story.events])


def _expired(history: History) -> History:
    story = Story()
    story.say(390, "worker-2", "revoked", task=task(3), expired=True, terminated=False)
    return History([*without(history, *WORK, of=3), *story.events])


def _recorded(history: History) -> History:
    """The API was killed between its commit and its publish: no answer, and a record in its own store."""
    story = Story()
    story.say(325, "client", "info", key(3), error="RemoteProtocolError")
    story.say(320, "store", "accepted", key(3), task(3))
    return History([*without(history, "ok", *WORK, of=3), *story.events])


#: promise name (and, where the standard one does not do, the promise), kind of anomaly, how it is planted
PLANTED: tuple[tuple[Promise, str, Plant], ...] = (
    (PROMISED["at_least_once"], "lost", lambda h: History(without(h, *WORK, of=3))),
    (p.at_least_once(accounting=True), "lost", _lost_in_account),
    (p.at_least_once(proof="ended"), "lost", lambda h: History(without(h, *WORK, of=3))),
    (
        p.at_least_once(or_failure=False),
        "lost",
        lambda h: plus(History(without(h, *WORK, of=3)), 400, "worker-2", "ended", 3, state="FAILURE"),
    ),
    (PROMISED["at_least_once"], "lost", _recorded),
    (PROMISED["effectively_once"], "lost", _recorded),
    (PROMISED["at_least_once"], "misrouted", _misrouted),
    (PROMISED["effectively_once"], "misrouted", _misrouted),
    (PROMISED["at_least_once"], "failed", _failed),
    (PROMISED["at_least_once"], "revoked", _expired),
    (PROMISED["effectively_once"], "failed", _failed),
    (PROMISED["effectively_once"], "revoked", _expired),
    (PROMISED["at_least_once"], "late", _late),
    (p.at_least_once(within="1s"), "late", lambda h: plus(_lost_in_account(h), 9000, "run", "note")),
    (PROMISED["at_most_once"], "duplicate", lambda h: plus(h, 400, "effects", "effect", 3, name="processed")),
    (p.at_most_once(by="task"), "duplicate", lambda h: plus(h, 400, "effects", "effect", 3, name="processed")),
    (p.at_most_once(of="started"), "duplicate", lambda h: h),
    (PROMISED["effectively_once"], "duplicate", lambda h: plus(h, 400, "effects", "effect", 3, name="processed")),
    (PROMISED["effectively_once"], "lost", lambda h: History(without(h, *WORK, of=3))),
    (PROMISED["effectively_once"], "late", _late),
    (PROMISED["drained"], "undrained", _undrained),
    (PROMISED["nothing_stuck"], "stuck", _stuck),
    (
        PROMISED["nothing_stuck"],
        "stuck",
        lambda h: plus(History(without(h, "read", of=3)), 3900, "client", "read", 3, state="STARTED"),
    ),
    (PROMISED["nothing_stuck"], "abandoned", _abandoned),
    (PROMISED["answers"], "misanswered", _outcome("info", status=500)),
    (PROMISED["answers"], "slow", _outcome("ok", at=1500, status=202)),
    (PROMISED["answers"], "unanswered", _outcome("info", error="RemoteProtocolError")),
    (PROMISED["status_monotone"], "zombie", lambda h: plus(h, 900, "client", "read", 3, state="STARTED")),
    (p.status_monotone(failure_final=True), "zombie", lambda h: plus(h, 371, "client", "read", 3, state="FAILURE")),
    (PROMISED["status_truthful"], "misreported", lambda h: History(without(h, "effect", of=3))),
    (
        PROMISED["status_truthful"],
        "misreported",
        lambda h: changed(h, "effect", 3, later(500)),
    ),
    (PROMISED["status_truthful"], "misreported", lambda h: plus(h, 3900, "client", "read", 3, state="FAILURE")),
    (PROMISED["attempts_within"], "overtried", lambda h: plus(h, 400, "worker-2", "started", 3, retries=4)),
    (p.attempts_within(9, starts=1), "overtried", lambda h: plus(h, 400, "worker-2", "started", 3, retries=0)),
    (PROMISED["backoff_within"], "misbackoff", lambda h: plus(h, 400, "worker-2", "retry", 3, retries=2, countdown=5)),
    (
        p.backoff_within(factor=2, maximum=3, jitter=False),
        "misbackoff",
        lambda h: plus(h, 400, "worker-2", "retry", 3, retries=2, countdown=8),
    ),
    (PROMISED["backoff_within"], "unspread", _uniform_zero),
    (
        PROMISED["no_cross_talk"],
        "cross-talk",
        lambda h: plus(h, 400, "client", "read", 3, state="SUCCESS", result={"deep": [{"echo": key(7)}]}),
    ),
    (PROMISED["no_cross_talk"], "cross-talk", lambda h: changed(h, "ok", 4, lambda e: replace(e, task=task(3)))),
    (
        PROMISED["loop_never_stalls"],
        "stalled",
        lambda h: plus(h, 400, "api", "stall", ms=150.0, starved_ms=20.0, stack=["app.py:7 handler"]),
    ),
    (
        PROMISED["nothing_raised"],
        "unhandled",
        lambda h: plus(h, 400, "api", "raised", path="/process-data", error="KeyError"),
    ),
    (PROMISED["nothing_leaks"], "leak", _growing("megabytes", 5)),
    (PROMISED["nothing_leaks"], "leak", _growing("descriptors", 9)),
    (PROMISED["nothing_leaks"], "leak", _growing("connections", 9)),
    (p.nothing_leaks(lasting="2s", of="api"), "leak", _growing("connections", 9)),
    (PROMISED["p99"], "slowed", _slow_gets),
    (
        PROMISED["recovers"],
        "late-recovery",
        lambda h: changed(h, "effect", 20, later(1200)),
    ),
    (PROMISED["recovers"], "unrecovered", _unrecovered),
    (PROMISED["recovers"], "unrecovered", _unrecovered_in_time),
    (PROMISED["graceful"], "slow-shutdown", _slow_shutdown),
    (PROMISED["graceful"], "interrupted", _interrupted),
    (PROMISED["conservation"], "phantom", _refused),
    (PROMISED["conservation"], "phantom", _stray),
    (PROMISED["conservation"], "orphan", lambda h: plus(h, 400, "client", "info", 3, status=500)),
    (PROMISED["conservation"], "orphan", lambda h: plus(h, 400, "client", "ok", 998, status=202)),
    (PROMISED["backlog_within"], "backlog", _backlog),
    (PROMISED["queued_within"], "overdue", _delivered_late),
    (PROMISED["queued_within"], "overdue", _never_delivered),
    (PROMISED["must_show"], "missing", _no_restart),
    *LIVES,
)

#: Kinds whose proof is a sum: no six events can show them.
STATISTICAL = frozenset({"unspread"})
