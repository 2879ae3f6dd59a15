"""The view: sorted, indexed, joined."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.check.promises import at_least_once
from brownout.check.registry import judge
from brownout.history.event import Event
from brownout.history.view import History
from tests.unit.check_specimens import MS, Story, healthy, key, task
from tests.unit.test_history_event import EVENTS


@given(st.lists(EVENTS, max_size=20))
def test_events_are_in_the_order_of_their_time_and_every_index_keeps_all(events: list[Event]) -> None:
    history = History(events)
    assert [e.at for e in history] == sorted(e.at for e in events)
    assert sum(map(len, history.by_kind.values())) == len(events) == sum(map(len, history.by_source.values()))
    assert sum(map(len, history.by_task.values())) == sum(1 for e in events if e.task)


def test_one_source_or_all_its_members() -> None:
    history = healthy()
    both = history.kind("ready", source="worker")
    assert {event.source for event in both} == {"worker-1", "worker-2"}
    assert {event.source for event in history.kind("ready", source="worker-2")} == {"worker-2"}
    assert history.kind("ready", "phase", source="run") == history.kind("phase")


def test_an_operation_has_what_its_key_and_its_task_name() -> None:
    op = healthy().ops[key(9)]
    assert op.tasks == (task(9),)
    assert [e.kind for e in op.of("started", "received", "ended")] == [
        *("received", "started", "received", "started", "ended"),
    ]
    assert len(op.effects) == 1
    assert op.accepted is not None
    assert op.accepted.data["status"] == 202
    assert op.final is not None
    assert op.path == "/process-data"


def answered(number: int, told: str | None, **data: object) -> list[Event]:
    """A request that publishes a task with an id of Celery's, and what its answer told."""
    at, name, celerys = number * 100 * MS, key(number), f"celery-{number}"
    return [
        Event(at, "client", "invoke", name, data={"op": "http", "method": "POST", "path": "/orders"}),
        Event(at + MS, "api", "publish", name, celerys),
        Event(at + 2 * MS, "api", "publish", name, f"second-{number}"),
        Event(at + 3 * MS, "client", "ok", name, told, data={"op": "http", "status": 201, **data}),
        Event(at + 4 * MS, "worker-1", "ended", None, celerys, data={"state": "SUCCESS"}),
    ]


@pytest.mark.parametrize(("told", "data"), [("7", {"guessed": True}), (None, {})])
def test_an_answer_without_celerys_id_has_the_first_task_that_was_published(
    told: str | None, data: dict[str, object]
) -> None:
    op = History(answered(1, told, **data)).ops[key(1)]
    assert set(op.tasks) - {told} == {"celery-1"}
    assert [event.task for event in op.of("ended")] == ["celery-1"]


def test_an_id_that_celery_knows_is_the_only_task_of_its_operation() -> None:
    """The answer may name a task that a worker publishes later, as the body of a chord."""
    body = Event(500 * MS, "worker-1", "received", None, "body-1")
    events = [*answered(1, "body-1", guessed=True), body, *answered(2, "body-2", guessed=True)]
    ops = History(events).ops
    assert (ops[key(1)].tasks, ops[key(2)].tasks) == (("body-1",), ("body-2",))
    assert History(answered(1, "7")).ops[key(1)].tasks == ("7",), "the field that the application names has Celery's id"


@pytest.mark.parametrize(
    ("outcomes", "accepted", "refused"),
    [
        ([("ok", 202)], True, False),
        ([("ok", None)], True, False),
        ([("ok", 500)], False, False),  # a client that calls an error ok acknowledges nothing
        ([("info", None)], False, False),
        ([("fail", 422)], False, True),
        ([("fail", 503)], False, False),  # nobody knows what a 5xx has left behind
        ([("fail", 422), ("info", None)], False, False),
        ([("info", 500), ("ok", 202)], True, False),
        ([], False, False),
    ],
)
def test_what_acknowledges_and_what_refuses(
    outcomes: list[tuple[str, int | None]], accepted: bool, refused: bool
) -> None:
    story = Story()
    for n in range(max(1, len(outcomes))):
        story.say(n, "client", "invoke", "k", op="http", method="POST", path="/x")
    for n, (kind, status) in enumerate(outcomes):
        story.say(10 + n, "client", kind, "k", status=status)
    op = story.history.ops["k"]
    assert (op.accepted is not None, op.refused) == (accepted, refused)


def test_a_read_asks_for_no_work() -> None:
    story = Story()
    story.get(1, "k")
    assert not story.history.ops["k"].works
    assert story.history.ops["k"].accepted is None


def test_tries_are_answered_in_order() -> None:
    story = Story()
    story.post(1, "k", "t", "info", 500)
    story.post(20, "k", "t")
    story.say(40, "client", "invoke", "k", method="POST")
    tries = story.history.ops["k"].tries
    assert [(a.at // MS, b.at // MS if b else None) for a, b in tries] == [(1, 11), (20, 30), (40, None)]


def test_faults_are_windows() -> None:
    story = Story()
    story.fault(1, 5, "slow")
    story.fault(3, 9, "kill")
    story.say(20, "nemesis", "fault-start", fault="slow")
    story.say(25, "nemesis", "fault-start", fault="slow")
    windows = story.history.faults
    assert [(w.fault, w.stop.at // MS if w.stop else None, len(w.acted)) for w in windows] == [
        *(("slow", 5, 1), ("kill", 9, 1), ("slow", None, 0), ("slow", None, 0)),
    ]
    assert story.history.healed_at == 9 * MS
    assert History().healed_at is None


def test_a_file_that_is_missing_is_empty(tmp_path: Path) -> None:
    history = History.load(tmp_path / "none")
    assert (len(history), history.end, history.torn) == (0, 0, 0)


def reader_of_celery() -> Story:
    """A worker says that it reads `celery`; the message of `a` lies in `tenant` at 10 ms."""
    story = Story()
    story.say(1, "worker-1", "ready", layout={"queues": ["celery"]})
    story.sample(10, a="tenant")
    return story


@pytest.mark.parametrize("kind", ["received", "started", "effect"])
def test_a_queue_is_read_when_a_task_left_it_and_was_then_worked_on(kind: str) -> None:
    story = reader_of_celery()
    story.say(15, "worker-1", kind, task="a")
    story.sample(20, b="tenant")
    assert not story.history.unread("tenant")
    assert story.history.unread("mail")


@pytest.mark.parametrize(
    ("at", "kind", "places"),
    [
        (15, "received", {"a": "tenant"}),  # another copy was taken, from a queue that is read
        (5, "received", {}),  # before it was put there
        (15, "revoked", {}),
    ],
)
def test_a_queue_from_which_nobody_took_a_task_is_not_read(at: int, kind: str, places: dict[str, str]) -> None:
    story = reader_of_celery()
    story.say(at, "worker-1", kind, task="a")
    story.sample(20, **places)
    assert story.history.unread("tenant")


@pytest.mark.parametrize(("taken", "validity"), [(True, "unknown"), (False, "invalid")])
def test_a_backlog_in_a_queue_that_a_worker_began_to_read_later_is_not_misrouted(taken: bool, validity: str) -> None:
    """As after `add_consumer`: of two messages one is done, and the drain ends before the other is."""
    story = reader_of_celery()
    for n, name in enumerate("ab"):
        story.post(2 + n, name, name, took=1)
    story.run(15, "a", key="a")
    story.sample(90, b="tenant", **({} if taken else {"a": "tenant"}))
    story.say(100, "run", "drained", ok=False, left="b")
    verdict = judge(story.history, at_least_once())
    assert (verdict.validity, [anomaly.kind for anomaly in verdict.anomalies]) == (
        validity,
        [] if taken else ["misrouted"],
    )
