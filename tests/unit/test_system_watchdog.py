"""The watchdog's judgement, as a function of what each check saw; and how a process ends by it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery.worker import state
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import TimeoutError as NoConnection

from system import watchdog
from system.celery_app import make_celery
from system.settings import Settings
from system.watchdog import EXIT_CODE, Watchdog, leaking

ROOT = Path(__file__).parents[2]
checks = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), max_size=30)


@given(limit=st.integers(1, 5), seen=checks)
def test_wedged_is_so_many_silent_checks_in_a_row(limit: int, seen: list[tuple[int, bool, bool]]) -> None:
    watchdog, received, silent = Watchdog(limit), 0, []
    for new, free, waiting in seen:
        received += new
        silent.append(new == 0 and free and waiting)
        verdict = watchdog.check(received=received, free=free, waiting=waiting)
        assert verdict == (len(silent) >= limit and all(silent[-limit:]))


@given(seen=checks, limit=st.integers(1, 5))
def test_a_worker_that_receives_or_is_busy_or_has_nothing_to_do_is_never_wedged(
    seen: list[tuple[int, bool, bool]], limit: int
) -> None:
    for excuse in range(3):
        watchdog, received = Watchdog(limit), 0
        for new, free, waiting in seen:
            received += new + 1 if excuse == 0 else new
            free, waiting = free and excuse != 1, waiting and excuse != 2
            assert not watchdog.check(received=received, free=free, waiting=waiting)


def test_the_process_ends_at_once_and_asks_to_be_started_again() -> None:
    """Also with threads that would not end and handlers that would run at a normal exit."""
    program = """
import atexit, threading
from system.watchdog import end_process
atexit.register(print, "a normal exit")
threading.Thread(target=threading.Event().wait).start()
end_process()
"""
    command, environment = [sys.executable, "-c", program], {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (EXIT_CODE, b"", b"")


@pytest.mark.parametrize(
    ("delivered", "reserved", "leaks"), [(0, 0, False), (1, 1, False), (1, 0, True), (2, 1, True), (2, 2, False)]
)
def test_messages_that_nobody_works_on_and_that_use_the_limit_up_are_a_leak(
    monkeypatch: pytest.MonkeyPatch, delivered: int, reserved: int, leaks: bool
) -> None:
    slots = max(1, delivered)
    qos = SimpleNamespace(can_consume=lambda: delivered < slots)
    consumer = SimpleNamespace(task_consumer=SimpleNamespace(channel=SimpleNamespace(qos=qos)))
    monkeypatch.setattr(state, "reserved_requests", set(range(reserved)))
    assert leaking(consumer, slots) is leaks


def test_between_two_connections_nothing_leaks() -> None:
    assert not leaking(SimpleNamespace(task_consumer=None), 1)


def test_an_outage_ends_no_watch(monkeypatch: pytest.MonkeyPatch, config: Settings) -> None:
    """The first looks fail; the worker that is wedged afterwards is found all the same."""
    failures = iter([ConnectionError("refused"), TimeoutError("silent"), ValueError("garbled")])

    def llen(_queue: str) -> int:
        if failure := next(failures, None):
            raise failure
        return 1

    monkeypatch.setattr(watchdog, "client_of", lambda _settings: SimpleNamespace(llen=llen))
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.001)
    ended = threading.Event()
    thread = watchdog.watch(make_celery(config), ["celery"], 1, ended.set)
    assert ended.wait(10), "it looks again"
    thread.join(10)
    assert not thread.is_alive()


def test_the_tasks_that_run_are_read_although_they_change_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    class Changing:
        looks = 0

        def __iter__(self) -> Iterator[SimpleNamespace]:
            yield SimpleNamespace(id="one")
            Changing.looks += 1
            if Changing.looks == 1:
                raise RuntimeError("Set changed size during iteration")

    monkeypatch.setattr(state, "active_requests", Changing())
    assert watchdog.running() == ["one"]


def test_each_check_tells_whether_the_worker_takes_messages(monkeypatch: pytest.MonkeyPatch, config: Settings) -> None:
    """A store that can't be used ends no watch."""
    told: list[str] = []
    failures = iter([NoConnection("no connection is free")])

    def saw(name: str) -> None:
        told.append(name)
        for failure in failures:
            raise failure

    client = SimpleNamespace(llen=lambda _queue: 1)
    monkeypatch.setattr(watchdog, "client_of", lambda _settings: client)
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.001)

    def over(job_ids: list[str], *, excused: bool) -> None:
        told.append(f"{job_ids} {excused}")

    monkeypatch.setattr(state, "active_requests", [SimpleNamespace(id="one")])  # of two slots, one is free
    store = SimpleNamespace(saw=saw, over=over)
    celery = make_celery(config.model_copy(update={"wedge_seconds": 3}), store)  # type: ignore[arg-type] # the methods that are called
    watchdog.watch(celery, ["celery"], 2, lambda: told.append("end")).join(10)
    assert told == ["worker", "silent worker", "silent worker", "['one'] True", "end"]
