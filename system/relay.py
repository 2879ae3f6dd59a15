"""`python -m system.relay` publishes jobs that were not published or make no progress. Several relays may run at
once."""

import logging
import signal
import threading

from kombu.exceptions import OperationalError
from sqlalchemy.exc import OperationalError as StoreError

from system.celery_app import App, make_celery
from system.publisher import publish
from system.settings import get_settings

log = logging.getLogger("system.relay")
BATCH = 20


def sweep(app: App) -> int:
    """Publish one batch of due jobs, the oldest first, and return their number. After an error the leases of the
    unpublished jobs run out.

    Raises `kombu.exceptions.OperationalError` when the broker does not take a message.
    """
    due = app.store.claim(BATCH)
    for job in due:
        try:
            publish(app, job)
        except (OperationalError, StoreError):
            raise
        except Exception:  # a job that can't be sent must not delay other jobs
            log.exception("job %s (%s) can't be published", job.id, job.task)
        else:
            log.info("published job %s (%s, %s)", job.id, job.task, job.state)
    return len(due)


def run(app: App, stop: threading.Event) -> None:
    """Publish due jobs until `stop` is set; wait during an outage of the broker or the job store."""
    while not stop.is_set():
        try:
            app.store.saw("relay")
            done = sweep(app)
        except (OperationalError, StoreError) as error:
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
    log.info("relay ready")
    run(app, stop)


if __name__ == "__main__":
    main()
