"""Ends a worker that is alive but does not consume, so that its supervisor starts it again.

One cut connection brings a stock Celery worker on Redis into this state. An acknowledgement that fails stays in kombu's
`QoS._delivered` and counts against the prefetch limit for good. With a limit of one the worker never sends BRPOP again,
and no part of the worker notices.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from celery.signals import task_received, worker_shutting_down
from celery.worker import state

from system.broker import client_of
from system.celery_app import App
from system.store import Unusable
from system.tables import CONSUMING, SILENT

log = logging.getLogger(__name__)
EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the supervisor should start the worker again
CHECK_SECONDS = 1.0


class Watchdog:
    """Counts the checks in a row at which messages waited, a slot of the worker was free, and the worker had received
    no message since the check before.

    The watchdog counts checks, not time, so that a process that was stopped for an hour is not ended when it continues.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._received = 0
        self.silent = 0

    def check(self, *, received: int, free: bool, waiting: bool) -> bool:
        """Return whether the worker is wedged, which means alive but not consuming. `received` is the number of
        messages that the worker has ever received."""
        silent = received == self._received and free and waiting
        self._received = received
        self.silent = self.silent + 1 if silent else 0
        return self.silent >= self._limit


def watch(
    app: App, queues: Sequence[str], slots: int, end: Callable[[], None], leaks: Callable[[], bool] = lambda: False
) -> threading.Thread:
    """Check once a second, in a thread with a connection of its own, and call `end` when the worker is wedged.

    `leaks` returns whether messages that no task works on use up the prefetch limit. A worker with such a leak asks for
    no more messages, although the queues may be empty because another worker empties them. Each check tells the job
    store, for the API's readiness, that a worker takes messages, or that it does not. A wedged worker ends after
    `wedge_seconds` checks, each at most `broker_timeout` late, counted from the time at which the broker answers.
    """
    received = 0

    def count(**_: Any) -> None:
        nonlocal received
        received += 1

    task_received.connect(count, weak=False)
    watchdog = Watchdog(app.settings.wedge_seconds)
    client = client_of(app.settings)
    leaving = threading.Event()
    # A worker that shuts down finishes its tasks and asks for no more messages
    worker_shutting_down.connect(lambda **_: leaving.set(), weak=False)

    def tell(name: str) -> None:
        with suppress(*Unusable):
            app.store.saw(name)

    def excuse() -> None:
        with suppress(*Unusable):
            app.store.over(running(), excused=True)

    def run() -> None:
        tell(CONSUMING)  # Celery has just said that it consumes
        while not leaving.wait(CHECK_SECONDS):
            try:
                waiting = any(client.llen(queue) for queue in queues) or leaks()
            except Exception:  # noqa: S112 (no connection, or a garbled reply: nobody can consume now)
                continue
            if watchdog.check(received=received, free=len(state.active_requests) < slots, waiting=waiting):
                log.critical(
                    "this worker ends, because messages wait and it received none in %d checks",
                    app.settings.wedge_seconds,
                )
                excuse()
                end()
                return
            tell(SILENT if watchdog.silent else CONSUMING)
        excuse()  # whoever told this worker to end may kill it before its tasks have ended

    thread = threading.Thread(target=run, name="watchdog", daemon=True)
    thread.start()
    return thread


def running() -> list[str]:
    """The ids of the tasks that this worker runs. The main thread may change Celery's set during the look."""
    while True:
        with suppress(RuntimeError):
            return [request.id for request in state.active_requests]


def leaking(consumer: Any, slots: int) -> bool:
    """Return whether kombu counts more messages as delivered than the worker has (`can_consume` of kombu's QoS)."""
    try:
        qos = consumer.task_consumer.channel.qos
    except AttributeError:
        return False  # the worker is between two connections to the broker
    return not qos.can_consume() and len(state.reserved_requests) < slots


def end_process() -> None:
    """End the worker's process at once, because a wedged worker cannot shut down; its pool processes end, too."""
    logging.shutdown()
    os._exit(EXIT_CODE)
