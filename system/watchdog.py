"""Ends a worker that is alive but does not consume, so that its supervisor starts it again.

Stock Celery on Redis gets there by one cut connection: an ack that fails stays in kombu's `QoS._delivered`, counts
against the prefetch limit for good, and with a limit of one no BRPOP is ever sent again. Nothing in the worker notices.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from celery.signals import task_received, worker_shutting_down
from celery.worker import state
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from system.celery_app import App

log = logging.getLogger(__name__)
EXIT_CODE = 75  # EX_TEMPFAIL: start me again
CHECK_SECONDS = 1.0


class Watchdog:
    """Counts the checks in a row at which work waited, a slot was free and nothing had been received.

    It counts checks, not time: a process that was stopped for an hour has missed no check when it continues.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._received = 0
        self._silent = 0

    def check(self, *, received: int, free: bool, waiting: bool) -> bool:
        """Whether the worker is wedged. `received` is the number of messages that it ever got."""
        silent = received == self._received and free and waiting
        self._received = received
        self._silent = self._silent + 1 if silent else 0
        return self._silent >= self._limit


def watch(
    app: App, queues: Sequence[str], slots: int, end: Callable[[], None], leaks: Callable[[], bool] = lambda: False
) -> threading.Thread:
    """Check once a second, in a thread with a connection of its own, and call `end` when the worker is wedged.

    `leaks` says whether messages that nobody works on use the prefetch limit up: then none will ever be asked for, and
    the queues may be empty all the same, because another worker sees to them. The bound: `wedge_seconds` checks, each
    at most `broker_timeout` late, from the moment when the broker answers.
    """
    received = 0

    def count(**_: Any) -> None:
        nonlocal received
        received += 1

    task_received.connect(count, weak=False)
    watchdog = Watchdog(app.settings.wedge_seconds)
    timeout = app.settings.broker_timeout
    client = Redis.from_url(
        str(app.settings.broker_url),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )

    leaving = threading.Event()
    worker_shutting_down.connect(lambda **_: leaving.set(), weak=False)  # it finishes what runs, and asks for no more

    def run() -> None:
        while not leaving.wait(CHECK_SECONDS):
            try:
                waiting = any(client.llen(queue) for queue in queues) or leaks()
            except Exception:  # noqa: S112 (no connection, or a garbled reply: nobody can consume now)
                continue
            if watchdog.check(received=received, free=len(state.active_requests) < slots, waiting=waiting):
                log.critical(
                    "messages wait and none was received in %d checks: this worker ends", app.settings.wedge_seconds
                )
                end()
                return

    thread = threading.Thread(target=run, name="watchdog", daemon=True)
    thread.start()
    return thread


def leaking(consumer: Any, slots: int) -> bool:
    """Whether kombu counts more messages as delivered than the worker has (`can_consume` of its QoS)."""
    try:
        qos = consumer.task_consumer.channel.qos
    except AttributeError:
        return False  # between two connections
    return not qos.can_consume() and len(state.reserved_requests) < slots


def end_process() -> None:
    """Leave at once, without the shutdown that a wedged worker can't do; its pool processes die with it."""
    logging.shutdown()
    os._exit(EXIT_CODE)
