"""The Celery application for `celery -A system.worker worker` and `celery -A system.worker beat`."""

from typing import Any

from celery.signals import setup_logging, task_unknown, worker_init, worker_ready

from system import watchdog
from system.celery_app import make_celery
from system.logs import log_json
from system.observe import observe
from system.settings import get_settings

app = make_celery(get_settings())
if app.settings.log_json:  # a receiver of this signal keeps Celery from setting up logs of its own
    setup_logging.connect(lambda **_: log_json(), weak=False)


@worker_init.connect
def start_observing(**_: Any) -> None:
    """Before the pool's processes are forked: they trace, too, and count for the port of this process."""
    observe(app.settings, "worker")


@task_unknown.connect
def count_unknown(id: str, **_: Any) -> None:
    """Tell the store that Celery has dropped a message, because this worker does not know its task."""
    app.store.unknown(id)


@worker_ready.connect
def start_watchdog(sender: Any, **_: Any) -> None:
    """Start the watchdog of this worker. `sender` is Celery's consumer; the size of its pool is the number of tasks
    that can run at once."""
    queues = [queue.name for queue in sender.task_consumer.queues]
    slots = sender.pool.num_processes
    watchdog.watch(app, queues, slots, watchdog.end_process, lambda: watchdog.leaking(sender, slots))
