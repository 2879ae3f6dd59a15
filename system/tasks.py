"""The Celery tasks of the system; a table in docs/system.md says what each task promises."""

from typing import Any, cast

import httpx
from celery import Task, shared_task

from system import work
from system.durable import app_of, durable


@durable("system.divide")
def divide(task: Task[Any, Any], x: float, y: float) -> float:
    """Divide `x` by `y`, slowly."""
    return work.divide(x, y, app_of(task).settings.pace)


@durable("system.process_data")
def process_data(task: Task[Any, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Process any JSON object."""
    return work.process_data(data, app_of(task).settings.pace)


@durable("system.fibonacci")
def fibonacci(_task: Task[Any, Any], n: int) -> int:
    """Compute a Fibonacci number, which keeps a processor busy, on a queue of its own."""
    return work.fibonacci(n)


@durable("system.deliver", transient=(work.ServiceBusy, httpx.TransportError))
def deliver(task: Task[Any, Any], item: dict[str, Any]) -> int:
    """Deliver an item to an unreliable HTTP service; a failed delivery is retried with growing waits."""
    return work.deliver(item, cast("str", task.request.id), str(app_of(task).settings.service_url))


@shared_task(name="system.tick", bind=True)
def tick(task: Task[Any, Any]) -> int:
    """The periodic task: do the ticks that are due, in order, each in its transaction, and return their number. The
    message only says that it is time to look: a later message makes up for one that was lost."""
    store, done = app_of(task).store, 0
    while store.tick():
        done += 1
    return done
