"""The Celery application for `celery -A system.worker worker` and `celery -A system.worker beat`."""

from typing import Any

from celery.signals import task_unknown, worker_ready

from system import watchdog
from system.celery_app import make_celery
from system.settings import get_settings

app = make_celery(get_settings())


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
