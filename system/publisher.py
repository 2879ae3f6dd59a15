"""Publishing for the API: after the commit, off the event loop, with nobody waiting for it."""

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
    """Send the job's message and note it in the outbox. Raises `kombu.exceptions.OperationalError`.

    Published once more after a failure, the message has the same id and the same attempt.
    """
    options: dict[str, Any] = {
        "task_id": job.id,
        "retries": max(0, job.attempts - 1),
        "ignore_result": True,  # the store has the result; a result backend that is down must not stop a publish
        "retry": False,  # kombu would send the message again inside the call; the relay does it with a bound
    }
    app.tasks[job.task].apply_async(args=job.args, **options)
    app.store.published(job.id)


class Publisher:
    """A few threads that publish jobs whose lease the API holds. What they can't do in time is left to the relay."""

    def __init__(self, send: Callable[[Job], None], lease: float) -> None:
        self._send, self._lease = send, lease
        self._waiting: queue.Queue[tuple[float, Job] | None] = queue.Queue(CAPACITY)
        self._threads = [threading.Thread(target=self._run, name=f"publisher-{n}", daemon=True) for n in range(THREADS)]

    def start(self) -> None:
        """Begin to publish."""
        for thread in self._threads:
            thread.start()

    def offer(self, job: Job) -> bool:
        """Hand over a job that was just accepted; never waits. False: the relay will have to publish it."""
        try:
            self._waiting.put_nowait((now() + self._lease, job))
        except queue.Full:
            return False
        return True

    def stop(self, within: float) -> bool:
        """Publish what is waiting, for at most `within` seconds. False: something was left to the relay."""
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
                continue  # the relay may have it by now
            try:
                self._send(job)
            except Exception:  # whatever it was, this thread goes on, and the relay publishes the job
                log.warning("job %s was not published, the relay will do it", job.id, exc_info=True)
