"""`python -m system.relay` publishes jobs that were not published or make no progress. Several relays may run at
once."""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable
from functools import cache, partial

from celery.exceptions import NotRegistered
from kombu.exceptions import OperationalError
from redis import ResponseError

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
    due, sent, waiting = app.store.claim(BATCH), dict[str, float](), dict[str, float]()
    since = cache(lambda task: _since(app, task, oldest))
    try:
        for job in due:
            if job.published_at is not None and (at := since(job.task)) <= job.published_at:
                if at > -math.inf:
                    waiting[job.id] = job.published_at - at
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
        app.store.wait(waiting)  # as long as its queue took for what is ahead of it, if it goes on like that
    return len(due)


def _since(app: App, task: str, oldest: Oldest) -> float:
    """Since when the messages of this task wait: infinity when none waits, minus infinity when the relay can't look."""
    queue = app.amqp.router.route({}, task)["queue"].name
    try:
        at = oldest(queue)
    except ResponseError as error:  # Redis refuses to say it, as it does for an ACL, and may do so for ever
        log.warning("what waits in queue %s may be published again, because the relay can't look: %s", queue, error)
    except Exception as error:  # the broker is away or talks nonsense; the leases run out, and the relay looks again
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
