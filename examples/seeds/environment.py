"""What every application here takes from its environment, and the two things they all do: pretend work, take effect.

| variable | meaning | default |
|---|---|---|
| `BROKER_URL`, `RESULT_URL` | Redis for messages and for results | the documents' one database, 127.0.0.1:6379/0 |
| `WORK_SECONDS` | length of the pretended work | the document's own, 5 or 2 s |
| `DELAY_SECONDS` | countdown of a task that is sent for later | 7200 s |
| `VISIBILITY_SECONDS` | Redis transport's `visibility_timeout`, whole seconds | 3600 s, Celery's |
| `BACKLOG_LIMIT` | waiting messages above which an application says so | 100 |
| `SERVICE_URL` | the unreliable HTTP service; nothing is called when unset | unset |
| `EFFECTS_FILE` | where effects are recorded, one JSON line each | unset: nowhere |

URLs, delay and visibility are read when an application is imported, the others when they are used.
The `celery` command reads `BROKER_URL` too (its `--broker` option), and it wins over what an application says.
"""

import json
import os
import time
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from celery import current_task

BROKER_URL = os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0")
RESULT_URL = os.environ.get("RESULT_URL", "redis://127.0.0.1:6379/0")


def results_url(offset: int) -> str:
    """The server of `RESULT_URL`, so many databases after the broker's."""
    database = int(urlsplit(BROKER_URL).path.strip("/") or 0)
    return urlsplit(RESULT_URL)._replace(path=f"/{database + offset}").geturl()


def work_seconds(documented: float) -> float:
    return float(os.environ.get("WORK_SECONDS", documented))


def delay_seconds() -> float:
    return float(os.environ.get("DELAY_SECONDS", 7200))


def visibility_seconds() -> int:
    return int(os.environ.get("VISIBILITY_SECONDS", 3600))


def backlog_limit() -> int:
    return int(os.environ.get("BACKLOG_LIMIT", 100))


def redelivery(visibility_timeout: float) -> dict[str, float]:
    """Options of the Redis transport: unacked messages come back after this many seconds.

    kombu looks for them every interval x throttle = 10 x 10 s, which would hide a short time-out: here every second.
    """
    return {
        "visibility_timeout": visibility_timeout,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }


def compute(documented: float) -> int:
    """Fibonacci numbers, modulo 2**64, for so many seconds of this thread's CPU time."""
    previous, current = 0, 1
    end = time.thread_time() + work_seconds(documented)
    while time.thread_time() < end:
        previous, current = current, (previous + current) % 2**64
    return current


def call_service(key: str) -> None:
    """POST the key to `SERVICE_URL`. Raises OSError for whatever goes wrong, an answer of 4xx or 5xx included."""
    url = os.environ.get("SERVICE_URL")
    if not url:
        return
    body = json.dumps({"key": key}).encode()
    request = Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=2) as answer:
            answer.read()
    except HTTPException as error:  # a body cut short is not an OSError
        raise ConnectionError(repr(error)) from error


def effect(name: str, key: Any) -> None:
    """Record that something was really done: one line, one write, so lines of several processes never mix."""
    path = os.environ.get("EFFECTS_FILE")
    if not path:
        return
    task = current_task.request.id if current_task else None
    line = {"key": key, "task": task, "name": name, "at": time.monotonic_ns(), "pid": os.getpid()}
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)
