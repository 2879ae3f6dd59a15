"""Deliveries of one job that overlap, as after a visibility time-out that was too short: the worker runs them at the
same time, and each ends in the way that the test chooses."""

from pathlib import Path
from typing import Any

import pytest

from brownout.subject.waiting import eventually
from system.job import LOCAL, Job, Reason, Request, State, now
from tests.integration import probe_worker
from tests.integration.running import SLACK, Running


class Deliveries:
    """The deliveries of one job to the system's worker. Each has a gate of its own, which is a file."""

    def __init__(self, system: Running) -> None:
        self.system = system
        self.gates: list[Path] = []
        self.id = system.app.store.accept(Request(probe_worker.as_told.name, ("",)))[0].id

    def send(self, retries: int = 0) -> None:
        """Deliver the job once more and wait until the worker has the message, which is of attempt `retries` + 1."""
        self.gates.append(self.system.folder / f"{self.id}-{len(self.gates)}")
        message: dict[str, Any] = {"task_id": self.id, "retries": retries, "ignore_result": True}
        self.system.app.tasks[probe_worker.as_told.name].apply_async(args=(str(self.gates[-1]),), **message)
        self.system.logged("worker-1", f"[{self.id}] received", times=len(self.gates))

    def run(self, count: int, retries: int = 0) -> None:
        """Send so many deliveries, and wait until each runs."""
        for _ in range(count):
            self.send(retries)
            eventually(lambda: self.runs(-1), within=SLACK, what=f"{count} deliveries run side by side")

    def runs(self, number: int) -> bool:
        """Whether this delivery has been started."""
        return Path(f"{self.gates[number]}.here").exists()

    def end(self, number: int, how: str) -> None:
        """Open the gate of a delivery."""
        text = self.gates[number].with_suffix(".new")
        text.write_text(how)
        text.rename(self.gates[number])

    def becomes(self, state: State) -> None:
        """Wait until the job has this state."""
        eventually(lambda: self.job.state == state, within=SLACK, what=f"the job is {state}")

    def acknowledged(self) -> bool:
        """Whether the worker is done with all messages, those with a countdown too."""
        with self.system.server.client(self.system.db) as client:
            return int(client.hlen("unacked")) + int(client.llen("celery")) == 0

    def over(self) -> None:
        """Wait until all deliveries have ended."""
        eventually(self.acknowledged, within=SLACK, what="all messages are acknowledged")

    @property
    def job(self) -> Job:
        """The job, as the store has it."""
        job = self.system.app.store.job(self.id)
        assert job is not None
        return job


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [("wrong", "done", State.FAILURE), ("done", "wrong", State.SUCCESS)],
    ids=["what has failed", "what is done"],
)
def test_the_delivery_that_ends_first_decides(probe: Running, first: str, second: str, state: State) -> None:
    deliveries = Deliveries(probe)
    deliveries.run(2)
    deliveries.end(0, first)
    deliveries.becomes(state)
    deliveries.end(1, second)
    deliveries.over()
    assert deliveries.job.state == state, "the first end stands"
    assert probe.effects()[deliveries.id] == (state == State.SUCCESS)


def test_two_deliveries_of_an_attempt_start_one_chain_of_retries(probe: Running) -> None:
    """The first attempt fails twice, and the second one has one message."""
    deliveries = Deliveries(probe)
    deliveries.run(2)
    deliveries.end(0, "busy at first")
    eventually(lambda: deliveries.job.attempts > 1, within=SLACK, what="the first delivery starts the next attempt")
    deliveries.end(1, "busy at first")
    deliveries.becomes(State.SUCCESS)
    deliveries.over()
    received = probe.said("worker-1", f"[{deliveries.id}] received")
    assert (received, deliveries.job.attempts) == (2 + 1, 2), "one message for the second attempt"


def test_a_run_of_an_earlier_attempt_does_not_end_a_job_that_was_driven_again(probe: Running) -> None:
    deliveries = Deliveries(probe)
    deliveries.run(2, retries=probe.settings.max_retries)
    deliveries.end(0, "busy")
    deliveries.becomes(State.FAILURE)
    assert probe.app.store.dead_letters.redrive(LOCAL, deliveries.id)
    deliveries.end(1, "busy")
    deliveries.over()
    assert deliveries.job.state == State.PENDING, "the earlier attempt is of the past"
    assert [letter for letter in probe.app.store.dead_letters.page(LOCAL, 100) if letter.job_id == deliveries.id] == []


def test_an_attempt_that_a_later_one_has_replaced_is_not_started(probe: Running) -> None:
    """The message of a dead letter's last attempt comes once more, when the job has already been driven again."""
    deliveries, last = Deliveries(probe), probe.settings.max_retries
    deliveries.run(1, retries=last)
    deliveries.end(0, "busy")
    deliveries.becomes(State.FAILURE)
    (letter,) = [each for each in probe.app.store.dead_letters.page(LOCAL, 100) if each.job_id == deliveries.id]
    assert letter.reason == Reason.RETRIES
    assert probe.app.store.dead_letters.redrive(LOCAL, deliveries.id)
    deliveries.send(retries=last)
    eventually(lambda: deliveries.acknowledged() or deliveries.runs(1), within=SLACK, what="the worker decides")
    assert not deliveries.runs(1), "the replaced attempt is not started"
    assert deliveries.job.state == State.PENDING
    deliveries.run(1, retries=last + 1)
    deliveries.end(2, "done")
    deliveries.becomes(State.SUCCESS)


def test_runs_beside_one_that_goes_on_make_no_poison(probe: Running) -> None:
    """More of them than runs without progress are allowed."""
    deliveries, count = Deliveries(probe), probe.settings.max_starts + 1
    deliveries.run(count)
    for number in range(count):
        deliveries.end(number, "done")
    deliveries.over()
    assert (deliveries.job.state, probe.effects()[deliveries.id]) == (State.SUCCESS, 1)


def test_a_publisher_that_reports_late_leaves_a_worker_its_lease(probe: Running) -> None:
    """The job runs already when the publisher notes that the message was sent. Until the lease of the run is over, the
    relay leaves the job alone; that of the message is shorter."""
    deliveries, due = Deliveries(probe), "select due from outbox where job_id = ?"
    deliveries.run(1)
    lease = probe.rows(due, deliveries.id)
    probe.app.store.published({deliveries.id: now()})
    assert probe.rows(due, deliveries.id) == lease, "the worker's lease is as long as before"
    deliveries.end(0, "done")
    deliveries.becomes(State.SUCCESS)


def test_a_retry_is_progress(probe: Running) -> None:
    """The service is busy as often as runs without progress are allowed."""
    job = probe.enqueue("system.deliver", {"failures": probe.settings.max_starts})
    ended = probe.job_ended(job)
    assert (ended.state, ended.error) == (State.SUCCESS, None), "no poison"
    assert ended.attempts == probe.settings.max_starts + 1
