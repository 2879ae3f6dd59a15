"""Where a task is: the traps of queue accounting, and the verdicts that hang on it."""

from __future__ import annotations

import pytest

from brownout.check import promises as p
from brownout.check.accounting import Place, lost, place
from brownout.check.registry import judge
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.duration import Duration
from brownout.plan.promise import Promise
from tests.unit.check_specimens import MS, TASK, Story


def accepted() -> Story:
    story = Story()
    story.say(0, "worker-1", "ready")
    story.post(10, "op-1", "t1")
    return story


def looked(story: Story, **by_task: str) -> Story:
    """Two looks that agree."""
    story.sample(500, **by_task)
    story.sample(600, **by_task)
    return story


def where(story: Story) -> Place:
    return place(story.history, story.history.ops["op-1"])


@pytest.mark.parametrize("name", ["celery", "unacked"])
def test_what_a_look_finds_is_there(name: str) -> None:
    assert where(looked(accepted(), t1=name)) == {"celery": "queued", "unacked": "unacked"}[name]


def test_nowhere_takes_two_looks() -> None:
    """Between BRPOP's reply and its ZADD a message is in no list for a moment."""
    story = accepted()
    story.sample(500)
    assert where(story) == "unseen"
    story.sample(600)
    assert where(story) == "nowhere"
    assert [op.key for op in lost(story.history)] == ["op-1"]


def test_it_was_on_its_way_when_a_later_event_says_so() -> None:
    story = looked(accepted())
    story.deliver(550, "t1")
    assert where(story) == "running"
    story.say(560, "worker-1", "retry", task="t1", countdown=1)
    assert where(story) == "unseen"


def test_a_task_that_came_after_the_looks_is_unseen() -> None:
    story = looked(Story())
    story.post(700, "op-1", "t1")
    assert where(story) == "unseen"


def test_what_runs_is_not_lost_until_its_worker_is_gone() -> None:
    story = accepted()
    story.deliver(20, "t1")
    story.say(21, "worker-1", "started", task="t1", name=TASK)
    looked(story)
    assert where(story) == "running"
    story.say(650, "worker-2", "exit", code=-9)
    assert where(story) == "running"
    story.say(651, "worker-1", "exit", code=-9)
    assert where(story) == "nowhere"


@pytest.mark.parametrize(("kind", "state"), [("ended", "SUCCESS"), ("ended", "FAILURE"), ("failed", None)])
def test_what_ended_is_not_lost(kind: str, state: str | None) -> None:
    story = looked(accepted())
    story.say(30, "worker-1", kind, task="t1", state=state)
    assert where(story) == "ended"


def test_a_retry_that_vanished_is_lost() -> None:
    story = accepted()
    story.deliver(20, "t1")
    story.retry(21, "t1")
    assert where(looked(story)) == "nowhere"


def test_an_indeterminate_operation_is_never_lost() -> None:
    story = Story()
    story.post(10, "op-1", "t1", "info", None)
    story.post(10, "op-2", "t2")
    story.run(20, "t2", key="op-2")
    story.say(700, "run", "drained", ok=True)
    assert lost(looked(story).history) == []
    assert judge(story.history, p.at_least_once(accounting=True)).validity == "valid"


def test_without_accounting_an_unfinished_drain_is_unknown() -> None:
    """A relay keeps a copy outside the broker: nowhere in Redis is not lost."""
    story = looked(accepted())
    story.say(700, "run", "drained", ok=False, left={"outbox": 1})
    assert judge(story.history, p.at_least_once()).validity == "unknown"
    assert judge(story.history, p.at_least_once(accounting=True)).validity == "invalid"


def test_effects_that_nobody_records_do_not_look_like_losses() -> None:
    story = accepted()
    story.say(20, "worker-1", "started", task="t1", name=TASK)
    story.say(30, "worker-1", "ended", task="t1", name=TASK, state="SUCCESS")
    story.say(700, "run", "drained", ok=True)
    verdict = judge(story.history, p.at_least_once())
    assert (verdict.validity, 'proof="ended"' in verdict.why) == ("unknown", True)
    assert judge(story.history, p.at_least_once(proof="ended")).validity == "valid"


@pytest.mark.parametrize("promise", [p.at_least_once(), p.effectively_once(), p.recovers(within="1s")], ids=str)
def test_a_load_of_which_every_task_fails_shows_nothing_good(promise: Promise) -> None:
    """A TypeError each time, and nobody was told: failing is not finishing."""
    story = Story()
    story.fault(1, 5)
    for n in (1, 2):
        story.say(10 * n, "client", "invoke", f"op-{n}", f"op-{n}", op="submit", name=TASK)
        story.say(10 * n + 1, "client", "ok", f"op-{n}", f"op-{n}", op="submit", name=TASK)
        story.say(10 * n + 5, "worker-1", "started", task=f"op-{n}", name=TASK)
        story.say(10 * n + 6, "worker-1", "failed", task=f"op-{n}", name=TASK, error="TypeError")
        story.say(10 * n + 7, "worker-1", "ended", task=f"op-{n}", name=TASK, state="FAILURE")
    story.sample(500)
    story.say(600, "run", "drained", ok=True)
    verdict = judge(story.history, promise)
    assert verdict.validity == "invalid"
    expected = ("failed", "Operation op-1 was acknowledged and failed with TypeError; no client was told.")
    nothing = "nothing took effect in this trial, so it shows nothing; 2 of 2 operations failed: 2 with TypeError"
    if promise.name == "recovers":
        never = "Operation op-1, invoked after the last fault had healed, was not done, and the queues are empty."
        expected, nothing = ("unrecovered", never), "nothing was done after the last fault had healed"
    assert {anomaly.kind for anomaly in verdict.anomalies} == {expected[0]}
    assert verdict.anomalies[0].sentence == expected[1]
    told = [Event(700 * MS, "client", "read", f"op-{n}", f"op-{n}", data={"state": "FAILURE"}) for n in (1, 2)]
    verdict = judge(History([*story.history, *told]), promise)
    assert (verdict.validity, verdict.why) == ("unknown", nothing)


def unrecovered(ok: bool, seconds: float, busy: float) -> History:
    """One job is done before the fault; the one after it has healed never is. Times of the drain are seconds."""
    story = accepted()
    story.run(20, "t1", key="op-1")
    story.fault(100, 200)
    story.post(300, "op-2", "t2")
    story.sample(29_000, **({} if ok else {"t2": "unacked"}))
    story.say(30_500, "run", "drained", ok=ok, left="op-2", seconds=seconds, busy=busy)
    return story.history


@pytest.mark.parametrize(
    ("history", "within", "how"),
    [
        (unrecovered(ok=True, seconds=5.0, busy=0.0), "130s", "was not done, and the queues are empty"),
        (unrecovered(ok=False, seconds=30.0, busy=20.0), "9s", "was not done in a drain of 10 s; the limit is 9 s"),
    ],
    ids=["drained", "measured by the drain"],
)
def test_what_never_recovers_is_invalid_when_the_drain_makes_it_sure(history: History, within: str, how: str) -> None:
    """However long the limit is, and however busy the machine was by what the other witness tells."""
    busy = Event(30_400 * MS, "run", "waited", data={"since": 400 * MS, "ms": {"worker-1": 29_900}})
    for told in (history, History([*history, busy])):
        (anomaly,) = judge(told, p.recovers(within=within)).anomalies
        assert (anomaly.kind, anomaly.key) == ("unrecovered", "op-2")
        assert anomaly.sentence == f"Operation op-2, invoked after the last fault had healed, {how}."
        assert judge(History(anomaly.witness), p.recovers(within=within)).anomalies == (anomaly,)


def test_a_drain_that_was_shorter_than_the_limit_shows_no_recovery_and_no_lack_of_it() -> None:
    history = unrecovered(ok=False, seconds=30.0, busy=20.0)
    assert judge(history, p.recovers(within="40s")).validity == "unknown"


def test_recovery_without_recorded_effects_asks_for_another_proof() -> None:
    story = Story()
    story.fault(1, 5)
    story.post(10, "op-1", "t1")
    story.say(20, "worker-1", "started", task="t1", name=TASK)
    story.say(30, "worker-1", "ended", task="t1", name=TASK, state="SUCCESS")
    story.say(700, "run", "drained", ok=True)
    verdict = judge(story.history, p.recovers(within="1s"))
    assert (verdict.validity, 'proof="ended"' in verdict.why) == ("unknown", True)
    assert judge(story.history, p.recovers(within="1s", proof="ended")).validity == "valid"


def test_a_drain_says_what_is_left() -> None:
    story = looked(accepted(), t1="unacked")
    story.say(700, "run", "drained", ok=False, left={"unacked": 1})
    (anomaly,) = judge(story.history, p.drained()).anomalies
    assert anomaly.sentence == "Work was left when the drain ended: 1 in unacked."
    (stuck,) = judge(story.history, p.nothing_stuck()).anomalies
    assert stuck.sentence == "When the drain ended, operation op-1 was still in unacked."


def test_a_dead_worker_runs_nothing() -> None:
    """It began the task and died: the report says so, and not that the task was still running there."""
    story = accepted()
    story.say(400, "worker-1", "started", task="t1", name=TASK)
    story.say(450, "worker-1", "exit", code=-9)
    looked(story)
    story.say(700, "run", "drained", ok=False, left="op-1")
    (stuck,) = judge(story.history, p.nothing_stuck()).anomalies
    assert "had been started on worker-1, and this process had ended" in stuck.sentence
    assert "still running" not in stuck.sentence


def test_what_is_stuck_elsewhere_does_not_hide_a_loss() -> None:
    """One message lies in unacked for ever, so the drain does not end; the other job has been nowhere all the time."""
    story = accepted()
    story.post(20, "op-2", "t2")
    for n in range(1, 20):
        story.sample(200 * n, t1="unacked")
    story.say(3900, "run", "drained", ok=False, left="op-1, op-2", recovery=2.0)
    (lost_one,) = judge(story.history, p.at_least_once()).anomalies
    assert (lost_one.kind, lost_one.key) == ("lost", "op-2")
    story.deliver(1500, "t2")  # it came back once, less than the application's recovery ago
    assert judge(story.history, p.at_least_once()).validity == "unknown"


def test_a_task_that_had_expired_is_not_nowhere() -> None:
    """Other work is stuck, and this task was dropped before it began, which nobody read: it is not lost."""
    story = accepted()
    story.post(20, "op-2", "t2")
    story.say(100, "worker-1", "revoked", task="t2", expired=True)
    for n in range(1, 20):
        story.sample(200 * n, t1="unacked")
    story.say(3900, "run", "drained", ok=False, left="op-1, op-2", recovery=2.0)
    assert judge(story.history, p.at_least_once()).validity == "unknown"


def recorded(answer: str, status: int | None) -> Story:
    """A job that the application's own store has, and that never came into a queue."""
    story = Story()
    story.say(5, "api", "ready")
    story.post(10, "op-1", "t1")
    story.run(20, "t1", key="op-1")
    story.post(30, "op-2", "t2", answer, status)
    story.say(35, "store", "accepted", "op-2", "t2")
    story.sample(900)
    story.say(1000, "run", "drained", ok=True, left="op-2")
    return story


def test_a_record_without_a_message_is_a_loss_although_no_client_was_answered() -> None:
    story = recorded("info", None)
    for promise in (p.at_least_once(), p.effectively_once()):
        (anomaly,) = judge(story.history, promise).anomalies
        assert (anomaly.kind, anomaly.key, anomaly.task) == ("lost", "op-2", "t2")
        assert "was accepted by the application's own store and is lost" in anomaly.sentence
    unrecorded = History(event for event in story.history if event.kind != "accepted")
    assert judge(unrecorded, p.at_least_once()).validity == "valid"  # nobody knows more than the client
    story.run(500, "t2", key="op-2")
    assert judge(story.history, p.at_least_once()).validity == "valid"


def test_a_job_that_the_application_took_back_obliges_to_nothing() -> None:
    """The route committed the row, could not publish, deleted the row and answered 503."""
    story = recorded("fail", 503)
    assert judge(story.history, p.at_least_once()).validity == "invalid"
    story.say(1100, "store", "withdrawn", "op-2", "t2")
    assert judge(story.history, p.at_least_once()).validity == "valid"
    told = recorded("ok", 202)
    told.say(1100, "store", "withdrawn", "op-2", "t2")
    assert judge(told.history, p.at_least_once()).validity == "invalid", "its client was told that it is accepted"


def test_a_store_that_could_not_be_read_again_proves_no_loss() -> None:
    story = recorded("info", None)
    story.say(1100, "store", "unreadable")
    verdict = judge(story.history, p.at_least_once())
    assert (verdict.validity, verdict.anomalies) == ("unknown", ())
    assert "could not be read again" in verdict.why


def test_a_job_that_was_accepted_after_the_drain_is_not_lost() -> None:
    """The API stood still until the drain was over, and did then what its client had given up."""
    story = Story()
    story.post(10, "op-1", "t1")
    story.run(20, "t1", key="op-1")
    story.post(30, "op-2", "t2", "info", None)
    story.sample(900)
    story.say(1000, "run", "drained", ok=True, left="")
    story.say(1400, "store", "accepted", "op-2", "t2")
    story.deliver(1450, "t2")
    verdict = judge(story.history, p.at_least_once())
    assert (verdict.validity, verdict.anomalies) == ("unknown", ())


def test_a_failure_whose_status_the_api_did_not_tell_is_unknown() -> None:
    """Perhaps its client can read it very well."""
    story = Story()
    story.post(10, "op-1", "t1")
    story.run(20, "t1", key="op-1")
    story.post(30, "op-2", "t2")
    story.say(50, "worker-1", "failed", task="t2", error="OSError")
    story.say(1000, "run", "drained", ok=True, left="")
    assert [anomaly.kind for anomaly in judge(story.history, p.at_least_once()).anomalies] == ["failed"]
    story.say(1100, "run", "unread", "op-2", "t2")
    verdict = judge(story.history, p.at_least_once())
    assert (verdict.validity, verdict.anomalies) == ("unknown", ())


def test_an_answer_is_worth_more_than_a_record() -> None:
    """What was acknowledged is called so, and what was refused is accepted all the same when the store says so."""
    (acknowledged,) = judge(recorded("ok", 202).history, p.at_least_once()).anomalies
    assert "was acknowledged and is lost" in acknowledged.sentence
    (refused,) = judge(recorded("fail", 409).history, p.at_least_once()).anomalies
    assert refused.key == "op-2"
    assert not recorded("fail", 409).history.ops["op-2"].refused


def told_last(state: str, at: float = 2000) -> History:
    """Two jobs whose effects are done and which everybody else has forgotten; the second says this after the drain."""
    story = Story()
    for n in (1, 2):
        story.post(10 * n, f"op-{n}", f"t{n}")
        story.run(100 * n, f"t{n}", key=f"op-{n}")
    story.say(900, "client", "read", "op-2", "t2", state="SUCCESS")
    story.sample(1500)
    story.say(1600, "run", "drained", ok=True, left="")
    story.say(1700, "client", "read", "op-1", "t1", state="SUCCESS")
    if state:
        story.say(at, "client", "read", "op-2", "t2", state=state)
    return story.history


@pytest.mark.parametrize("state", ["STARTED", "running", "RETRY", "PENDING", "queued"])
def test_a_status_that_never_becomes_final_is_stuck_although_the_work_is_done(state: str) -> None:
    """Whatever the application calls it, and although the status was final once."""
    (anomaly,) = judge(told_last(state), p.nothing_stuck()).anomalies
    assert (anomaly.kind, anomaly.key) == ("stuck", "op-2")
    assert f"was done, but its status was still {state.upper()}" in anomaly.sentence


@pytest.mark.parametrize("state", ["SUCCESS", "done", "FAILURE", "SHIPPED", ""])
def test_a_last_status_that_is_final_or_strange_or_was_never_told_is_not_stuck(state: str) -> None:
    """An application without a status path tells none; a state that is the application's own says nothing."""
    assert judge(told_last(state), p.nothing_stuck()).validity == "valid"


def test_a_result_that_may_be_forgotten_is_pending_again_and_never_started() -> None:
    """The work was over at 240 ms and the status is read at 2000 ms."""
    cases: tuple[tuple[str, Duration, str], ...] = (
        ("PENDING", "1s", "valid"),
        ("PENDING", "1760ms", "valid"),
        ("PENDING", "2s", "invalid"),
        ("PENDING", 0, "valid"),
        ("STARTED", 0, "invalid"),
    )
    for state, expires, validity in cases:
        assert judge(told_last(state), p.nothing_stuck(expires=expires)).validity == validity, (state, expires)


def test_a_last_status_that_the_api_did_not_tell_is_unknown() -> None:
    """It did not answer: the job may say STARTED for ever. Of work that is not done this shows nothing."""
    unread = Event(2500 * MS, "run", "unread", "op-2", "t2")
    verdict = judge(History([*told_last(""), unread]), p.nothing_stuck())
    assert verdict.validity == "unknown"
    assert verdict.why == "the API did not tell the last status of 1 finished operations"
    story = recorded("ok", 202)
    story.say(1100, "run", "unread", "op-2", "t2")
    assert judge(story.history, p.nothing_stuck()).validity == "valid"


def test_a_status_that_could_not_be_read_is_no_sign_of_life() -> None:
    story = accepted()
    story.post(20, "op-2", "t2")
    for n in range(1, 20):
        story.sample(200 * n, t1="unacked")
    story.say(3900, "run", "drained", ok=False, left="op-1, op-2", recovery=2.0)
    story.say(9000, "run", "unread", "op-2", "t2")
    (lost_one,) = judge(story.history, p.at_least_once()).anomalies
    assert (lost_one.kind, lost_one.key) == ("lost", "op-2")
