"""Reads the stored final state of an operation, on a direct connection that no fault disturbs."""

from __future__ import annotations

import json
import time
from typing import Any

from redis.exceptions import RedisError

from brownout.history.layout import Layout
from brownout.history.life import OPERATION, Life
from brownout.history.operation import RANK, SUCCESS
from brownout.plan.operation import Http, Operation
from brownout.run.observer import Observer
from brownout.subject.subject import Subject
from brownout.subject.waiting import NeverHappened
from brownout.workload.clients import Clients

TELLS_WITHIN = 10.0  # The seconds within which the API must answer with the final status.
AGAIN = 0.03  # Seconds between two requests for the status.
NOTHING = "nothing"


def states(operation: Operation, life: Life, subject: Subject, clients: Clients, observer: Observer) -> list[str]:
    """Return the different final states of the operation's tasks; for an HTTP operation they come from the API.

    For operations that are not HTTP requests, the states come from the result backend. Raises NeverHappened when the
    API or the result backend does not answer.
    """
    if not isinstance(operation, Http):
        return sorted(set(_in_backend(life, subject)))
    if not life.tasks or subject.application.status is None:
        return ["SUCCESS"]  # nothing can be read, because the application has no route that tells a status
    deadline = time.monotonic() + TELLS_WITHIN
    while not clients.read(OPERATION, life.tasks[0]):
        if time.monotonic() > deadline:
            raise NeverHappened(f"the API told no status within {TELLS_WITHIN:g} s")
        time.sleep(AGAIN)
    observer.look()
    return [_plain(life.last_state)] if RANK.get(life.last_state, 0) == 2 else []


def _plain(state: str) -> str:
    return "SUCCESS" if state in SUCCESS else state


def _in_backend(life: Life, subject: Subject) -> list[str]:
    layout = subject.layout
    tasks = life.tasks or ((life.invoke.task,) if life.invoke and life.invoke.task else ())
    if life.invoke and (life.invoke.data.get("op") == "tick" or life.invoke.data.get("result") is False):
        return ["SUCCESS"]  # no caller reads the result of a task that beat sends, or that stores none
    if not isinstance(layout, Layout) or layout.backend is None:
        return [NOTHING]
    with subject.broker.client(layout.backend, timeout=2.0) as redis:
        return [_state(redis, f"{layout.results}{task}") for task in tasks] or [NOTHING]


def _state(redis: Any, key: str) -> str:
    try:
        raw = redis.get(key)
    except RedisError as error:
        raise NeverHappened(f"the result backend does not answer: {error}") from error
    return str(json.loads(raw)["status"]) if raw else NOTHING
