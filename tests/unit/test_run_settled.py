"""What a drain waits for: everything that was accepted, whether its answer named a task or not."""

import gc
import itertools
import sys
import threading

from hypothesis import example, given
from hypothesis import strategies as st

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


NAMES = st.sampled_from(["", "a", "b", "c"])
EVENTS = st.builds(
    lambda kind, key, task, state: Event(
        1, "client", kind, key or None, task or None, data={"method": "POST", "state": state}
    ),
    st.sampled_from(["ok", "accepted", "effect", "read", "ended"]),
    NAMES,
    NAMES,
    st.sampled_from(["STARTED", "SUCCESS"]),
)


def unfinished(events: list[Event]) -> tuple[dict[str, str], set[str]]:
    """What is open and what is waited for, found anew from all events."""
    accepted, nameless, done = dict[str, str](), set[str](), set[str]()
    for event in events:
        if event.kind in ("ok", "accepted") and event.key and event.task:
            accepted[event.task] = event.key
            nameless.discard(event.key)
        elif event.kind in ("ok", "accepted") and event.key:
            nameless.add(event.key)
        if event.kind == "effect" or (event.kind in ("read", "ended") and event.data["state"] == "SUCCESS"):
            done |= {name for name in (event.key, event.task) if name}
    still = {task: key for task, key in accepted.items() if task not in done and key not in done}
    return still, {*still.values(), *nameless - done}


@given(st.lists(EVENTS, max_size=12))
@example([ok("a", task="t"), Event(1, "effects", "effect", "b"), ok("b", task="t")])
@example([ok("a"), Event(1, "effects", "effect", task="a")])
def test_in_whatever_order_events_come_the_same_is_unfinished(events: list[Event]) -> None:
    settled = Settled(by_effect=False)
    for number, event in enumerate(events, start=1):
        settled.see([event])
        assert (settled.open, settled.waiting) == unfinished(events[:number])


def test_who_asks_while_events_come_gets_an_answer() -> None:
    """A long soak ended with "dictionary changed size during iteration", which a collection of garbage brings about."""
    settled, stop = Settled(by_effect=True), threading.Event()

    def grow() -> None:
        for number in itertools.count():
            settled.see([ok(f"k{number}", task=f"t{number}")])
            if stop.is_set():
                return

    thread = threading.Thread(target=grow)
    thread.start()
    before, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(10)
    sys.setswitchinterval(1e-6)
    gc.callbacks.append(lambda *_: None)  # Python code, in which another thread may get its turn
    try:
        answers = [len(settled.open) + len(settled.waiting) + len(settled.accepted) for _ in range(200)]
    finally:
        gc.callbacks.pop()
        gc.set_threshold(*before)
        sys.setswitchinterval(interval)
        stop.set()
        thread.join(10)
    assert answers[-1] > 0
