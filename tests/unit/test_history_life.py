"""The life of one operation, as it comes from events: what was done, who knows of it, what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.history.event import Event
from brownout.history.life import Life
from tests.unit.lives import KEY, TASK, Facts, at


def invoked(op: str = "call", **data: Any) -> Event:
    return at(10, "client", "invoke", KEY, op=op, **data)


def done(key: str | None = None, task: str | None = TASK, when: float = 30) -> Event:
    return at(when, "effects", "effect", key, task)


ACCEPTED = at(20, "client", "ok", KEY, TASK, op="http", status=202)
READ = at(40, "client", "read", KEY, TASK, state="SUCCESS")


# --- what its caller knows


@pytest.mark.parametrize(
    ("events", "answered", "told"),
    [
        ([], "waiting", "waiting"),
        ([ACCEPTED], "accepted", "waiting"),
        ([ACCEPTED, READ], "accepted", "read"),
        ([ACCEPTED, at(40, "client", "read", KEY, TASK, state="DONE")], "accepted", "read"),
        ([ACCEPTED, at(40, "client", "read", KEY, TASK, state="STARTED")], "accepted", "waiting"),
        ([ACCEPTED, at(40, "client", "read", KEY, TASK, state="failed")], "accepted", "unread"),
        ([ACCEPTED, at(40, "client", "unread", KEY, error="TimeoutError")], "accepted", "unread"),
        ([ACCEPTED, at(40, "client", "left", KEY, error="the process that called the task ended")], "accepted", "left"),
        ([ACCEPTED, at(40, "client", "unread", KEY), READ], "accepted", "unread"),  # it had given up
        ([at(20, "client", "fail", KEY, error="OperationalError")], "refused", "waiting"),
        ([at(20, "client", "info", KEY, status=503)], "unknown", "left"),
        ([at(20, "client", "info", KEY, status=503), READ], "unknown", "left"),
        ([ACCEPTED, at(21, "client", "fail", KEY)], "accepted", "waiting"),  # the first answer counts
        ([at(20, "client", "ok", "probe-1", "other")], "waiting", "waiting"),
    ],
)
def test_what_its_caller_learns(events: list[Event], answered: str, told: str) -> None:
    life = Life.of([invoked(), *events])
    assert (life.answered, life.told) == (answered, told)


def test_nobody_reads_the_result_of_a_tick() -> None:
    life = Life.of([invoked("tick"), at(20, "client", "ok", KEY)])
    assert (life.answered, life.told) == ("accepted", "read")


def test_an_answer_names_one_task_or_several() -> None:
    assert Life.of([invoked(), ACCEPTED]).tasks == (TASK,)
    assert Life.of([invoked(), at(20, "client", "ok", KEY, "a", tasks=["a", "b"])]).tasks == ("a", "b")
    assert Life.of([invoked(), at(20, "client", "info", KEY)]).tasks == ()


def test_the_state_that_was_read_last_is_kept() -> None:
    states = [at(n, "client", "read", KEY, TASK, state=state) for n, state in ((30, "PENDING"), (40, "started"))]
    assert Life.of([invoked(), ACCEPTED, *states]).last_state == "STARTED"


# --- what took effect


@pytest.mark.parametrize(
    ("op", "events", "count"),
    [
        ("call", [done(KEY, None)], 1),
        ("call", [done(None, "any task")], 1),  # no other task is known to have done it
        ("call", [ACCEPTED, done(None, "child")], 1),  # a chain's caller knows the last task only
        ("call", [at(5, "client", "invoke", "warm", "w"), done(None, "w")], 0),
        ("call", [at(50, "client", "invoke", "probe-1", "p", op="probe"), done(None, "p", 60)], 0),
        ("call", [done("warm", None), done("probe-1", None)], 0),
        ("http", [done(None, "any task")], 1),  # as long as its own is not known
        ("http", [ACCEPTED, done(None, "any task")], 0),
        ("http", [ACCEPTED, done(None, TASK)], 1),
        ("http", [done(None, TASK), ACCEPTED], 1),  # the effect was quicker than the answer
        ("http", [done(None, TASK), at(50, "client", "ok", "probe-1", TASK, op="http")], 0),
    ],
)
def test_whose_effect_it_is(op: str, events: list[Event], count: int) -> None:
    life = Life.of([invoked(op), *events])
    assert life.effects[KEY] == len(life.own) == count
    assert life.missing is (count == 0)


def test_each_of_several_effects_is_counted() -> None:
    life = Life.of([invoked(effects=["a", "b"]), done("a"), done("c", "other")])
    assert dict(life.effects) == {"a": 2}, "what nobody wanted is one too many"
    assert life.missing
    assert len(life.repeated) == 2
    life = Life.of([invoked(effects=["a", "b"]), done("b"), done("a", when=31), done("b", when=32)])
    assert (life.missing, dict(life.effects)) == (False, {"a": 1, "b": 2})
    assert [(event.key, event.at) for event in life.repeated] == [("b", 30_000_000), ("b", 32_000_000)]
    assert sorted(str(event.key) for event in life.firsts) == ["a", "b"]
    assert Life.of([invoked(), done(KEY)]).repeated == []


@pytest.mark.parametrize(
    ("kind", "state", "by_effect", "count"),
    [
        ("ended", "SUCCESS", False, 1),
        ("ended", "success", False, 1),
        ("ended", "RETRY", False, 0),
        ("ended", "FAILURE", False, 0),
        ("failed", "SUCCESS", False, 0),
        ("ended", "SUCCESS", True, 0),
    ],
)
def test_where_no_effects_are_recorded_a_task_that_ended_well_is_one(
    kind: str, state: str, by_effect: bool, count: int
) -> None:
    events = [invoked(), at(30, "worker-1", kind, task=TASK, state=state)]
    assert len(Life.of(events, by_effect=by_effect).own) == count


@pytest.mark.parametrize("end", ["ended", "failed", "rejected"])
def test_a_body_runs_from_its_start_to_its_end(end: str) -> None:
    life = Life.of([at(25, "worker-1", "started", task=TASK, pid=77)])
    assert [event.pid for event in life.running.values()] == [77]
    life.see([at(30, "worker-1", end, task=TASK)])
    assert life.running == {}


def test_a_request_that_probes_is_known_by_its_key_and_by_its_task() -> None:
    """Many applications record only the task of an effect."""
    life = Life.of([at(55, "client", "ok", "probe-1", "p", op="http")])
    assert not life.done("probe-1")
    life.see([done(None, "p", 60)])
    assert life.done("probe-1")
    assert life.done("p")
    assert not life.done("probe-2")


def test_what_another_operation_came_to() -> None:
    life = Life.of([at(50, "client", "invoke", "probe-1", op="http")])
    assert (life.failed("probe-1"), life.told_of("probe-1")) == (False, None)
    life.see([at(55, "client", "ok", "probe-1", "p", op="http")])
    assert life.told_of("probe-1") is None, "an answer is not the end"
    assert life.unread == {"p": "probe-1"}
    life.see([at(60, "client", "read", "probe-1", "p", state="SUCCESS")])
    assert (life.failed("probe-1"), life.told_of("probe-1") is not None, life.unread) == (False, True, {})
    life.see([at(65, "client", "fail", "probe-2", op="http", error="ConnectError")])
    assert life.failed("probe-2")


# --- what is left


def test_what_lies_in_the_broker_is_the_operations_when_no_other_task_has_sent_it() -> None:
    lying = at(60, "broker", "sample", by_task={TASK: "unacked", "p": "celery", "b": "celery"})
    life = Life.of([invoked(), at(50, "client", "invoke", "probe-1", "p", op="probe"), lying])
    assert (life.left, life.unacked) == ({TASK: "unacked", "b": "celery"}, 1)
    life.see([at(70, "broker", "sample", by_task={})])
    assert life.left == {}
    life.see([at(80, "broker", "sample-failed", error="TimeoutError")])
    assert life.left == {}, "who could not look has seen nothing"


@pytest.mark.parametrize(
    ("data", "counts"),
    [({"code": 1}, True), ({"code": -9, "struck": True}, False), ({"code": 3, "orderly": True}, False)],
)
def test_only_what_ended_by_itself_counts(data: dict[str, Any], counts: bool) -> None:
    assert bool(Life.of([at(50, "worker-1", "exit", **data)]).exits) is counts


# --- who knows of it


STORE = at(2, "store", "store-read")


@pytest.mark.parametrize(
    ("events", "recorded"),
    [
        ([], None),
        ([STORE], False),
        ([STORE, at(12, "store", "accepted", task=TASK)], True),
        ([STORE, at(12, "store", "accepted", task=TASK), done()], True),
        ([STORE, at(12, "store", "accepted", task="root"), done(None, "child")], None),  # it may be a chain's
        ([STORE, at(12, "store", "accepted")], None),  # a row without a task is anybody's
        ([STORE, at(1, "client", "ok", "warm", "w"), at(1, "store", "accepted", task="w")], False),
        ([at(12, "store", "accepted", task=TASK)], None),  # nobody said that all rows are read
    ],
)
def test_whether_the_applications_own_store_has_the_job(events: list[Event], recorded: bool | None) -> None:
    life = Life.of([invoked(), *events])
    assert life.recorded is recorded
    if recorded is not None:
        assert Life.of([invoked(), *life.record]).recorded is recorded, "its proof alone says so"


@pytest.mark.parametrize(
    ("answered", "recorded", "obliged"),
    [
        *[("accepted", recorded, True) for recorded in (None, True, False)],
        *[("refused", recorded, False) for recorded in (None, True, False)],
        *[("waiting", recorded, False) for recorded in (None, True, False)],
        *[("unknown", None, False), ("unknown", False, False), ("unknown", True, True)],
    ],
)
def test_what_obliges(answered: Any, recorded: bool | None, obliged: bool) -> None:
    told = {"accepted": "read", "unknown": "left"}.get(answered, "waiting")
    facts = Facts(answered=answered, told=told, effects=(0,), recorded=recorded)  # type: ignore[arg-type]
    assert Life.of(facts.history).obliged is obliged


def test_times() -> None:
    assert (Life().sent, Life().newest) == (0, 0)
    life = Life.of([invoked(), ACCEPTED])
    assert (life.sent, life.newest) == (10_000_000, 20_000_000)
    life.see([done(), at(35, "effects", "effect", "probe-1", "p")])
    assert life.newest == 30_000_000
    life.see([READ])
    assert life.newest == 40_000_000


# --- as it comes


def test_what_comes_after_the_end_proves_nothing() -> None:
    """The trial takes everything down then: clients lose their connections, and processes end."""
    life = Life.of([invoked(), at(90, "run", "settled", again=False, left=[])])
    life.see([at(95, "client", "info", KEY, error="RemoteProtocolError"), at(96, "worker-1", "exit", code=-15)])
    assert (life.answered, life.exits) == ("waiting", [])


@settings(max_examples=40)
@given(st.data())
def test_it_is_the_same_whether_it_comes_in_pieces_or_at_once(data: st.DataObject) -> None:
    events = list(Facts(left="unacked", recorded=True, effects=(2, 1), died=True, told="unread").history)
    life, rest = Life(), events
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        life.see(rest[:size])
        rest = rest[size:]
    whole = Life.of(events)
    assert vars(life) == vars(whole)


# --- whose task it is


def test_what_was_done_before_the_operation_was_sent_is_not_its_own() -> None:
    """A warm-up whose answer named no task took effect first."""
    life = Life.of(
        [done(task="warm-up", when=5), invoked("http"), at(20, "client", "ok", KEY, op="http"), done(task="own")]
    )
    assert [event.task for event in life.own] == ["own"]
    assert not life.repeated


def test_the_tasks_that_an_api_published_while_it_served_a_request_are_the_requests() -> None:
    """An id of the application's own in the answer says nothing about Celery's tasks."""
    answer = at(20, "client", "ok", KEY, "17", op="http", status=202, guessed=True)
    published = [at(15, "api", "publish", KEY, "own"), at(50, "api", "publish", "probe-1", "other")]
    life = Life.of([invoked("http"), *published, answer, done(task="own"), done(task="other", when=60)])
    assert [event.task for event in life.own] == ["own"]
    assert life.done("probe-1")
    assert life.tasks == ("17",), "the id by which the status is read"


def test_a_request_that_starts_a_chord_wants_each_of_its_tasks() -> None:
    """The API publishes the header, and answers with the id of the body, which a worker publishes at the end."""
    header = [at(15, "api", "publish", KEY, "first"), at(16, "api", "publish", KEY, "second")]
    named = at(20, "client", "ok", KEY, "body", op="http", status=202)
    ended = [at(30 + n, "worker-1", "ended", None, name, state="SUCCESS") for n, name in enumerate(("first", "body"))]
    life = Life.of([invoked("http"), *header, named, *ended], by_effect=False)
    assert life.wanted == ("first", "second", "body")
    assert (life.missing, dict(life.effects)) == (True, {"first": 1, "body": 1})
    again = at(40, "worker-1", "ended", None, "second", state="SUCCESS")
    whole = Life.of([invoked("http"), *header, named, *ended, again], by_effect=False)
    assert (whole.missing, whole.repeated) == (False, [])
    twice = Life.of([invoked("http"), *header, named, *ended, again, replace(again, at=again.at + 1)], by_effect=False)
    assert [event.task for event in twice.repeated] == ["second", "second"]
    own = at(20, "client", "ok", KEY, "17", op="http", status=202)
    warm = [at(5, "client", "ok", "warm", "16", op="http", status=202), at(6, "worker-1", "ended", None, "warm-task")]
    assert Life.of([invoked("http"), *warm, *header, own, *ended], by_effect=False).wanted == ("op-1",), "a row's id"
    lost = [at(5, "client", "ok", "warm", "w", op="http"), at(6, "worker-1", "ended", None, "w", state="SUCCESS")]
    assert Life.of([*lost, invoked("http"), *header, named], by_effect=False).wanted == ("first", "second", "body")
    own = replace(own, data={"op": "http", "guessed": True})
    assert Life.of([invoked("http"), *header, own, *ended], by_effect=False).wanted == ("op-1",)
    assert Life.of([invoked("http"), *header, named, *ended]).wanted == ("op-1",), "the application records its effects"


def test_a_task_that_a_worker_publishes_is_of_no_other_request() -> None:
    """The first task of an operation publishes the next one, outside of any request."""
    life = Life.of([invoked("http"), at(15, "worker-1", "publish", None, "next"), done(task="next")])
    assert [event.task for event in life.own] == ["next"]


def test_an_id_that_was_guessed_takes_no_effect_away() -> None:
    answer = at(20, "client", "ok", KEY, "17", op="http", status=202, guessed=True)
    assert [event.task for event in Life.of([invoked("http"), answer, done(task="own")]).own] == ["own"]
    named = at(20, "client", "ok", KEY, "17", op="http", status=202)
    assert not Life.of([invoked("http"), named, done(task="own")]).own


def test_nobody_reads_a_result_that_is_not_stored() -> None:
    assert Life.of([invoked(result=False), at(20, "client", "ok", KEY, TASK)]).told == "read"


def test_where_the_message_of_another_operation_is_and_how_it_failed() -> None:
    sent = at(5, "client", "ok", "warm", "w1")
    life = Life.of([sent, at(6, "broker", "sample", by_task={"w1": "slow", TASK: "celery"})])
    assert (life.place("warm"), life.place("probe-1"), life.failure("warm")) == ("slow", "", "")
    failed = Life.of([sent, at(7, "worker-1", "failed", None, "w1", error="ValueError")])
    assert failed.failure("warm") == "ValueError"
