"""Publishes jobs for the API in threads, after the commit; no HTTP request waits for the publish."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from system.broker import PUBLISHED_AT
from system.celery_app import App
from system.job import Job, now
from system.tracing import span

log = logging.getLogger(__name__)
THREADS = 2
CAPACITY = 1_000
TOGETHER = 50  # messages at most that are noted in one transaction
HIDDEN = "(hidden)"  # what logs, events and Flower show of a job's arguments, which are the client's


def send(app: App, job: Job) -> float:
    """Send the job's message, and return when, as the message says. Raises `kombu.exceptions.OperationalError`.

    When a job is sent again after a failure, the message has the same task id and the same attempt.
    """
    at = now()
    options: dict[str, Any] = {
        "task_id": job.id,
        "retries": max(0, job.attempts - 1),
        "ignore_result": True,  # the job store keeps the result; a result backend that is down must stop no publish
        "argsrepr": HIDDEN,
        "headers": {PUBLISHED_AT: at},
        "retry": False,  # kombu would repeat the publish inside this call; the relay does so with a bound
    }
    with span("publish", job.id):
        app.tasks[job.task].apply_async(args=job.args, **options)
    return at


class Publisher:
    """A few threads that publish jobs whose lease the API holds. What they can't do in time is left to the relay.

    `send` sends a message, and returns when; `note` records when the messages of these jobs were sent, those that wait
    together at once (`Store.published`).
    """

    def __init__(self, send: Callable[[Job], float], note: Callable[[Mapping[str, float]], None], lease: float) -> None:
        self._send, self._note, self._lease = send, note, lease
        self._waiting: queue.Queue[tuple[float, Job] | None] = queue.Queue(CAPACITY)
        self._threads = [threading.Thread(target=self._run, name=f"publisher-{n}", daemon=True) for n in range(THREADS)]

    def start(self) -> None:
        """Start the publishing threads."""
        for thread in self._threads:
            thread.start()

    def offer(self, job: Job) -> bool:
        """Queue an accepted job for the publishing threads, without waiting. Returns False when the queue is full; the
        relay then publishes the job."""
        try:
            self._waiting.put_nowait((now() + self._lease, job))
        except queue.Full:
            return False
        return True

    def stop(self, within: float) -> bool:
        """Publish the queued jobs for at most `within` seconds, then stop. Returns False when jobs were left to the
        relay."""
        deadline = time.monotonic() + within
        for _ in self._threads:
            try:
                self._waiting.put(None, timeout=max(0.0, deadline - time.monotonic()))
            except queue.Full:
                return False
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        sent: dict[str, float] = {}
        while (item := self._waiting.get()) is not None:
            lease, job = item
            if now() < lease and (at := self._sends(job)) is not None:
                sent[job.id] = at
            if sent and (self._waiting.empty() or len(sent) >= TOGETHER):
                self._notes(sent)
                sent = {}
        if sent:
            self._notes(sent)

    # Whatever goes wrong, the thread goes on, and the relay publishes the job.

    def _sends(self, job: Job) -> float | None:
        try:
            return self._send(job)
        except Exception:
            about = {"job": job.id}
            log.warning("job %s was not published; the relay will publish it", job.id, exc_info=True, extra=about)
            return None

    def _notes(self, sent: Mapping[str, float]) -> None:
        try:
            self._note(sent)
        except Exception:
            log.warning(
                "%d jobs were published and not noted: the relay may publish them again", len(sent), exc_info=True
            )
