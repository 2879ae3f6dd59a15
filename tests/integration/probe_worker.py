"""`celery -A tests.integration.probe_worker`: the system's worker with tasks that only tests want."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from celery import Task, shared_task
from celery.exceptions import SoftTimeLimitExceeded

from brownout.subject.waiting import NeverHappened, eventually
from system.durable import app_of, durable
from system.worker import app

__all__ = ["app"]


@durable("tests.poison")
def poison(_task: Task[Any, Any]) -> None:
    """Kill the pool process that runs it, each time."""
    os.kill(os.getpid(), signal.SIGKILL)


@durable("tests.fatal_once")
def fatal_once(_task: Task[Any, Any], mark: str) -> str:
    """Kill the pool process that runs it, the first time."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


@durable("tests.gated")
def gated(_task: Task[Any, Any], gate: str) -> str:
    """Run until the caller opens the gate."""
    eventually(Path(gate).exists, within=60.0, what="the gate opens")
    return "done"


@durable("tests.deaf")
def deaf(_task: Task[Any, Any], patience: float) -> None:
    """Go on after the soft time limit."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with suppress(SoftTimeLimitExceeded, NeverHappened):
            eventually(lambda: False, within=end - time.monotonic(), what="never")


@shared_task(name="tests.kind")
def kind(value: object) -> str:
    return type(value).__name__


@shared_task(name="tests.key_kind")
def key_kind(value: dict[object, object]) -> str:
    return type(next(iter(value))).__name__


@shared_task(name="tests.append")
def append(values: list[int]) -> None:
    values.append(1)


@shared_task(name="tests.pair")
def pair() -> tuple[int, int]:
    return 1, 2


@shared_task(name="tests.fail")
def fail() -> None:
    raise ValueError("as asked")


@shared_task(name="tests.pid")
def pid() -> int:
    return os.getpid()


@shared_task(name="tests.opened")
def opened(gate: str, patience: float) -> bool:
    """Whether the caller opens the gate while this runs."""
    try:
        return eventually(Path(gate).exists, within=patience, what="the gate opens")
    except NeverHappened:
        return False


@shared_task(name="tests.patient", bind=True, max_retries=1)
def patient(self: Task[Any, Any], countdown: float, since: float | None = None) -> bool:
    """Whether a retry came no sooner than its countdown."""
    if since is None:
        raise self.retry(args=(countdown, time.monotonic()), countdown=countdown)
    return time.monotonic() - since >= countdown


@shared_task(name="tests.since", bind=True)
def elapsed(_self: Task[Any, Any], since: float) -> float:
    return time.monotonic() - since


@shared_task(name="tests.endless")
def endless(patience: float) -> str:
    """How this ends: by its soft time limit, or because its work is done."""
    try:
        eventually(lambda: False, within=patience, what="never")
    except SoftTimeLimitExceeded:
        return "stopped"
    except NeverHappened:
        return "finished"
    raise AssertionError


@shared_task(name="tests.unacked", bind=True)
def unacked(self: Task[Any, Any]) -> bool:
    """Whether the broker still keeps this task's message, in case the worker dies."""
    with redis.Redis.from_url(str(app_of(self).settings.broker_url)) as client:
        return any(str(self.request.id).encode() in message for message in client.hvals("unacked"))


class Busy(Exception):
    """A later attempt may succeed."""


@durable("tests.as_told", transient=(Busy,))
def as_told(task: Task[Any, Any], gate: str) -> str:
    """Say that it runs, and run until the caller writes into the gate how this ends: "done", "wrong", "busy", or "busy
    at first", which ends well at the second attempt."""
    Path(f"{gate}.here").touch()
    text = eventually(lambda: Path(gate).exists() and Path(gate).read_text(), within=60.0, what="the gate opens")
    if text == "busy" or (text == "busy at first" and task.request.retries == 0):
        raise Busy("as asked")
    if text == "wrong":
        raise ValueError("as asked")
    return str(text)
