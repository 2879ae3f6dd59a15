"""The relay: what is due is published, an outage is waited out, one bad job does not hold up the others."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from kombu.exceptions import OperationalError
from sqlalchemy import update

from system.celery_app import App, make_celery
from system.database import Database
from system.job import LOCAL, Reason, Request, now
from system.relay import BATCH, queue_of, run, sweep
from system.rows import due_jobs
from system.settings import Settings
from system.store import Store
from system.tables import outbox
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
    """Two jobs were published. When the second one is the oldest in the queue, somebody has taken the first one."""
    first, second = submit(celery, 2)
    let_pass(config, config.publish_lease)
    assert sweep(celery) == 2
    let_pass(config, config.queue_patience)
    published: dict[str, float] = {row["job_id"]: row["published_at"] for row in rows(config, "outbox")}
    asked: list[str] = []

    def oldest(queue: str) -> float:
        asked.append(queue)
        return published[second] - 1e-6

    with Database(config.store_url).write() as connection:
        connection.execute(update(outbox).where(outbox.c.job_id == first).values(published_at=published[second] - 1))
    assert (sweep(celery, oldest), broker.ids[2:], asked) == (2, [first], ["celery"])
    assert sweep(celery, oldest) == 0, "it is looked at again after the patience"
    let_pass(config, config.queue_patience)
    assert (sweep(celery), broker.ids[3:]) == (1, [second])


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


def test_each_task_has_its_queue(celery: App) -> None:
    ids = [submit(celery, 1, task)[0] for task in ("system.divide", "system.fibonacci", "no.such.task")]
    jobs = [celery.store.job(job_id) for job_id in ids]
    assert [queue_of(celery, job) for job in jobs if job] == ["celery", "cpu", "celery"]


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
        others = [row.id for row in connection.execute(due_jobs(now(), 4))]
        assert len(others) == 4
        assert sorted(job.id for job in celery.store.claim(100)) == sorted(set(ids) - set(others))
    database.close()
