"""What a drain waits for: everything that was accepted, whether its answer named a task or not."""

from brownout.history.event import Event
from brownout.run.phases.settled import Settled


def ok(key: str, method: str = "POST", task: str | None = None) -> Event:
    return Event(1, "client", "ok", key, task, data={"method": method})


def test_an_accepted_operation_without_a_task_id_is_waited_for_until_its_effect() -> None:
    settled = Settled(by_effect=True)
    settled.see([ok("a"), ok("b", task="t"), ok("health", "GET")])
    assert settled.waiting == {"a", "b"}
    assert settled.open == {"t": "b"}, "what has no task id has no status to read"
    settled.see([Event(2, "effects", "effect", "a"), Event(2, "effects", "effect", task="t")])
    assert settled.waiting == set()


def test_a_failure_that_celery_reports_settles_only_what_has_no_effects_of_its_own() -> None:
    failed = Event(2, "worker-1", "failed", task="t", data={"error": "TimeLimitExceeded"})
    for by_effect, waiting in ((True, {"a"}), (False, set[str]())):
        settled = Settled(by_effect=by_effect)
        settled.see([ok("a", task="t"), failed])
        assert settled.waiting == waiting
    stored = Settled(by_effect=True)
    stored.see([ok("a", task="t"), Event(3, "client", "read", "a", "t", data={"state": "FAILURE"})])
    assert stored.waiting == set()


def test_what_only_the_applications_own_store_has_accepted_is_waited_for_and_its_status_is_read() -> None:
    settled = Settled(by_effect=True)
    settled.see([Event(1, "client", "info", "a"), Event(1, "store", "accepted", "a", "t")])
    assert settled.waiting == {"a"}
    assert settled.accepted == {"t": "a"}
    settled.see([Event(2, "effects", "effect", task="t")])
    assert settled.waiting == set()


def test_a_record_whose_task_comes_later_is_waited_for() -> None:
    """An outbox: the relay fills in the task's id when it publishes."""
    settled = Settled(by_effect=True)
    settled.see([Event(1, "client", "info", "a"), Event(1, "store", "accepted", "a")])
    assert settled.waiting == {"a"}
    settled.see([Event(2, "store", "accepted", "a", "t"), Event(3, "effects", "effect", task="t")])
    assert settled.waiting == set()
