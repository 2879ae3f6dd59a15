"""The wedge of stock Celery on Redis, and the watchdog that ends it."""

from signal import SIGTERM

from billiard import pool

from brownout.subject.processes.supervisor import Supervisor
from brownout.subject.waiting import eventually
from system.watchdog import CHECK_SECONDS, EXIT_CODE
from tests.integration.running import SLACK, NewSystem, Running


def test_a_worker_that_no_longer_consumes_ends_and_is_started_again(
    starting_wedged: dict[str, tuple[Running, list[str]]],
) -> None:
    """One failed ack, and a worker of one slot asks for nothing any more; without its watchdog it lives on so."""
    watched, jobs = starting_wedged["watched"]
    unwatched, waiting = starting_wedged["unwatched"]
    for system, first in ((watched, jobs[0]), (unwatched, waiting[0])):
        system.job_ended(first)
        system.logged("worker-1", "Couldn't ack")
    settings, supervisor = watched.settings, watched.parts["worker-1"]
    assert isinstance(supervisor, Supervisor)
    bound = settings.wedge_seconds * (CHECK_SECONDS + settings.broker_timeout) + SLACK
    eventually(lambda: supervisor.exits, within=bound, what="the wedged worker ends")
    assert [watched.job_ended(job).state for job in jobs] == ["SUCCESS"] * 3
    assert watched.effects() == dict.fromkeys(jobs, 1)
    assert [end.code for end in supervisor.exits] == [EXIT_CODE]
    assert watched.said("worker-1", "this worker ends") == supervisor.restarts == 1

    assert unwatched.process("worker-1").alive
    assert unwatched.effects() == {waiting[0]: 1}, "the others wait, for ever"
    assert unwatched.waiting() == 0, "and it does not even ask for them"
    with unwatched.server.client(unwatched.db) as client:
        # The one that was not acked comes back beside them when the visibility timeout is over.
        assert client.llen("celery") >= 2


def test_a_worker_that_shuts_down_is_left_in_peace(new_system: NewSystem) -> None:
    """A warm shutdown asks for no more messages, for as long as its tasks take: that is no wedge."""
    system = new_system("leaving", pace=0.8, wedge_seconds=1)
    worker = system.worker("worker-1", "-c", "4").ready().process("worker-1")
    job = system.enqueue("system.process_data", {})
    eventually(lambda: system.app.store.job(job).state == "STARTED", within=SLACK, what="it runs")  # type: ignore[union-attr] # accepted above
    worker.signal(SIGTERM)
    system.logged("worker-1", "Warm shutdown")
    for _ in range(3):  # a BRPOP that is under way may still take one of them
        system.enqueue("system.process_data", {})
    # A pool process that Celery stops while its task has not been taken note of waits for as long as this.
    unnoticed = pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT * pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
    assert worker.wait(SLACK + unnoticed) == 0
    assert system.effects()[job] == 1
    assert not system.said("worker-1", "this worker ends")


def test_a_worker_that_is_busy_is_left_in_peace(new_system: NewSystem) -> None:
    """A long task on the only slot, and others that wait for longer than a wedge would last."""
    # One look alone may come between two tasks, when the slot is free and the next message still waits.
    system = new_system("busy", pace=1.2, wedge_seconds=3).worker("worker-1", "-c", "1").ready()
    jobs = [system.enqueue("system.process_data", {"n": n}) for n in range(2)]
    assert {system.job_ended(job).state for job in jobs} == {"SUCCESS"}
    assert not system.said("worker-1", "this worker ends")
    assert [system.said("worker-1", f"[{job}] received") for job in jobs] == [1, 1]


def test_a_wedged_worker_ends_although_nothing_waits(new_system: NewSystem) -> None:
    """Another worker may see to the queue: the wedge must show by itself."""
    system = new_system("idle", pace=0, wedge_seconds=1)
    job = system.enqueue("system.divide", 1.0, 2.0)
    mark = {"WEDGE_MARK": str(system.folder / "mark")}
    system.worker("worker-1", "-c", "1", module="tests.integration.wedge_worker", supervised=True, **mark)
    system.job_ended(job)
    system.logged("worker-1", "Couldn't ack")
    supervisor, settings = system.parts["worker-1"], system.settings
    assert isinstance(supervisor, Supervisor)
    bound = settings.wedge_seconds * (CHECK_SECONDS + settings.broker_timeout) + SLACK
    eventually(lambda: supervisor.exits, within=bound, what="the wedged worker ends")
    assert [end.code for end in supervisor.exits] == [EXIT_CODE]
    with system.server.client(system.db) as client:
        assert client.llen("celery") == 0
