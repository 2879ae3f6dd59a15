"""The API's publisher: bounded, never waited for, and survived by every job."""

import queue
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from system.celery_app import App, make_celery
from system.job import Job, Request, State
from system.publisher import CAPACITY, TOGETHER, Publisher, send
from system.settings import Settings
from tests.unit.clock import rows
from tests.unit.conftest import Broker

LONG = 3_600.0


AT = 7.5  # s since the epoch


def unnoted(_ids: object) -> None:
    """What is sent is noted nowhere."""


def numbered(number: int) -> Job:
    return Job(str(number), "t", (), State.PENDING, attempts=0)


def test_it_takes_so_many_and_refuses_the_next_without_waiting() -> None:
    publisher = Publisher(lambda _job: AT, unnoted, LONG)
    assert all(publisher.offer(numbered(number)) for number in range(CAPACITY))
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(publisher.offer(numbered(CAPACITY))), daemon=True)
    asking.start()
    asking.join(10)  # for ever, if it waited for room
    assert answers == [False]
    assert not publisher.stop(0.01)


def test_it_goes_on_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    sent: queue.Queue[str] = queue.Queue()

    def sends(job: Job) -> float:
        if int(job.id) < 5:
            raise RuntimeError("no")
        sent.put(job.id)
        return AT

    publisher = Publisher(sends, unnoted, LONG)
    for number in range(10):
        publisher.offer(numbered(number))
    publisher.start()
    assert publisher.stop(10)
    assert sorted(sent.queue) == list("56789")
    assert caplog.text.count("the relay will publish it") == 5


def test_what_the_relay_may_have_by_now_is_skipped() -> None:
    sent: list[Job] = []

    def sends(job: Job) -> float:
        sent.append(job)
        return AT

    publisher = Publisher(sends, unnoted, lease=0)
    publisher.offer(numbered(1))
    publisher.start()
    assert publisher.stop(10)
    assert sent == []


def test_nothing_is_noted_when_nothing_was_sent() -> None:
    noted: list[object] = []
    publisher = Publisher(lambda _job: AT, noted.append, LONG)
    publisher.start()
    assert publisher.stop(10)
    assert noted == []


def test_stopping_publishes_what_waits() -> None:
    sent: queue.Queue[str] = queue.Queue()

    def sends(job: Job) -> float:
        sent.put(job.id)
        return AT

    publisher = Publisher(sends, unnoted, LONG)
    for number in range(50):
        assert publisher.offer(numbered(number))
    publisher.start()
    assert publisher.stop(10)
    assert {*sent.queue} == {str(number) for number in range(50)}


def test_stopping_is_bounded_when_the_broker_hangs() -> None:
    hangs, released = threading.Event(), threading.Event()

    def sends(_job: Job) -> float:
        hangs.set()
        released.wait(30)
        return AT

    publisher = Publisher(sends, unnoted, LONG)
    publisher.start()
    publisher.offer(numbered(1))
    assert hangs.wait(10)
    assert publisher.offer(numbered(2))
    assert not publisher.stop(0.01)
    released.set()
    assert publisher.stop(10)


def test_what_waits_together_is_noted_together() -> None:
    """One transaction for so many, and none for what was not sent."""
    noted: list[dict[str, float]] = []
    holding, released = threading.Event(), threading.Event()

    def sends(job: Job) -> float:
        if job.id == "0":
            holding.set()
            released.wait(30)
        if job.id == "1":
            raise RuntimeError("no")
        return AT + int(job.id)

    publisher = Publisher(sends, lambda sent: noted.append(dict(sent)), LONG)
    for number in range(TOGETHER + 3):
        publisher.offer(numbered(number))
    publisher.start()
    assert holding.wait(10)
    released.set()
    assert publisher.stop(10)
    assert sorted(int(job) for jobs in noted for job in jobs) == [0, *range(2, TOGETHER + 3)]
    assert all(at == AT + int(job) for jobs in noted for job, at in jobs.items()), "each with its own time"
    assert len(noted) <= 2 * 2 + 1


def test_a_note_that_fails_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[str] = []

    def fails(ids: Mapping[str, float]) -> None:
        tried.extend(ids)
        raise RuntimeError("no")

    publisher = Publisher(lambda _job: AT, fails, LONG)
    publisher.start()
    for number in range(10):
        publisher.offer(numbered(number))
    assert publisher.stop(10)
    assert sorted(tried) == [str(number) for number in range(10)]
    assert "the relay may publish them again" in caplog.text


@pytest.fixture
def celery(config: Settings, broker: Broker) -> App:
    """An application with a broker in memory."""
    celery = make_celery(config)
    broker.serve(celery)
    return celery


def test_a_message_has_the_jobs_name_on_it(celery: App, broker: Broker, config: Settings) -> None:
    job, _ = celery.store.accept(Request("system.divide", (1, 2)))
    send(celery, job)
    ((queue_name, message),) = broker.sent
    headers: dict[str, Any] = message["headers"]
    assert queue_name == "celery"
    assert (headers["id"], headers["task"], headers["retries"]) == (job.id, "system.divide", 0)
    assert headers["ignore_result"] is True
    assert [row["publishes"] for row in rows(config, "outbox")] == [0], "who sends notes it, for many at once"


@pytest.mark.parametrize(("attempts", "retries"), [(0, 0), (1, 0), (2, 1), (5, 4)])
def test_published_again_it_is_the_same_attempt(celery: App, broker: Broker, attempts: int, retries: int) -> None:
    job, _ = celery.store.accept(Request("system.divide", (1, 2)))
    send(celery, Job(job.id, job.task, job.args, State.RETRY, attempts))
    assert broker.sent[0][1]["headers"]["retries"] == retries


def test_without_a_broker_it_tries_once_and_notes_nothing(celery: App, broker: Broker, config: Settings) -> None:
    broker.down = True
    job, _ = celery.store.accept(Request("system.divide", (1, 2)))
    (before,) = rows(config, "outbox")
    with pytest.raises(OperationalError):
        send(celery, job)
    assert broker.tried.qsize() == 1
    assert rows(config, "outbox") == [before]


def test_a_result_backend_is_not_asked(celery: App, broker: Broker) -> None:
    """The layer's rule would fail this test: Celery subscribes to results of a task whose result is not ignored."""
    job, _ = celery.store.accept(Request("system.process_data", ({},)))
    send(celery, job)
    assert broker.ids == [job.id]
