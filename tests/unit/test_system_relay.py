"""The relay: what is due is published, an outage is waited out, one bad job does not hold up the others."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery.app.task import Context
from celery.exceptions import Retry
from kombu.exceptions import OperationalError
from redis.exceptions import NoPermissionError

from system.celery_app import App, make_celery
from system.database import Database
from system.durable import _retry
from system.job import LOCAL, Reason, Request, now
from system.publisher import send
from system.relay import BATCH, run, sweep
from system.rows import DUE
from system.settings import Settings
from system.store import Store
from system.work import ServiceBusy
from tests.conftest import ON_POSTGRES
from tests.unit.clock import let_pass, rows
from tests.unit.conftest import Broker


@pytest.fixture
def config(configure: Callable[..., Settings]) -> Settings:
    """Leases that end only when a test lets the time pass."""
    return configure(publish_lease=3_600, queue_patience=7_200)


@pytest.fixture
def celery(config: Settings, broker: Broker) -> App:
    """An application with a broker in memory and an open store."""
    celery = make_celery(config)
    broker.serve(celery)
    celery.store.create()
    return celery


def submit(celery: App, count: int, task: str = "system.divide") -> list[str]:
    return [celery.store.accept(Request(task, (1, 2)))[0].id for _ in range(count)]


def test_the_apis_lease_is_respected(celery: App, broker: Broker, config: Settings) -> None:
    ids = submit(celery, 2)
    assert (sweep(celery), broker.sent) == (0, [])
    let_pass(config, config.publish_lease)
    assert (sweep(celery), broker.ids) == (2, ids)
    assert sweep(celery) == 0


def test_the_oldest_come_first_in_batches(celery: App, broker: Broker, config: Settings) -> None:
    ids = submit(celery, BATCH + 1)
    let_pass(config, config.publish_lease)
    assert [sweep(celery), sweep(celery), sweep(celery)] == [BATCH, 1, 0]
    assert broker.ids == ids


def test_an_outage_leaves_leases_that_run_out(celery: App, broker: Broker, config: Settings) -> None:
    ids = submit(celery, 3)
    let_pass(config, config.publish_lease)
    broker.down = True
    with pytest.raises(OperationalError):
        sweep(celery)
    assert broker.tried.qsize() == 1, "one refusal is enough to know"
    broker.down = False
    assert sweep(celery) == 0
    let_pass(config, config.publish_lease)
    assert (sweep(celery), sorted(broker.ids)) == (3, sorted(ids))


def test_one_bad_job_does_not_hold_up_the_others(
    celery: App, broker: Broker, config: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    (bad,), good = submit(celery, 1, "no.such.task"), submit(celery, 2)
    let_pass(config, config.publish_lease)
    assert sweep(celery) == 3
    assert broker.ids == good
    assert f"job {bad} (no.such.task) can't be published" in caplog.text
    assert {row["job_id"] for row in rows(config, "outbox")} == {bad, *good}


def test_a_task_that_nobody_knows_is_tried_later_each_time_and_is_a_dead_letter_in_the_end(
    celery: App, broker: Broker, config: Settings
) -> None:
    """During a rolling deploy another relay or worker may know the task."""
    (bad,) = submit(celery, 1, "no.such.task")
    let_pass(config, config.publish_lease)
    for record in range(config.max_starts):
        assert sweep(celery) == 1
        let_pass(config, config.queue_patience * 2 ** min(record, 4) - 1)
        assert sweep(celery) == 0
        let_pass(config, 2)
    assert celery.store.dead_letters.page(LOCAL, 1) == []
    assert sweep(celery) == 1
    (letter,) = celery.store.dead_letters.page(LOCAL, 1)
    assert (letter.job_id, letter.reason, letter.error["type"]) == (bad, Reason.UNKNOWN_TASK, "UnknownTask")
    assert (broker.sent, rows(config, "outbox")) == ([], [])


def test_a_job_without_progress_is_published_again_later_each_time(
    celery: App, broker: Broker, config: Settings
) -> None:
    submit(celery, 1)
    let_pass(config, config.publish_lease)
    for publishes in range(7):
        assert sweep(celery) == 1
        let_pass(config, 0.9 * config.queue_patience * 2 ** min(publishes, 4))
        assert sweep(celery) == 0
        let_pass(config, 0.1 * config.queue_patience * 2 ** min(publishes, 4))
    assert len(set(broker.ids)) == 1


def test_a_message_that_may_still_wait_is_not_published_again(celery: App, broker: Broker, config: Settings) -> None:
    """Two jobs were published, one after the other. When the second one is the oldest message in the queue, somebody
    has taken the first one."""
    (first,) = submit(celery, 1)
    let_pass(config, config.publish_lease)
    assert sweep(celery) == 1
    (second,) = submit(celery, 1)
    let_pass(config, config.publish_lease)
    assert (sweep(celery), broker.ids) == (1, [first, second])
    let_pass(config, config.queue_patience)
    published = {row["job_id"]: row["published_at"] for row in rows(config, "outbox")}
    assert published[first] < published[second]
    asked: list[str] = []

    def oldest(queue: str) -> float:
        asked.append(queue)
        return float(published[second])

    assert (sweep(celery, oldest), broker.ids[2:], asked) == (2, [first], ["celery"])
    assert sweep(celery, oldest) == 0, "it is looked at again after the patience"
    let_pass(config, 1.1 * config.queue_patience)
    assert (sweep(celery), broker.ids[3:]) == (1, [second])


def test_messages_that_are_noted_together_have_the_time_of_the_newest(celery: App, broker: Broker) -> None:
    """So all of them are taken for messages that wait, as long as the newest one waits."""
    first, second = submit(celery, 2)
    celery.store.published({first: 5.0, second: 4.0})
    assert {row["published_at"] for row in rows(celery.settings, "outbox")} == {5.0}


@pytest.mark.parametrize(("waited", "patiences"), [(1, 1), (2.5, 2.5), (40, 16)])
def test_a_job_is_looked_at_again_when_it_has_waited_twice_as_long(
    celery: App, broker: Broker, config: Settings, waited: float, patiences: float
) -> None:
    """A look is a transaction, and a long queue has many jobs. But what waits may get lost with its queue."""
    (job,) = submit(celery, 1)
    let_pass(config, config.publish_lease)
    assert sweep(celery) == 1
    let_pass(config, waited * config.queue_patience)
    assert sweep(celery, lambda _: 0.5) == 1
    let_pass(config, 0.99 * patiences * config.queue_patience)
    assert sweep(celery) == 0
    let_pass(config, 0.02 * patiences * config.queue_patience)
    assert (sweep(celery), broker.ids) == (1, [job, job])


@pytest.mark.parametrize("retried", [False, True])
def test_a_job_that_is_taken_during_the_look_keeps_its_lease(celery: App, config: Settings, retried: bool) -> None:
    lease = 20 * config.queue_patience if retried else config.run_lease
    (job,) = submit(celery, 1)
    let_pass(config, config.publish_lease)
    assert sweep(celery) == 1
    let_pass(config, config.queue_patience)

    def taken(_queue: str) -> float:
        celery.store.start(job, 1)
        if retried:
            celery.store.retry(job, 1, 19 * config.queue_patience)
        return 0.5

    before = now()
    assert sweep(celery, taken) == 1
    (entry,) = rows(config, "outbox")
    assert entry["due"] >= before + lease


def test_a_sweep_looks_at_each_queue_once_and_at_none_without_a_broker(
    celery: App, broker: Broker, config: Settings
) -> None:
    tasks = ("system.divide", "system.fibonacci", "system.process_data")
    for task in tasks:
        submit(celery, 1, task)
    let_pass(config, config.publish_lease)
    assert sweep(celery) == len(tasks)
    asked: list[str] = []

    def oldest(queue: str) -> float:
        asked.append(queue)
        return 0.5

    let_pass(config, config.queue_patience)
    assert (sweep(celery, oldest), sorted(asked)) == (len(tasks), ["celery", "cpu"])
    let_pass(config, 2 * config.queue_patience)

    def away(queue: str) -> float:
        asked.append(queue)
        raise ConnectionError("refused")

    assert (sweep(celery, away), len(asked)) == (len(tasks), 3)


@pytest.mark.parametrize(
    ("error", "again"),
    [(NoPermissionError("NOPERM"), True), (ConnectionError("refused"), False), (TypeError("nonsense"), False)],
    ids=["refused for ever", "away", "nonsense"],
)
def test_a_look_that_fails_holds_up_no_other_job(
    celery: App, broker: Broker, config: Settings, error: Exception, again: bool, caplog: pytest.LogCaptureFixture
) -> None:
    (published,) = submit(celery, 1)
    let_pass(config, config.publish_lease)
    assert sweep(celery) == 1
    let_pass(config, config.queue_patience)
    new = submit(celery, 2)
    let_pass(config, config.publish_lease)

    def oldest(_queue: str) -> float:
        raise error

    assert (sweep(celery, oldest), broker.ids[1:]) == (3, [published] * again + new)
    assert str(error) in caplog.text
    let_pass(config, config.publish_lease)
    assert sweep(celery) == (not again), "soon after, not later"
    assert sorted(broker.ids) == sorted([published, *new, published])


@pytest.mark.parametrize("taken", [False, True])
def test_a_publish_is_noted_with_the_time_in_its_message(
    celery: App, broker: Broker, config: Settings, taken: bool
) -> None:
    """Also when a worker has taken the message before the publisher notes it."""
    (job,) = submit(celery, 1)
    known = celery.store.job(job)
    assert known is not None
    sent = send(celery, known)
    if taken:
        celery.store.start(job, 1)
    celery.store.published({job: sent})
    assert broker.sent[0][1]["headers"]["published_at"] == sent
    assert rows(config, "outbox")[0]["published_at"] == sent


def test_a_retry_says_the_same_in_the_store_and_in_its_message(celery: App, broker: Broker, config: Settings) -> None:
    (job,) = submit(celery, 1, "system.deliver")
    celery.store.start(job, 1)
    task = celery.tasks["system.deliver"]
    old = {"published_at": 1.5, "trace": "the client's"}  # Celery copies the headers of the message that is retried
    options: dict[str, Any] = {"retries": 0, "called_directly": False, "ignore_result": True, "delivery_info": {}}
    task.request_stack.push(Context(id=job, args=[{}], kwargs={}, headers=old, **options))
    with pytest.raises(Retry):
        _retry(task, celery.store, ServiceBusy("busy"), before=0)
    headers = broker.sent[-1][1]["headers"]
    assert (headers["id"], headers["published_at"]) == (job, rows(config, "outbox")[0]["published_at"])
    assert headers["trace"] == "the client's"


def test_a_message_that_is_no_jobs_says_it_too(celery: App, broker: Broker) -> None:
    before = now()
    celery.send_task("system.tick", ignore_result=True)
    assert before <= broker.sent[-1][1]["headers"]["published_at"] <= now()


def test_what_a_worker_has_taken_waits_in_no_queue(celery: App, broker: Broker, config: Settings) -> None:
    (job,) = submit(celery, 1)
    let_pass(config, config.publish_lease)
    assert sweep(celery) == 1
    longest = config.run_lease + 16 * config.queue_patience

    def published_later() -> int:
        before = len(broker.ids)
        let_pass(config, longest)
        assert sweep(celery, lambda _: 0.5) == 1
        return len(broker.ids) - before

    assert published_later() == 0
    assert celery.store.start(job, 1).run
    assert published_later() == 1
    assert celery.store.start(job, 1).run
    assert celery.store.retry(job, 1, countdown=5)
    assert published_later() == 0, "the retry's message waits"
    celery.store.unknown(job)
    assert published_later() == 1


def test_two_at_once_publish_each_job_once(celery: App, broker: Broker, config: Settings) -> None:
    ids = submit(celery, 60)
    let_pass(config, config.publish_lease)
    together = threading.Barrier(2)

    def work(_number: int) -> None:
        together.wait()
        while sweep(celery):
            pass

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, range(2)))
    assert sorted(broker.ids) == sorted(ids)


def test_it_waits_an_outage_out_and_ends_when_told(
    celery: App, broker: Broker, config: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    class Told(threading.Event):
        """Instead of a pause: the outage ends, then the lease, then the relay's time."""

        pauses = 0

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout == config.relay_interval
            self.pauses += 1
            broker.down = False
            let_pass(config, config.publish_lease)
            if self.pauses == 3:
                self.set()
            return self.is_set()

    ids = submit(celery, 1)
    let_pass(config, config.publish_lease)
    broker.down = True
    told = Told()
    with caplog.at_level(logging.WARNING):
        run(celery, told)
    assert (broker.ids, told.pauses) == (ids, 3)
    assert "the relay waits, " in caplog.text
    assert "relay" in celery.store.stats()["seconds_since"]


def test_four_relays_claim_each_job_once(celery: App, config: Settings) -> None:
    """Each has connections of its own, as on another machine, and takes batches until nothing is due."""
    ids = submit(celery, 60)
    let_pass(config, config.publish_lease)
    together = threading.Barrier(4)

    def claimed(_number: int) -> list[str]:
        store, mine = Store(config), list[str]()
        together.wait()
        for _ in range(len(ids)):  # a relay that finds all due rows locked looks again
            mine += [job.id for job in store.claim(7)]
        store.close()
        return mine

    with ThreadPoolExecutor(4) as relays:
        claims = [job_id for mine in relays.map(claimed, range(4)) for job_id in mine]
    assert sorted(claims) == sorted(ids)


@pytest.mark.skipif(not ON_POSTGRES, reason="SQLite has one writer, who waits for his turn")
def test_a_relay_takes_what_no_other_relay_is_claiming(celery: App, config: Settings) -> None:
    ids = submit(celery, 10)
    let_pass(config, config.publish_lease)
    database = Database(config.store_url)
    with database.write() as connection:
        others = [row.id for row in connection.execute(DUE, {"at": now(), "limit": 4})]
        assert len(others) == 4
        assert sorted(job.id for job in celery.store.claim(100)) == sorted(set(ids) - set(others))
    database.close()
