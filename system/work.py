"""The pretended work of the example tasks, as plain functions without Celery and the job store."""

import math
import time
from typing import Any

import httpx

DIVIDE_SECONDS = PROCESS_SECONDS = 5.0
NOTIFY_SECONDS = 2.0
EXAMPLE_SECONDS = 1.0
DELIVERY_TIMEOUT = 2.0


class ServiceBusy(Exception):
    """The outside service answered 429 or 5xx, so a later attempt may succeed."""


def divide(x: float, y: float, pace: float) -> float:
    """Return x / y after five seconds. Raises `ZeroDivisionError`, and `OverflowError` past a float's range."""
    time.sleep(DIVIDE_SECONDS * pace)
    quotient = x / y
    if not math.isfinite(quotient):
        raise OverflowError("the quotient is not a finite number")
    return quotient


def process_data(data: dict[str, Any], pace: float) -> dict[str, Any]:
    """Return a fixed result and the data, after five seconds."""
    time.sleep(PROCESS_SECONDS * pace)
    return {"status": "completed", "result": "processed", "data": data}


def fibonacci(n: int) -> int:
    """Return the n-th Fibonacci number, computed slowly to keep a processor busy."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def deliver(item: dict[str, Any], key: str, url: str) -> int:
    """Send an item to the outside service and return the status code of its answer.

    The service may get an item several times, always with the same `Idempotency-Key`. Raises `ServiceBusy` and
    `httpx.TransportError` when a later attempt may succeed, `httpx.HTTPStatusError` for other errors.
    """
    whole = httpx.URL(url)
    auth = (whole.username, whole.password) if whole.userinfo else None
    bare = whole.copy_with(userinfo=b"")  # httpx writes the URL of each request to the log
    response = httpx.post(bare, auth=auth, json=item, headers={"Idempotency-Key": key}, timeout=DELIVERY_TIMEOUT)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        raise ServiceBusy(f"the service answered {response.status_code}")
    if not response.is_success:  # a redirect, too: only the URL of the settings is ever fetched
        # httpx's own message has the URL, and clients read the messages of their jobs.
        text = f"the service answered {response.status_code}"
        raise httpx.HTTPStatusError(text, request=response.request, response=response)
    return response.status_code
