"""The job store's housekeeping: retention, what is counted, processes that start together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update
from sqlalchemy.exc import StatementError

from system import retention
from system.database import Database
from system.job import LOCAL, Reason, Request, State, now
from system.settings import Settings
from system.store import Store
from system.tables import jobs
from tests.unit.clock import let_pass, rows


@pytest.fixture
def store(config: Settings) -> Store:
    """An empty store."""
    store = Store(config)
    store.create()
    return store


def ended(store: Store, key: str | None = None) -> str:
    job_id = store.accept(Request("t", (), key))[0].id
    assert store.finish(job_id, "t", 1)
    return job_id


def test_what_is_past_its_retention_is_dropped_and_nothing_else(store: Store, config: Settings) -> None:
    old, waiting = ended(store, "key"), store.accept(Request("t", (1,)))[0].id
    store.saw("relay")
    store.note("old", "notification")
    let_pass(config, config.retention + 1)
    young = ended(store)
    store.saw("another")
    assert store.tick()
    assert store.job(old) is None
    assert [row["id"] for row in rows(config, "jobs")] == [waiting, young]
    assert [row["key"] for row in rows(config, "applied")] == [young]
    (tick,) = rows(config, "ticks")
    assert [row["key"] for row in rows(config, "effects")] == [young, f"tick@{tick['due']}"]
    assert {row["name"] for row in rows(config, "seen")} == {"another"}
    again, new = store.accept(Request("t", ("another",), "key"))
    assert new
    assert again.id != old


def test_much_that_is_old_is_dropped_in_batches(
    store: Store, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement deletes so many rows at most, and a tick ends after so many transactions; the next one goes on."""
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "BATCHES", 3)
    for _ in range(7):
        ended(store)
    let_pass(config, config.retention + 1)
    assert store.tick()
    assert [len(rows(config, table)) for table in ("jobs", "applied", "effects")] == [1, 1, 1 + 1]
    let_pass(config, config.tick_seconds)
    assert store.tick()
    assert [len(rows(config, table)) for table in ("jobs", "applied", "effects")] == [0, 0, 1 + 1]


def test_just_before_its_retention_is_over_it_is_kept(store: Store, config: Settings) -> None:
    job_id = ended(store)
    let_pass(config, config.retention - 60)
    assert store.tick()
    assert store.job(job_id) is not None


def test_a_job_that_kills_its_workers_is_poison_in_the_end(store: Store, config: Settings) -> None:
    """Whether a process of a worker that lives has told of each death, or the lease of a whole worker ran out."""
    for told in (True, False):
        job_id = store.accept(Request("t", ()))[0].id
        for run in range(config.max_starts + 2):
            assert store.start(job_id, 1).run == (run < config.max_starts)
            if told:
                store.over([job_id])
            else:
                lease_over(config)
        job = store.job(job_id)
        assert job is not None
        error = {"type": "Poison", "message": "started 10 times without an end"}
        assert (job.state, job.error) == (State.FAILURE, error)


def test_a_job_that_kills_whole_workers_is_poison_however_soon_it_comes_again(store: Store, config: Settings) -> None:
    """Nobody tells of the deaths, and each start comes within the lease of the one before."""
    job_id = store.accept(Request("t", ()))[0].id
    for _ in range(2 * config.max_starts + 1):
        if not store.start(job_id, 1).run:
            break
        let_pass(config, config.run_lease - 1)
    job = store.job(job_id)
    assert job is not None
    assert job.state == State.FAILURE


def test_a_death_counts_although_its_worker_was_told_to_end_before_it_was_known(store: Store, config: Settings) -> None:
    """The pool notices a dead process after ten seconds; a supervisor may stop the whole worker meanwhile."""
    job_id = store.accept(Request("t", ()))[0].id
    for run in range(config.max_starts + 1):
        assert store.start(job_id, 1).run == (run < config.max_starts)
        store.over([job_id], excused=True)
        store.over([job_id])


def test_who_is_excused_beside_a_job_that_kills_its_process_forgives_no_death(store: Store, config: Settings) -> None:
    """Of two deliveries at the same time one dies and the other one is stopped, each time."""
    job_id = store.accept(Request("t", ()))[0].id
    for run in range(config.max_starts + 1):
        assert store.start(job_id, 1).run == (run < config.max_starts)
        if run < config.max_starts:
            assert store.start(job_id, 1).run
        store.over([job_id])
        store.over([job_id], excused=True)


def lease_over(config: Settings) -> None:
    """Nobody can be running any more what was started before."""
    let_pass(config, config.run_lease + 1)


def test_starts_beside_a_run_that_may_go_on_prove_nothing(store: Store, config: Settings) -> None:
    """A broker that delivers again and again while the task runs makes no poison of it."""
    job_id = store.accept(Request("t", ()))[0].id
    assert all(store.start(job_id, 1).run for _ in range(3 * config.max_starts))
    assert store.finish(job_id, "t", 1)


def test_a_worker_that_was_told_to_end_proves_nothing(store: Store, config: Settings) -> None:
    """An operator stops and starts the workers again and again, faster than the task ends."""
    job_id, other = (store.accept(Request("t", ()))[0].id for _ in range(2))
    for stops in range(3 * config.max_starts):
        assert store.start(job_id, 1).run
        store.over([job_id, other, "sent past the store"], excused=True)
        if stops % 2:
            lease_over(config)
    assert store.start(job_id, 1).run
    assert store.finish(job_id, "t", 1)
    store.over([job_id], excused=True)  # a note that comes late
    assert [row["starts"] for row in rows(config, "jobs")] == [1, 0]


def test_rows_of_the_release_before_go_on(store: Store, config: Settings) -> None:
    """Its processes know no `started_at`: each of their starts is counted, as they count it."""
    job_id = store.accept(Request("t", ()))[0].id
    for starts in range(1, config.max_starts + 1):
        assert store.start(job_id, 1).run
        forget_when(config)
        assert [row["starts"] for row in rows(config, "jobs")] == [starts]
    assert not store.start(job_id, 1).run


def forget_when(config: Settings) -> None:
    """What a start of the release before leaves."""
    database = Database(config.store_url)
    with database.write() as connection:
        connection.execute(update(jobs).values(started_at=None))
    database.close()


def test_a_retry_is_progress(store: Store, config: Settings) -> None:
    """The starts of an attempt are counted, not those of the job."""
    job_id = store.accept(Request("t", ()))[0].id
    for attempt in range(1, 4):
        for _ in range(config.max_starts):
            assert store.start(job_id, attempt).run
            store.over([job_id])
        assert store.retry(job_id, attempt, 0)
        assert not store.retry(job_id, attempt, 0)


def test_an_attempt_that_a_later_one_replaced_does_not_run(store: Store) -> None:
    job_id = store.accept(Request("t", ()))[0].id
    assert store.start(job_id, 1).run
    assert store.retry(job_id, 1, 0)
    assert [store.start(job_id, attempt).run for attempt in (1, 2, 1)] == [False, True, False]


def test_a_publisher_that_reports_late_leaves_a_worker_its_lease(store: Store, config: Settings) -> None:
    job_id = store.accept(Request("t", ()))[0].id
    assert store.start(job_id, 1).run
    (started,) = rows(config, "outbox")
    store.published({job_id: now()})
    (reported,) = rows(config, "outbox")
    assert reported["due"] == started["due"]


@pytest.mark.parametrize("first", ["finish", "fail"])
@pytest.mark.parametrize("second", ["finish", "fail", "retry", "start"])
def test_what_ends_first_stands(store: Store, config: Settings, first: str, second: str) -> None:
    """Two runs of one attempt, side by side."""
    job_id = store.accept(Request("t", ()))[0].id
    assert [store.start(job_id, 1).run, store.start(job_id, 1).run] == [True, True]
    if first == "finish":
        assert store.finish(job_id, "t", 1)
    else:
        store.fail(job_id, 1, ValueError("1"))
    jobs, effects = rows(config, "jobs"), rows(config, "effects")
    if second == "fail":
        store.fail(job_id, 1, ValueError("2"))
    else:
        calls = {"finish": lambda: store.finish(job_id, "t", 2), "retry": lambda: store.retry(job_id, 1, 0)}
        assert not calls.get(second, lambda: store.start(job_id, 1).run)()
    assert (rows(config, "jobs"), rows(config, "effects")) == (jobs, effects)
    assert len(effects) == (first == "finish")
    assert rows(config, "outbox") == []


def test_stats_say_what_waits_and_for_how_long(store: Store, config: Settings) -> None:
    assert store.stats() == {
        "jobs": {}, "unfinished": 0, "dead_letters": 0, "oldest_unfinished_seconds": None, "seconds_since": {},
        "effects": 0,
    }  # fmt: skip
    ended(store)
    store.accept(Request("t", ()))
    store.saw("relay")
    let_pass(config, 100)
    store.accept(Request("t", ()))
    store.tick()
    stats = store.stats()
    assert (stats["jobs"], stats["unfinished"], stats["effects"]) == ({State.SUCCESS: 1, State.PENDING: 2}, 2, 2)
    assert stats["oldest_unfinished_seconds"] == pytest.approx(100, abs=60)
    assert stats["seconds_since"] == {"relay": pytest.approx(100, abs=60)}


def test_the_id_of_a_dead_letter_is_never_used_again(store: Store, config: Settings) -> None:
    """Else a client that asks for what came after the last one that it saw would miss the next ones."""

    def dead() -> int:
        job_id = store.accept(Request("t", ()))[0].id
        store.fail(job_id, 1, ValueError("no"), Reason.RETRIES)
        (letter,) = store.dead_letters.page(LOCAL, 10)
        assert store.dead_letters.redrive(LOCAL, job_id)
        return letter.id

    ids = [dead() for _ in range(3)]
    assert ids == sorted(set(ids))


def test_processes_that_start_together_make_the_tables_once(config: Settings) -> None:
    together = threading.Barrier(6)

    def create(_number: int) -> None:
        together.wait()
        Store(config).create()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(create, range(6)))
    assert Store(config).stats()["jobs"] == {}


def test_a_transaction_that_fails_leaves_nothing(store: Store, config: Settings) -> None:
    job_id = store.accept(Request("t", ()))[0].id
    with pytest.raises((StatementError, TypeError), match="not JSON serializable"):  # as the driver has it
        store.finish(job_id, "t", object())  # no JSON: the effect and its key were inserted before
    assert rows(config, "effects") == rows(config, "applied") == []
    assert len(rows(config, "outbox")) == 1


def test_a_job_that_workers_do_not_know_is_due_again_and_a_failure_in_the_end(store: Store, config: Settings) -> None:
    job_id = store.accept(Request("new.task", ()))[0].id
    for records in range(config.max_starts):
        pause = config.queue_patience * 2 ** min(records, 4)
        for note in (
            lambda: store.unknown(job_id),
            lambda: store.published({job_id: now()}),
        ):  # a publisher may be late
            note()
            (entry,) = rows(config, "outbox")
            assert entry["due"] == pytest.approx(now() + pause, abs=10), "each time later, up to a limit"
    store.unknown(job_id)
    job = store.job(job_id)
    assert job is not None
    assert job.state == State.FAILURE
    message = f"task new.task was unknown, or did not end, {config.max_starts} times"
    assert job.error == {"type": "UnknownTask", "message": message}
    assert rows(config, "outbox") == []


def test_an_unknown_task_leaves_a_job_alone_that_runs_or_has_ended(store: Store, config: Settings) -> None:
    running = store.accept(Request("t", ()))[0].id
    assert store.start(running, 1).run
    ended(store)
    before = rows(config, "outbox"), rows(config, "jobs")
    for job in before[1]:
        store.unknown(job["id"])
    store.unknown("sent past the store")
    assert rows(config, "outbox") == before[0], "the lease of the run stays"
    counted = [{**row, "starts": row["starts"] + (row["id"] == running)} for row in before[1]]
    assert rows(config, "jobs") == counted
