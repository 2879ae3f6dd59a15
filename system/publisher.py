"""Publishes jobs for the API in threads, after the commit; no HTTP request waits for the publish."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from system.celery_app import App
from system.job import Job, now

log = logging.getLogger(__name__)
THREADS = 2
CAPACITY = 1_000


def publish(app: App, job: Job) -> None:
    """Send the job's message, and record the publish in the outbox. Raises `kombu.exceptions.OperationalError`.

    When a job is published again after a failure, the message has the same task id and the same attempt.
    """
    options: dict[str, Any] = {
        "task_id": job.id,
        "retries": max(0, job.attempts - 1),
        "ignore_result": True,  # the job store keeps the result; a result backend that is down must stop no publish
        "retry": False,  # kombu would repeat the publish inside this call; the relay does so with a bound
    }
    app.tasks[job.task].apply_async(args=job.args, **options)
    app.store.published(job.id)


class Publisher:
    """Threads that publish the jobs that the API has just accepted. Jobs that they cannot publish within the API's
    lease are left to the relay."""

    def __init__(self, send: Callable[[Job], None], lease: float) -> None:
        self._send, self._lease = send, lease
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
        while (item := self._waiting.get()) is not None:
            lease, job = item
            if now() >= lease:
                continue  # the lease is over, and the relay may have published the job
            try:
                self._send(job)
            except Exception:  # after any error this thread goes on, and the relay publishes the job
                log.warning("job %s was not published; the relay will publish it", job.id, exc_info=True)
