"""Settings of Celery that are in force in the processes that run: a worker tells its own, Redis shows what a worker
asks it, and beat's first message lies in its queue."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from time import time
from typing import Any

import pytest

from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, NewSystem, Running

SECRET = "the-argument-of-a-client"
TICK = 1.0


@pytest.fixture(scope="module")
def told(calm: Running) -> dict[str, Any]:
    """The settings that the worker tells (`celery inspect conf`); Celery's own defaults are not among them."""
    answers = calm.app.control.inspect(["worker-1@here"], timeout=SLACK, limit=1).conf()
    assert answers, "the worker answers"
    return dict(answers["worker-1@here"])


def test_a_worker_never_gives_up_to_connect_to_the_broker(told: dict[str, Any]) -> None:
    """Celery's default is a hundred attempts, which take hours."""
    assert "broker_connection_max_retries" in told
    assert told["broker_connection_max_retries"] is None


def test_a_worker_that_connects_to_the_broker_is_not_kept_waiting(calm: Running, told: dict[str, Any]) -> None:
    options = told["broker_transport_options"]
    limits = {name: options.get(name) for name in ("socket_connect_timeout", "socket_keepalive")}
    assert limits == {"socket_connect_timeout": calm.settings.broker_timeout, "socket_keepalive": True}


def test_a_worker_does_not_wait_for_a_dead_result_backend(calm: Running, told: dict[str, Any]) -> None:
    timeout = calm.settings.broker_timeout
    names = "redis_socket_connect_timeout", "redis_backend_health_check_interval", "result_backend_transport_options"
    limits = {name: told.get(name) for name in names}
    assert limits == dict(zip(names, (timeout, round(timeout), {"retry_policy": {"timeout": timeout}}), strict=True))


def test_a_worker_tries_a_few_times_to_store_a_result(told: dict[str, Any]) -> None:
    assert told.get("result_backend_max_retries") == 3, "the attempts have a limit"


def test_who_reads_results_reads_json_only(told: dict[str, Any]) -> None:
    assert told.get("result_accept_content") == ["json"], "a reader of results reads nothing else"


def test_a_worker_that_dies_in_its_sweep_does_not_stop_that_of_others_for_long(calm: Running) -> None:
    """Each second a worker takes the lock of the sweep for unacknowledged messages."""
    with calm.server.client(timeout=SLACK) as client, client.monitor() as monitor:

        def lock() -> list[str]:
            seen = monitor.next_command()
            words = str(seen["command"]).split()
            return words if seen["db"] == calm.db and words[:2] == ["SET", "unacked_mutex"] else []

        words = eventually(lock, within=SLACK, every=0, what="the worker takes the lock")
    assert words[words.index("PX") + 1] == str(1_000 * calm.settings.mutex_expire), "the lock expires soon"


@pytest.fixture(scope="module")
def both(make_system: NewSystem) -> Iterator[tuple[Running, Running]]:
    """A beat without a worker, and a worker whose log lines are JSON."""
    with ExitStack() as stack:
        beating = stack.enter_context(make_system("beating", tick_seconds=TICK))
        logging = stack.enter_context(make_system("logging", log_json=True))
        schedule = str(beating.folder / "schedule")
        beating.start("beat", ["celery", "-A", "system.worker", "beat", "--loglevel", "INFO", "-s", schedule])
        yield beating, logging.worker("worker-1", "-c", "1")


def test_a_tick_that_is_late_is_dropped(both: tuple[Running, Running]) -> None:
    """Its message expires with its period."""
    system, _ = both

    def message() -> dict[str, Any]:
        with system.server.client(system.db) as client:
            found = client.lindex("celery", 0)
            return dict(json.loads(found)["headers"]) if found else {}

    headers = eventually(message, within=TICK + 2 * SLACK, what="beat sends", evidence=system.process("beat").tail)
    assert headers["task"] == "system.tick"
    assert headers["expires"] is not None, "the message of a tick expires"
    assert datetime.fromisoformat(headers["expires"]).timestamp() <= time() + TICK


def test_beat_sleeps_no_longer_than_a_period(both: tuple[Running, Running]) -> None:
    system, _ = both
    eventually(lambda: system.said("beat", "maxinterval"), within=2 * SLACK, what="beat says for how long it sleeps")
    assert system.said("beat", f"({TICK}s)") == 1, system.log("beat").read_text()


def test_no_log_line_of_a_worker_has_the_arguments_of_a_task(both: tuple[Running, Running]) -> None:
    """Also those of a task that was sent past the job store; and the lines are JSON."""
    _, system = both
    system.ready()
    task = system.app.send_task("system.deliver", ({"item": SECRET},), {}, ignore_result=True)
    eventually(lambda: system.said("worker-1", " succeeded in "), within=SLACK, what="the task ends")
    lines = [json.loads(line) for line in system.log("worker-1").read_text().splitlines() if line.startswith("{")]
    about = " ".join(line["message"] for line in lines if line["job"] == task.id)
    assert "received" in about
    assert "succeeded" in about
    assert [line["name"] for line in lines if SECRET in json.dumps(line)] == [], "the argument is in a line"
