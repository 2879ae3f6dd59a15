"""`python -m system.relay` publishes jobs that were not published or make no progress. Several relays may run at
once."""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

from celery.exceptions import NotRegistered
from kombu.exceptions import OperationalError
from redis.exceptions import NoPermissionError

from system import broker
from system.celery_app import App, make_celery
from system.metrics import note
from system.observe import observe
from system.publisher import send
from system.settings import get_settings
from system.store import Unusable

log = logging.getLogger("system.relay")
BATCH = 100
Oldest = Callable[[str], float | None]
TELL_SECONDS = 0.5  # between two notes that this process is alive


def sweep(app: App, oldest: Oldest = lambda _: None) -> int:
    """Publish one batch of due jobs, the oldest first, and return their number. After an error the leases of the
    unpublished jobs run out.

    A job whose message may still wait in its queue is not published again: in a queue that is longer than the patience
    of its jobs, second messages would keep the workers busy, and make the queue longer still. `oldest` says when the
    oldest message of a queue was published. A queue keeps its order: a job that was published before that message is no
    longer in the queue.

    Raises `kombu.exceptions.OperationalError` when the broker does not take a message.
    """
    due, sent, waiting = app.store.claim(BATCH), dict[str, float](), list[str]()
    look = Look(app, oldest)
    try:
        for job in due:
            if job.published_at is not None and (since := look.since(job.task)) <= job.published_at:
                if since > -math.inf:
                    waiting.append(job.id)
                continue
            try:
                sent[job.id] = send(app, job)
            except OperationalError:
                raise
            except NotRegistered:
                log.error(
                    "job %s (%s) can't be published: its task is unknown here", job.id, job.task, extra={"job": job.id}
                )
                app.store.unknown(job.id)
            except Exception:  # a job that can't be sent must not delay other jobs
                log.exception("job %s (%s) can't be published", job.id, job.task, extra={"job": job.id})
            else:
                log.info("published job %s (%s, %s)", job.id, job.task, job.state, extra={"job": job.id})
    finally:
        if sent:
            note(app.store.published, sent)
    if waiting:
        app.store.wait(waiting)
    return len(due)


class Look:
    """What one sweep sees of the queues. It looks at each queue once, and at no other when the broker is away."""

    def __init__(self, app: App, oldest: Oldest) -> None:
        self._app, self._oldest = app, oldest
        self._since: dict[str, float] = {}

    def since(self, task: str) -> float:
        """Since when the messages of this task wait: infinity when none waits, minus infinity when nobody can say."""
        queue = self._app.amqp.router.route({}, task).get("queue")
        name = getattr(queue, "name", "")
        if name not in self._since:
            self._since[name] = -math.inf if -math.inf in self._since.values() else self._look(name)
        return self._since[name]

    def _look(self, queue: str) -> float:
        try:
            at = self._oldest(queue)
        except NoPermissionError as error:  # an ACL will not change by waiting
            log.warning("what waits in queue %s may be published again, because nobody may look: %s", queue, error)
        except Exception as error:  # the broker is away or talks nonsense: the relay looks again after the leases
            log.warning("the relay can't see what waits in queue %s: %r", queue, error)
            return -math.inf
        else:
            return math.inf if at is None else at
        return math.inf


def run(app: App, stop: threading.Event, oldest: Oldest = lambda _: None) -> None:
    """Sweep until told to stop; an outage of the broker or the store is waited out."""
    told = -math.inf
    while not stop.is_set():
        try:
            if time.monotonic() - told >= TELL_SECONDS:
                app.store.saw("relay")
                told = time.monotonic()
            done = sweep(app, oldest) if app.store.any_due() else 0
        except (OperationalError, *Unusable) as error:
            log.warning("the relay waits, because the broker or the job store fails: %s", error)
            done = 0
        if not done:
            stop.wait(app.settings.relay_interval)


def main() -> None:
    """Run the relay until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s: %(levelname)s/relay] %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    app = make_celery(get_settings())
    observe(app.settings, "relay")
    log.info("relay ready")
    run(app, stop, partial(broker.oldest, broker.client_of(app.settings)))


if __name__ == "__main__":
    main()
