"""Retries: Celery's backoff formula, a last attempt, and a next attempt that is arranged before this one ends."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject, Retry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from system.celery_app import App, make_celery
from system.durable import app_of, durable
from system.job import LOCAL, Job, Reason, Request, State
from system.publisher import send
from system.settings import Settings
from system.work import ServiceBusy
from tests.unit.clock import rows
from tests.unit.conftest import Broker

Configure = Callable[..., Settings]
with_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)


@durable("test.flaky", transient=(ServiceBusy,))
def flaky(task: Any, failures: int) -> int:
    """Fails a number of times, then answers how often it was called."""
    if task.request.retries < failures:
        raise ServiceBusy("later")
    return int(task.request.retries + 1)


@durable("test.overtaken", transient=(ServiceBusy,))
def overtaken(task: Any, ended: int) -> None:
    """Fails after another delivery of the same attempt has failed, or has finished the job."""
    store = app_of(task).store
    assert store.finish(task.request.id, "t", 0) if ended else store.retry(task.request.id, 1, 5)
    raise ServiceBusy("later")


def prepared(settings: Settings) -> App:
    app = make_celery(settings)
    app.store.create()
    return app


def accepted(app: App, failures: int, task: str = "test.flaky") -> str:
    return app.store.accept(Request(task, (failures,)))[0].id


def job(app: App, job_id: str) -> Job:
    found = app.store.job(job_id)
    assert found is not None
    return found


def attempt(app: App, job_id: str, retries: int, failures: int, name: str = "test.flaky") -> Any:
    """Run one attempt as a worker does, not eagerly: what is retried goes to the broker."""
    task: Any = app.tasks[name]
    task.push_request(
        id=job_id, retries=retries, args=[failures], kwargs={}, called_directly=False, is_eager=False, delivery_info={},
        ignore_result=True,
    )  # fmt: skip
    try:
        return task.run(failures)
    finally:
        task.pop_request()


@with_fixtures
@given(retries=st.integers(0, 29), maximum=st.integers(1, 60))
def test_the_countdown_is_celerys_formula(configure: Configure, broker: Broker, retries: int, maximum: int) -> None:
    app = prepared(configure(max_retries=30, backoff_max=maximum, queue_patience=1_000))
    broker.serve(app)
    job_id = accepted(app, 99)
    before = time.time()
    with pytest.raises(Retry) as caught:
        attempt(app, job_id, retries, 99)
    countdown = caught.value.when
    assert isinstance(countdown, int)
    assert 0 <= countdown <= min(maximum, 2**retries)
    headers = broker.sent[-1][1]["headers"]
    assert (headers["id"], headers["retries"], headers["ignore_result"]) == (job_id, retries + 1, True)
    assert headers["eta"]
    assert (job(app, job_id).state, job(app, job_id).attempts) == (State.RETRY, retries + 2)
    (due,) = [row["due"] for row in rows(app.settings, "outbox") if row["job_id"] == job_id]
    assert before <= due - countdown - 1_000 <= time.time()


def test_the_countdown_has_jitter(configure: Configure, broker: Broker) -> None:
    app = prepared(configure(backoff_max=50, max_retries=10))
    broker.serve(app)
    seen = set()
    for _ in range(20):
        with pytest.raises(Retry) as caught:
            attempt(app, accepted(app, 99), 9, 99)
        seen.add(caught.value.when)
    assert len(seen) > 3  # of 51; otherwise the clients of a service that was down come back all at once


@with_fixtures
@given(failures=st.integers(0, 4), allowed=st.integers(0, 3))
def test_attempts_are_bounded(configure: Configure, failures: int, allowed: int) -> None:
    app = prepared(configure(max_retries=allowed))
    app.conf.task_always_eager = True
    job_id = accepted(app, failures)
    app.tasks["test.flaky"].apply_async((failures,), task_id=job_id)
    end = job(app, job_id)
    if failures <= allowed:
        assert (end.state, end.result, end.attempts) == (State.SUCCESS, failures + 1, failures + 1)
    else:
        assert (end.state, end.attempts) == (State.FAILURE, allowed + 1)
        assert end.error == {"type": "ServiceBusy", "message": "later"}
    effects = [row for row in rows(app.settings, "effects") if row["key"] == job_id]
    assert len(effects) == (end.state == State.SUCCESS)


@with_fixtures
@given(allowed=st.integers(0, 3), more=st.integers(1, 5))
def test_a_dead_letter_that_is_driven_again_has_all_its_attempts(configure: Configure, allowed: int, more: int) -> None:
    app = prepared(configure(max_retries=allowed))
    app.conf.task_always_eager = True
    job_id = accepted(app, allowed + more)
    app.tasks["test.flaky"].apply_async((allowed + more,), task_id=job_id)
    (letter,) = app.store.dead_letters.page(LOCAL, 10)
    assert (letter.job_id, letter.reason, letter.attempts) == (job_id, Reason.RETRIES, allowed + 1)
    assert app.store.dead_letters.redrive(LOCAL, job_id)
    assert not app.store.dead_letters.redrive(LOCAL, job_id), "once"
    send(app, job(app, job_id))
    end = job(app, job_id)
    if more <= allowed + 1:
        assert (end.state, end.attempts, end.error) == (State.SUCCESS, allowed + more + 1, None)
        assert app.store.dead_letters.page(LOCAL, 10) == []
    else:
        assert (end.state, end.attempts) == (State.FAILURE, 2 * (allowed + 1))
    app.store.dead_letters.redrive(LOCAL, job_id)  # the store has one database for all examples


def test_a_second_delivery_of_an_attempt_starts_no_second_chain(config: Settings, broker: Broker) -> None:
    app = prepared(config)
    broker.serve(app)
    job_id = accepted(app, 99)
    with pytest.raises(Retry):
        attempt(app, job_id, 0, 99)
    with pytest.raises(Ignore):
        attempt(app, job_id, 0, 99)
    assert broker.ids == [job_id]


@pytest.mark.parametrize("ended", [0, 1])
def test_an_attempt_that_was_overtaken_sends_nothing(config: Settings, broker: Broker, ended: int) -> None:
    app = prepared(config)
    broker.serve(app)
    job_id = accepted(app, ended, "test.overtaken")
    with pytest.raises(Ignore):
        attempt(app, job_id, 0, ended, "test.overtaken")
    assert broker.sent == []
    assert job(app, job_id).state == (State.SUCCESS if ended else State.RETRY)


def test_a_finished_job_runs_no_more(config: Settings, broker: Broker) -> None:
    app = prepared(config)
    broker.serve(app)
    job_id = accepted(app, 0)
    assert attempt(app, job_id, 0, 0) is None, "the result is for the store, not for Celery's log"
    assert job(app, job_id).result == 1
    with pytest.raises(Ignore):
        attempt(app, job_id, 0, 0)
    assert len(rows(config, "effects")) == 1


def test_a_retry_that_can_not_be_sent_is_left_to_the_relay(config: Settings, broker: Broker) -> None:
    app = prepared(config)
    broker.serve(app)
    broker.down = True
    job_id = accepted(app, 99)
    with pytest.raises(Reject):
        attempt(app, job_id, 0, 99)
    assert (job(app, job_id).state, job(app, job_id).attempts) == (State.RETRY, 2)
    assert [row["job_id"] for row in rows(config, "outbox")] == [job_id]


def test_what_is_not_transient_fails_at_once(config: Settings) -> None:
    app = prepared(config)
    app.conf.task_always_eager = True
    job_id = app.store.accept(Request("system.divide", (1, 0)))[0].id
    app.tasks["system.divide"].apply_async((1, 0), task_id=job_id)
    assert (job(app, job_id).state, job(app, job_id).attempts) == (State.FAILURE, 1)


def test_a_task_sent_by_its_name_runs_and_its_effect_is_recorded_once(config: Settings, broker: Broker) -> None:
    app = prepared(config)
    broker.serve(app)
    assert [attempt(app, "by-name", 0, 0), attempt(app, "by-name", 0, 0)] == [1, 1]
    assert [row["key"] for row in rows(config, "effects")] == ["by-name"]
