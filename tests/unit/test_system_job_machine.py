"""A job's life in any order of events: every call of the store's users, duplicates, stale attempts, crashes, time."""

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete

from system.database import Database
from system.job import FINAL, LOCAL, Backlog, Job, KeyReused, Reason, Request, now
from system.settings import Settings
from system.store import Store
from system.tables import metadata
from tests.unit.clock import let_pass, rows

# Time passes in thousands of seconds, and leases are halves of them: what an example really takes makes nothing due,
# however busy the machine is.
LEASE, PATIENCE, STARTS, BACKLOG = 2_500.0, 15_500.0, 2, 2
COUNTDOWNS = st.integers(0, 20).map(lambda number: 1_000 * number)
SLACK = 1e-3  # floats that were moved about
Delivery = tuple[str, int]


class Life(RuleBasedStateMachine):
    """The store against what must hold whatever happens. Messages and deliveries are what a broker may come up with."""

    config: Settings
    empty: Callable[[], None]
    messages: Bundle[Delivery] = Bundle("messages")
    running: Bundle[Delivery] = Bundle("running")

    @initialize()
    def begin(self) -> None:
        """Begin with an empty database."""
        type(self).empty()
        self.store = Store(self.config)
        self.passed = 0.0
        self.late: Counter[str] = Counter()  # deaths of runs that were not counted when they became known
        self.leased: dict[str, float] = {}
        self.before: dict[str, dict[str, Any]] = {}
        self.shortened: str | None = None

    def clock(self) -> float:
        """Seconds as the store's users would have seen them."""
        return time.time() + self.passed

    @rule(target=messages, key=st.sampled_from(["a", "b", None]), x=st.integers(0, 1), published=st.booleans())
    def accept(self, key: str | None, x: int, published: bool) -> Any:
        """A client submits; the API's publisher may die before it publishes."""
        jobs = {row["key"]: row for row in rows(self.config, "jobs") if row["key"]}
        unfinished = len(rows(self.config, "outbox"))
        since = self.clock()
        try:
            job, new = self.store.accept(Request("t", (x,), key))
        except KeyReused:
            assert jobs[key]["args"] != [x]
            return multiple()
        except Backlog:
            assert unfinished == BACKLOG
            assert key not in jobs
            return multiple()
        assert new == (key not in jobs)
        if not new:
            assert (job.id, jobs[key]["args"]) == (jobs[key]["id"], [x])
            return multiple()
        assert unfinished < BACKLOG
        self.leased[job.id] = since + LEASE
        return self.publish(job) if published else multiple()

    def publish(self, job: Job) -> Delivery:
        self.store.published({job.id: now()})
        return job.id, max(1, job.attempts)

    @rule(target=messages, limit=st.integers(1, 3), sent=st.booleans(), noted=st.booleans())
    def sweep(self, limit: int, sent: bool, noted: bool) -> Any:
        """The relay claims, may die before it sends or before it notes that it did, and the broker may lose it all."""
        due = {row["job_id"]: row["due"] for row in rows(self.config, "outbox")}
        since, begun = self.clock(), time.time()
        claimed = self.store.claim(limit)
        assert len({job.id for job in claimed}) == len(claimed) <= limit
        assert all(due[job.id] <= time.time() for job in claimed)
        left = [due[job_id] for job_id in due.keys() - {job.id for job in claimed}]
        if len(claimed) < limit:
            assert all(when > begun for when in left), "a due job was left"
        else:
            assert max(due[job.id] for job in claimed) <= min(left, default=math.inf), "not the oldest first"
        for job in claimed:
            assert self.clock() >= self.leased.get(job.id, 0), "claimed within another's lease"
            self.leased[job.id] = since + LEASE
            if noted:
                self.store.published({job.id: now()})
        return multiple(*((job.id, max(1, job.attempts)) for job in claimed if sent))

    @rule(target=running, message=messages)
    def deliver(self, message: Delivery) -> Any:
        """A worker gets a message, for the first time or again."""
        job_id, attempt = message
        row = self.row(job_id)
        since = row["started_at"]
        beside = since is not None and time.time() < since + self.config.run_lease
        start = self.store.start(job_id, attempt)
        may = row["state"] not in FINAL and attempt >= row["attempts"] and (row["starts"] < STARTS or beside)
        if may:
            assert self.row(job_id)["starts"] == row["starts"] + (not beside), "a run that may go on proves nothing"
        assert start.run == may
        assert start.job is not None
        if not may:
            poison = row["state"] not in FINAL and attempt >= row["attempts"]
            assert (self.row(job_id)["state"] == "FAILURE") == (poison or row["state"] == "FAILURE")
            return multiple()
        return message

    @rule(target=running, message=messages)
    def deliver_again(self, message: Delivery) -> Any:
        """The broker restores a message that was not acknowledged: two runs of one attempt, side by side."""
        runs = [self.deliver(message), self.deliver(message)]
        return multiple(*(run for run in runs if run == message))

    @rule(run=consumes(running), result=st.integers())
    def finish(self, run: Delivery, result: int) -> None:
        """A run comes to its end."""
        done = self.row(run[0])["state"] in FINAL
        assert self.store.finish(run[0], "t", result) == (not done)

    @rule(run=consumes(running), reason=st.sampled_from([None, Reason.RETRIES]))
    def fail(self, run: Delivery, reason: Reason | None) -> None:
        """A run raises; a run of an attempt before the present one has no say."""
        before = self.row(run[0])
        self.store.fail(*run, ValueError("no"), reason)
        failed = before["state"] not in FINAL and run[1] >= before["attempts"]
        assert (self.row(run[0]) != before) == failed

    @rule(message=messages)
    def unknown(self, message: Delivery) -> None:
        """A worker of another release gets a message, and does not know the task."""
        self.store.unknown(message[0])

    @rule(target=messages, message=messages, owner=st.sampled_from([LOCAL, "another"]))
    def redrive(self, message: Delivery, owner: str) -> Any:
        """Its owner, or another one, wants a dead job to run again."""
        job_id, old = message[0], self.row(message[0])
        dead = {row["job_id"] for row in rows(self.config, "dead_letters")}
        unfinished = len(rows(self.config, "outbox"))
        try:
            known = self.store.dead_letters.redrive(owner, job_id)
        except Backlog:
            assert unfinished == BACKLOG
            assert self.row(job_id) == old
            return multiple()
        assert known == (job_id in dead and owner == LOCAL)
        if not known:
            assert self.row(job_id) == old
            return multiple()
        new = self.row(job_id)
        assert (new["state"], new["starts"], new["attempts"]) == ("PENDING", 0, old["attempts"] + 1)
        assert new["attempts_before"] == old["attempts"], "its retries are counted from here"
        del self.before[job_id]
        self.leased[job_id] = 0
        return job_id, new["attempts"]

    @rule(
        target=messages,
        run=consumes(running),
        countdown=st.integers(0, 20).map(lambda number: 1_000 * number),
        sent=st.booleans(),
    )
    def retry(self, run: Delivery, countdown: int, sent: bool) -> Any:
        """A run asks to be tried again; the worker may die before it sends the message."""
        row = self.row(run[0])
        arranged = self.store.retry(*run, countdown)
        assert arranged == (row["state"] not in FINAL and row["attempts"] == run[1])
        if not arranged:
            return multiple()
        self.shortened = run[0]
        self.leased[run[0]] = 0
        return (run[0], run[1] + 1) if sent else multiple()

    @rule(run=consumes(running), excused=st.sampled_from([None, False, True]))
    def die(self, run: Delivery, excused: bool | None) -> None:
        """A worker dies, tells that its process has died, or was told to end; the broker has the message still."""
        before = self.row(run[0])
        if excused is not None:
            self.store.over([run[0]], excused=excused)
        if before["state"] == "STARTED" and excused is not None:
            counted = before["started_at"] is not None
            more = -counted if excused else not counted  # a run that was not counted, or was excused before
            self.late[run[0]] += max(0, more)
            assert self.row(run[0])["starts"] == before["starts"] + more

    @rule(seconds=st.sampled_from([1_000, 3_000, 20_000, 1_000_000]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        let_pass(self.config, seconds)
        self.passed += seconds

    @rule(message=messages)
    @precondition(lambda self: bool(self.before))
    def report_late(self, message: Delivery) -> None:
        """A publisher that was stopped in the middle notes now what it sent then."""
        self.store.published({message[0]: now()})

    def row(self, job_id: str) -> dict[str, Any]:
        return next(row for row in rows(self.config, "jobs") if row["id"] == job_id)

    @invariant()
    def holds(self) -> None:
        """What is true after each step, and between two."""
        outbox = {row["job_id"]: row for row in rows(self.config, "outbox")}
        effects = [row["key"] for row in rows(self.config, "effects")]
        assert len(effects) == len(set(effects)), "an effect happened twice"
        dead = {row["job_id"] for row in rows(self.config, "dead_letters")}
        jobs: dict[str, dict[str, Any]] = {}
        for row in rows(self.config, "jobs"):
            final = row["state"] in FINAL
            assert final == (row["finished_at"] is not None) == (row["id"] not in outbox)
            assert (row["state"] == "SUCCESS") == (row["id"] in effects), "a success is its effect"
            assert row["starts"] <= STARTS + self.late[row["id"]]
            assert row["state"] == "FAILURE" or row["id"] not in dead, "only what failed is a dead letter"
            due = None if final else outbox[row["id"]]["due"] + self.passed
            jobs[row["id"]] = row | {"due": due, "finished_at": None, "accepted_at": None, "started_at": None}
        for job_id, old in self.before.items():
            new = jobs[job_id]
            assert new["attempts"] >= old["attempts"]
            if old["state"] in FINAL:
                assert new == old, "a final state changed"
            elif new["due"] is not None and job_id != self.shortened:
                assert new["due"] >= old["due"] - SLACK, "a lease became shorter"
        assert {row["id"] for row in jobs.values() if row["due"] is None} == set(jobs) - set(outbox)
        self.before, self.shortened = jobs, None

    def teardown(self) -> None:
        """Whatever happened: with a relay and a worker that live, every job ends."""
        for _ in range(STARTS + 1):
            let_pass(self.config, 10_000_000)
            for job in self.store.claim(1_000):
                if self.store.start(job.id, max(1, job.attempts)).run:
                    self.store.finish(job.id, job.task, None)
        assert rows(self.config, "outbox") == []
        self.holds()


@pytest.fixture
def config(configure: Callable[..., Settings]) -> Settings:
    """Small limits, and times that never meet."""
    return configure(publish_lease=LEASE, queue_patience=PATIENCE, max_starts=STARTS, backlog_limit=BACKLOG)


def test_a_jobs_life(config: Settings) -> None:
    database = Database(config.store_url)
    database.create()

    def empty() -> None:
        with database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))

    machine = type("Life", (Life,), {"config": config, "empty": staticmethod(empty)})
    try:
        run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=35))
    finally:
        database.close()
